"""What a confined process finds out about its limits."""

from __future__ import annotations

import errno
from collections.abc import Callable


def attempt(act: Callable[[], object]) -> str:
    """The outcome of an act: ``done``, or the name of the error that the system gives."""
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"
