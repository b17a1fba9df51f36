"""Masks cut out of a box."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from impasto import pictures
from impasto.errors import PictureError
from impasto.masks import cutouts

pytest.importorskip("cv2")


def disc(height: int = 60, width: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    """A red disc on uneven green, and where it is."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    on = ((y - 30) ** 2 + (x - 40) ** 2 < 18**2).float()
    noise = 0.1 * torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    colours = torch.stack([0.1 + 0.7 * on, 0.7 - 0.6 * on, torch.full_like(on, 0.2)])
    return (colours + noise)[None], on[None, None]


def test_the_thing_in_the_box_is_found():
    picture, truth = disc()
    found = cutouts.cut_out(picture, (16, 6, 48, 48))
    assert found.shape == truth.shape
    overlap = float((found * truth).sum() / (found + truth).clamp_max(1).sum())
    assert overlap > 0.95
    assert torch.equal(found, cutouts.cut_out(picture, (16, 6, 48, 48)))


def test_a_large_picture_is_cut_at_its_own_size(monkeypatch):
    monkeypatch.setattr(cutouts, "LONGEST", 64)
    picture, truth = disc()
    found = cutouts.cut_out(picture, (16, 6, 48, 48))
    assert float((found - truth).abs().mean()) < 0.05


@pytest.mark.parametrize("box", [(-1, 0, 20, 20), (70, 0, 20, 20), (0, 0, 80, 60), (5, 5, 2, 20)])
def test_a_box_outside_is_refused(box):
    with pytest.raises(PictureError, match="a part of it"):
        cutouts.cut_out(disc()[0], box)


def test_the_command_writes_a_mask(tmp_path):
    path = pictures.save(tmp_path / "disc.png", disc()[0])
    command = [sys.executable, "-m", "impasto.cli", "mask", str(path), "-o", str(tmp_path / "mask.png")]
    done = subprocess.run([*command, "--box", "16,6,48,48"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0.1 < float(pictures.load(tmp_path / "mask.png").pixels.mean()) < 0.4
    wrong = subprocess.run([*command, "--box", "16,6,48"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
