"""The log of the server and its workers: lines of text, or of JSON for programs that collect logs."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Literal

from opentelemetry import trace

__all__ = ["configure_logs"]

_QUIET = ("httpx", "httpcore", "multipart", "python_multipart", "PIL", "filelock")


class _JsonFormatter(logging.Formatter):
    """One object: time, level, logger, message; with ``facts`` of the record, trace and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            fields["trace"] = trace.format_trace_id(span.trace_id)
        facts = getattr(record, "facts", None)
        if isinstance(facts, dict):
            fields |= facts
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def configure_logs(form: Literal["text", "json"], *, verbose: bool) -> None:
    """Have this process write its log to stderr.

    Args:
        verbose: also what is no warning, such as requests.
    """
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(message)s")
    handler.setFormatter(_JsonFormatter() if form == "json" else text)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
