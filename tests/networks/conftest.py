"""A web server, an empty cache, and small weights that are downloaded from one into the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from impasto.networks import download
from impasto.networks.layers import CONVS
from impasto.networks.published import PUBLISHED, Published, Source
from weights_server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; no proxies, no caches of torch or Keras, no pause before a connection is resumed."""
    monkeypatch.setenv("IMPASTO_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "TIMEOUT", 2.0)
    return tmp_path / "cache"


Publish = Callable[..., None]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, home: Path) -> Publish:
    """Register sources as the weights 'tiny': VGG-19's first block."""

    def register(*sources: Source, **more: Any) -> None:
        entry = Published("tiny", sources, 1, "CC0", "nobody", layers=CONVS[:2], **more)
        monkeypatch.setitem(PUBLISHED, "tiny", entry)

    return register
