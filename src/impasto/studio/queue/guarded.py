"""``GuardedStep``: work that is repeated for as long as the process lives and must survive every error."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["GuardedStep"]

log = logging.getLogger("impasto.studio")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # seconds


class GuardedStep:
    """A function that is called again and again.

    An error is logged, and the step is left out for a while, longer with each error in a row: a full disk or
    a lack of processes passes, and the other steps go on meanwhile.

    Attributes:
        failures: errors in a row.
    """

    def __init__(self, name: str, function: Callable[[], object]) -> None:
        self.failures = 0
        self._name, self._function = name, function
        self._not_before = 0.0

    def run(self) -> None:
        """Call the function, unless it failed a moment ago. Raises no ``Exception``."""
        if time.monotonic() < self._not_before:
            return
        try:
            self._function()
            self.failures = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the other steps must go on
            self.failures += 1
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self.failures, 16))
            self._not_before = time.monotonic() + pause
            with suppress(Exception):  # out of memory, even writing the log may fail
                log.error("%s: %s: %s; again in %.0f s", self._name, type(error).__name__, error, pause)
