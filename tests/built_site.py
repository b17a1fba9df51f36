"""The static site as ``make web`` built it, served on this machine; for test files that name this module in
``pytest_plugins``."""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conftest import ROOT


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """The module ``web/build.py``."""
    spec = importlib.util.spec_from_file_location("web_build", ROOT / "web" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def folder(builder: ModuleType) -> Path:
    """The built site, with the scripts and pages as they are now."""
    built = ROOT / "build" / "web"
    if not (built / "models" / "facts.json").exists() or not (built / "runtime").is_dir():
        pytest.skip("no built site here: make web")
    builder.copy_pages(built)
    return built


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[str]:
    """The site's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
