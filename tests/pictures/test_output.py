"""Pictures are written whole or not at all, and what cannot be written is refused before the work starts."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from impasto import pictures
from impasto.errors import PictureError
from picture_files import (
    ENDINGS,
    HAS_AVIF,
    scene,
    tensor,
    write,
)


def test_to_uint8_clamps_and_rounds():
    pixels = torch.tensor([-0.3, 0.0, 0.5, 1.0, 1.7, 0.1]).reshape(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert pictures.to_uint8(pixels)[0, :, 0].tolist() == [0, 0, 128, 255, 255, 26]
    assert pictures.to_uint8(pixels).shape == (1, 6, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"pixels": torch.full((1, 3, 4, 4), torch.nan)}, "not finite"),
     ({"pixels": torch.full((1, 3, 4, 4), torch.inf)}, "not finite"),
     ({"alpha": torch.full((1, 1, 4, 4), torch.nan)}, "not finite"),
     ({"pixels": torch.rand(2, 3, 4, 4)}, "2 pictures"),
     ({"pixels": torch.rand(4, 4, 3)}, r"\(1, 3, H, W\)"),
     ({"pixels": torch.rand(1, 3, 0, 4)}, r"\(1, 3, H, W\)"),
     ({"alpha": torch.rand(1, 1, 4, 5)}, "alpha"),
     ({"quality": 0}, "quality 0"),
     ({"bit_depth": 16}, "16 bits in JPEG.*tif"),
     ({"bit_depth": 12}, "12 bits"),
     ({"metadata": "x" * 70000}, "metadata"),
     ({"pixels": torch.zeros(1, 3, 1, 65501)}, "65501×1.*65500")],
)  # fmt: skip
def test_what_cannot_be_saved_is_refused_and_the_old_file_stays(tmp_path, arguments, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"old")
    with pytest.raises(PictureError, match=message):
        pictures.save(path, **{"pixels": torch.rand(1, 3, 4, 4), **arguments})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def disk_full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["os.fsync", "os.replace", "PIL.Image.Image.save"])
def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, where):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(where, disk_full)
    with pytest.raises(PictureError, match="disk is full"):
        pictures.save(path, tensor(scene()))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_really_stops_half_way(tmp_path):
    """No mock: the system itself refuses to let a file grow beyond 4 kB."""
    path, noise = tmp_path / "a.png", torch.rand(1, 3, 64, 64)
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(PictureError, match="could not be written"):
            pictures.save(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    pictures.save(path, noise)  # and with room it works


def test_an_interrupt_while_writing_leaves_no_litter(tmp_path, monkeypatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pictures.save(tmp_path / "a.png", tensor(scene()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_umask_is_honoured(tmp_path, mask):
    before = os.umask(mask)
    try:
        pictures.save(tmp_path / "a.png", tensor(scene()))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o666 & ~mask


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "latest.png").symlink_to("deep/a.png")
    pictures.save(tmp_path / "latest.png", tensor(scene()))
    assert (tmp_path / "latest.png").is_symlink()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "a.png")), scene())


@pytest.fixture
def place(tmp_path) -> Iterator[Path]:
    """A folder with one picture; nothing that `check_output` does may change what is in it."""
    write(tmp_path / "in.png", Image.fromarray(scene()), "PNG")
    (tmp_path / "sub").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("in.png")
    os.link(tmp_path / "in.png", tmp_path / "hard.png")
    os.mkfifo(tmp_path / "pipe.png")
    before = sorted(p.name for p in tmp_path.iterdir())
    yield tmp_path
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [("out.txt", "ending.*png"), ("out", "ending"), (".png", "ending"), ("out.gif", "ending"), ("", "ending"),
     ("none/out.png", "does not exist.*mkdir"), ("in.png/out.png", "folder|directory"),
     ("folder.png", "is a folder"),
     ("pipe.png", "not a regular file"), ("in.png", "also an input"), ("link.png", "also an input"),
     ("hard.png", "also an input"), ("sub/../in.png", "also an input"), ("x" * 300 + ".png", "too long"),
     ("a\0.png", "null|embedded")],
)  # fmt: skip
def test_outputs_that_cannot_be(place, name, message):
    with pytest.raises(PictureError, match=message):
        pictures.check_output(
            f"{place}/{name}" if name else name, inputs=[place / "missing.png", place / "in.png"]
        )


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e != ".avif" or HAS_AVIF])
def test_outputs_that_can_be(place, ending):
    for name in (f"out{ending}", f"OUT{ending.upper()}", f"sub/é{ending}", f"{'x' * 240}{ending}"):
        assert pictures.check_output(place / name, inputs=[place / "in.png"]) == place / name
    assert pictures.check_output(place / "in.png") == place / "in.png"  # an older result may be replaced
    assert pictures.check_output(place / "a.tif", bit_depth=16, size=(70000, 70000)) == place / "a.tif"


def test_outputs_too_large_or_too_deep_for_their_format(place):
    with pytest.raises(PictureError, match=r"16 bits in PNG.*\.tif"):
        pictures.check_output(place / "a.png", bit_depth=16)
    with pytest.raises(PictureError, match=r"20000×10 pixels in WEBP.*16383"):
        pictures.check_output(place / "a.webp", size=(10, 20000))


def test_a_folder_that_cannot_be_written_to(place, monkeypatch):
    def read_only(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(PictureError, match=r"cannot be written to.*Read-only"):
        pictures.check_output(place / "a.png")


def test_save_refuses_an_input_too(place):
    before = (place / "in.png").read_bytes()
    with pytest.raises(PictureError, match="also an input"):
        pictures.save(place / "hard.png", tensor(scene()), inputs=[str(place / "in.png")])
    assert (place / "in.png").read_bytes() == before
