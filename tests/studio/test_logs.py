"""The log as JSON."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from impasto.studio.logs import configure_logs


def test_lines_are_json_objects_with_the_facts_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logs("json", verbose=True)
    log = logging.getLogger("impasto.studio")
    log.info("%s %d", "a\nb", 3, extra={"facts": {"status": 200, "path": "/v1/jobs"}})
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("it failed")
    logging.getLogger("httpx").info("not for the operator")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["a\nb 3", "it failed"]
    assert (lines[0]["level"], lines[0]["status"], lines[0]["path"]) == ("info", 200, "/v1/jobs")
    assert "ValueError: odd" in lines[1]["traceback"]
    assert lines[0]["time"].endswith("+00:00")
