"""One shot, pass by pass: the order of frames, and what is read from disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from clips import moving_square
from fakes import tiny_encoder
from impasto.pieces.piece import Files
from impasto.video import shot_painting, store
from impasto.video.clip_context import ClipContext
from impasto.video.cuts import Shot
from impasto.video.frame_painting import PaintedFrame
from impasto.video.shot_painting import ShotPiece, frame_order, paint_shot
from impasto.video.store import Store, from_pixels, read_png
from tiny_video import QUICK, STYLES, tiny_context


def test_passes_go_forward_and_backward_in_turn() -> None:
    shot = Shot(3, 6)
    assert [list(frame_order(shot, number)) for number in (1, 2, 3)] == [[3, 4, 5], [5, 4, 3], [3, 4, 5]]


def filmed(folder: Path, count: int, passes: int) -> Store:
    frames = Store(folder)
    frames.make("input", "mask", "reference", *(f"pass{k + 1}" for k in range(passes)))
    for index, pixels in enumerate(moving_square(count, 48, 64, 16)):
        frames.save("input", index, from_pixels(pixels))
        frames.save("mask", index, torch.ones(1, 1, *pixels.shape[:2]))
    return frames


@pytest.mark.slow
def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, a frame read its input twice and eleven files in all."""
    frames, reads = filmed(tmp_path, 4, 1), Counter[str]()

    def counting(path: Path) -> store.Pixels:
        reads[f"{path.parent.name}/{path.name}"] += 1
        return read_png(path)

    monkeypatch.setattr(store, "read_png", counting)
    order = [index for _, index, _ in paint_shot(frames, Shot(0, 4), tiny_context(QUICK, 48, 64))]
    assert order == list(range(4))
    assert set(reads.values()) == {1}
    assert {name.split("/")[0] for name in reads} == {"input", "mask"}, "painted frames stay in memory"


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 2])
def test_a_resumed_shot_ends_in_the_same_frames(tmp_path: Path, passes: int) -> None:
    context, results = tiny_context(QUICK.replace(passes=passes), 48, 64), []
    for name, stop in (("whole", None), ("resumed", 3 * passes - 1)):
        (tmp_path / name).mkdir()
        frames = filmed(tmp_path / name, 3, passes)
        for count, _ in enumerate(paint_shot(frames, Shot(0, 3), context), 1):
            if count == stop:
                break
        fresh = [painted is not None for _, _, painted in paint_shot(frames, Shot(0, 3), context)]
        assert sum(fresh) == (0 if stop is None else 1)
        results.append([frames.frame(f"pass{passes}", index).read_bytes() for index in range(3)])
        assert frames.count("reference") == 1, "of the last frame; the others are deleted"
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_jobs")
def test_a_shot_that_was_sent_to_another_machine_comes_back_the_same(tmp_path: Path) -> None:
    """Half of it is painted here; the rest from the files that are sent, into a folder elsewhere."""
    here, sent = (filmed(tmp_path / name, 5, 1) for name in ("here", "sent"))
    shares: list[float] = []
    whole, piece = (ShotPiece(frames, Shot(1, 5), STYLES, QUICK, (48, 64)) for frames in (here, sent))
    assert whole.work(Files(), lambda share: None) == {}
    for count, _ in enumerate(paint_shot(sent, Shot(1, 5), tiny_context(QUICK, 48, 64)), 1):
        if count == 2:
            break
    assert (whole.is_done(), piece.is_done(), piece.cost, piece.label) == (True, False, 2.0, "frames 2 to 5")
    files = Files({path: path.read_bytes() for path in piece.inputs()})
    before = {path.name for path in tmp_path.rglob("*.png")}
    result = piece.work(files, shares.append)
    assert {path.relative_to(sent.root).as_posix() for path in result} == {
        "pass1/000003.png", "pass1/000004.png",
    }  # fmt: skip
    assert {path.name for path in tmp_path.rglob("*.png")} == before
    assert shares == [0.0, 0.0, 0.5, 1.0]
    piece.keep(result)
    assert piece.is_done()
    for index in range(1, 5):
        assert here.frame("pass1", index).read_bytes() == sent.frame("pass1", index).read_bytes()


def test_references_of_the_shots_beside_it_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may paint these at the same time, and would need them after a kill."""
    frames, grey = Store(tmp_path), torch.full((1, 3, 8, 8), 0.5)
    frames.make("reference", "pass1", "pass2")
    for index in (1, 4):
        frames.save("reference", index, grey)
    painted = PaintedFrame(grey, grey, 0.0, 1.0, 1.0, {})
    monkeypatch.setattr(shot_painting, "_paint", lambda *_: painted)
    context = ClipContext((), QUICK.replace(passes=2), tiny_encoder(), {})
    order = [(number, index) for number, index, _ in paint_shot(frames, Shot(2, 4), context)]
    assert order == [(1, 2), (1, 3), (2, 3), (2, 2)]
    assert [index for index in range(6) if frames.has("reference", index)] == [1, 2, 4]
