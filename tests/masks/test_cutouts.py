"""The object in a box becomes a mask, and nothing outside of the box does."""

from __future__ import annotations

import sys

import pytest
import torch

from impasto import pictures
from impasto.cli.mask import mask as mask_command
from impasto.errors import ImpastoError, PictureError, RecipeError
from impasto.masks import cutouts
from impasto.progress import Progress, listening

pytest.importorskip("cv2")


def disc(height: int = 60, width: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    """A red disc on uneven green, and where it is."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    on = ((y - 30) ** 2 + (x - 40) ** 2 < 18**2).float()
    noise = 0.1 * torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    colours = torch.stack([0.1 + 0.7 * on, 0.7 - 0.6 * on, torch.full_like(on, 0.2)])
    return (colours + noise)[None], on[None, None]


def test_the_object_in_the_box_is_the_mask():
    picture, truth = disc()
    mask = cutouts.cut_out(picture, (16, 6, 48, 48))
    assert mask.shape == truth.shape
    overlap = float((mask * truth).sum() / (mask + truth).clamp_max(1).sum())
    assert overlap > 0.95
    assert torch.equal(mask, cutouts.cut_out(picture, (16, 6, 48, 48)))


def test_a_large_picture_is_cut_out_at_its_size(monkeypatch):
    monkeypatch.setattr(cutouts, "LONGEST", 64)
    picture, truth = disc()
    mask = cutouts.cut_out(picture, (16, 6, 48, 48))
    assert float((mask - truth).abs().mean()) < 0.05


def test_a_box_that_leaves_out_a_line_is_a_part_of_a_large_picture_too(monkeypatch):
    monkeypatch.setattr(cutouts, "LONGEST", 64)
    picture, truth = disc(120, 160)
    assert float((cutouts.cut_out(picture, (0, 0, 159, 119)) - truth).abs().mean()) < 0.05
    for box in ((0, 0, 159, 120), (1, 0, 159, 120), (156, 116, 4, 4), (0, 0, 4, 4)):
        left, top, width, height = cutouts._scale(box, (120, 160), (6, 8))
        assert 0 <= left <= left + 2 <= left + width <= 8
        assert 0 <= top <= top + 2 <= top + height <= 6
        assert (width, height) != (8, 6)


@pytest.mark.parametrize("box", [(-1, 0, 20, 20), (70, 0, 20, 20), (0, 0, 80, 60), (5, 5, 2, 20)])
def test_a_box_outside_is_refused(box):
    with pytest.raises(PictureError, match="a part of it"):
        cutouts.cut_out(disc()[0], box)


def test_nothing_outside_of_the_box_is_in_the_mask(monkeypatch):
    monkeypatch.setattr(cutouts, "LONGEST", 64)  # so that the mask is enlarged, and blurred by it
    picture = disc()[0]
    left, top, width, height = 25, 15, 30, 30  # the disc reaches beyond it on all sides
    mask = cutouts.cut_out(picture, (left, top, width, height))
    outside = torch.ones(60, 80, dtype=torch.bool)
    outside[top : top + height, left : left + width] = False
    assert float(mask[0, 0][~outside].mean()) > 0.5
    assert float(mask[0, 0][outside].max()) == 0.0


def test_specks_are_removed_and_second_objects_kept():
    picture, truth = disc(60, 120)
    smaller = (slice(None), slice(None), slice(10, 20), slice(80, 90))  # 100 of 1009 pixels
    speck = (slice(None), slice(None), slice(45, 47), slice(70, 72))
    for place in (smaller, speck):
        picture[place] = picture[:, :, 30:31, 40:41]
    mask = cutouts.cut_out(picture, (16, 6, 84, 48))
    assert float(mask[smaller].mean()) > 0.9
    assert float(mask[speck].max()) == 0.0
    assert float((mask - truth).abs()[..., :70].mean()) < 0.02


def test_each_round_is_reported():
    heard: list[Progress] = []
    with listening(heard.append):
        cutouts.cut_out(disc()[0], (16, 6, 48, 48))
    assert heard == [Progress("cutting out", done, 5, "rounds") for done in range(6)]


def test_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImpastoError, match=r"needs OpenCV, .*pip install 'impasto\[masks\]'"):
        cutouts.cut_out(disc()[0], (16, 6, 48, 48))


def test_the_command_writes_a_mask(tmp_path):
    path = pictures.save(tmp_path / "disc.png", disc()[0])
    assert mask_command(path, output=tmp_path / "mask.png", box=[16, 6, 48, 48], quiet=True) == 0
    assert 0.1 < float(pictures.load(tmp_path / "mask.png").pixels.mean()) < 0.4
    with pytest.raises(RecipeError, match="left,top,width,height"):
        mask_command(path, output=tmp_path / "mask.png", box=[16, 6, 48], quiet=True)
