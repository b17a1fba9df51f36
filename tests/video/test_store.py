"""The work folder: frames without loss, whole files only, and a cache that reads each file once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clips import texture
from impasto.errors import VideoError
from impasto.video import store
from impasto.video.frame_painting import quantise
from impasto.video.store import FrameCache, Store, from_pixels, read_png, to_pixels, write_png


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_png_files_keep_every_value(tmp_path: Path, channels: int, kind: type) -> None:
    top = np.iinfo(kind).max
    pixels = np.random.RandomState(0).randint(0, top, (5, 7, channels), dtype=np.int64).astype(kind)
    write_png(tmp_path / "a.png", pixels)
    back = read_png(tmp_path / "a.png")
    assert back.dtype == kind
    assert np.array_equal(back, pixels)
    assert np.array_equal(to_pixels(from_pixels(back), top), pixels)


@pytest.mark.parametrize("levels", [255, 65535])
def test_what_was_quantised_comes_back_bit_by_bit(tmp_path: Path, levels: int) -> None:
    folder = Store(tmp_path, levels)
    folder.make("pass1")
    picture = quantise(torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(0)), levels)
    frames = FrameCache(folder)
    frames.save("pass1", 3, picture)
    assert torch.equal(folder.load("pass1", 3), picture)
    assert torch.equal(frames.load("pass1", 3), picture)


def test_the_cache_reads_a_file_once_and_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Store(tmp_path)
    folder.make("input")
    for index in range(4):
        folder.save("input", index, from_pixels(texture(8, 8, index)))
    reads: list[Path] = []
    monkeypatch.setattr(store, "read_png", lambda path: reads.append(path) or read_png(path))
    frames = FrameCache(folder, capacity=2)
    for index in (0, 0, 1, 0, 2, 0):
        assert torch.equal(frames.load("input", index), from_pixels(texture(8, 8, index)))
    assert [path.stem for path in reads] == ["000000", "000001", "000002"]
    frames.load("input", 1)
    assert len(reads) == 4, "1 gave way to 2"


def test_frames_that_are_being_written_do_not_count(tmp_path: Path) -> None:
    folder = Store(tmp_path)
    assert (folder.count("pass1"), folder.newest("pass1")) == (0, None)
    folder.make("pass1")
    folder.save("pass1", 0, from_pixels(texture(8, 8)))
    (tmp_path / "pass1" / ".000001.12345678.partial.png").write_bytes(b"half a fr")
    assert (folder.count("pass1"), folder.newest("pass1")) == (1, folder.frame("pass1", 0))


def test_a_damaged_frame_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(VideoError, match="is damaged; delete it"):
        read_png(tmp_path / "a.png")
    with pytest.raises(VideoError, match="cannot be read: no such file"):
        read_png(tmp_path / "b.png")


def test_facts_come_back_or_are_none(tmp_path: Path) -> None:
    folder = Store(tmp_path)
    folder.remember("job", {"a": [1, 2]})
    assert folder.recall("job") == {"a": [1, 2]}
    (tmp_path / "job.json").write_text("[1")
    assert folder.recall("job") is None
    assert folder.recall("clip") is None
