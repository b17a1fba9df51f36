"""One file from one address: what an earlier download left, and a disk that is full."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from impasto.errors import WeightsError
from impasto.networks import download, weights
from impasto.networks.published import Source
from impasto.progress import Progress, listening
from weight_files import same
from weights_server import BODY, SHA, STATE, Page, Server

Publish = Callable[..., None]


@pytest.mark.parametrize("content", [b"", BODY[:100], BODY, BODY + b"more"])
@pytest.mark.parametrize("size", [None, len(BODY)])
def test_download_alone_leaves_the_whole_file(
    server: Server, home: Path, tmp_path: Path, content: bytes, size: int | None
) -> None:
    server.pages["/a.pth"] = Page()
    target = tmp_path / "target"
    target.write_bytes(content)
    download.download(server.url("/a.pth"), target, size=size)
    assert target.read_bytes() == BODY


@dataclass
class Free:
    free: int


def refuses(message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        weights.fetch("tiny")


def test_no_space(server: Server, publish: Publish, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), sha256=SHA))
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda _: Free(1000))
        refuses("no space")

    def full(progress: Progress) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with listening(full):
        refuses("no space left")
    assert not list(home.glob("*.partial")), "the space is given back"
    assert same(weights.ensure("tiny"), STATE)
