"""The audit log: who did what and when, without anything of what was painted.

A line of JSON for each act, in one file a month, in the folder ``audit`` of the data folder. Lines are short
and appended in one call, so that several processes may write at once.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from datetime import datetime, timezone
from pathlib import Path

__all__ = ["AuditLog"]

_FILE = re.compile(r"(\d{4}-\d{2})\.jsonl")

log = logging.getLogger("impasto.studio")


class AuditLog:
    """The audit log of one data folder.

    Args:
        data: the data folder.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data / "audit"

    def write(self, act: str, **facts: object) -> None:
        """Append a line. That it cannot be written is only logged: the act has happened."""
        now = datetime.fromtimestamp(time.time(), timezone.utc)
        line = {"time": now.isoformat(timespec="milliseconds"), "act": act, **facts}
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            path = self._folder / f"{now:%Y-%m}.jsonl"
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, json.dumps(line).encode() + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            log.error("audit: %s is not recorded: %s", act, error)

    def purge(self, days: float) -> None:
        """Delete the files of months that ended more than ``days`` ago."""
        oldest = f"{datetime.fromtimestamp(time.time() - days * 86400, timezone.utc):%Y-%m}"
        for path in self._folder.glob("*.jsonl"):
            match = _FILE.fullmatch(path.name)
            if match is not None and match[1] < oldest:
                path.unlink(missing_ok=True)
