"""Where a picture has strong and dense outlines."""

from __future__ import annotations

import pytest
import torch

from impasto.pictures import outlines
from impasto.pictures.outlines import outline_strength


def face() -> torch.Tensor:
    """A smooth ramp with a small pattern of stripes, as an eye is, and a faint long edge."""
    picture = torch.linspace(0.4, 0.6, 96).expand(1, 3, 80, 96).clone()
    picture[..., 30:40, 20:34:2] = 0.05
    picture[..., 60:, :] += 0.03
    return picture


def test_small_features_count_and_smooth_areas_and_faint_edges_do_not():
    strength = outline_strength(face())[0, 0]
    assert strength.shape == (80, 96)
    assert strength[31:39, 22:32].min() > 0.8
    assert strength[:20].max() < 0.01
    assert strength[10:50, 60:].max() < 0.01
    assert strength[60, 70] < 0.2


def test_contrast_is_relative_to_the_picture():
    faint = 0.5 + (face() - 0.5) * 0.5
    torch.testing.assert_close(outline_strength(faint), outline_strength(face()), atol=1e-4, rtol=1e-3)


def test_a_flat_picture_has_no_outlines():
    noise = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    assert outline_strength(torch.full((1, 3, 40, 40), 0.3)).max() == 0
    assert outline_strength(0.5 + 0.001 * noise).max() < 0.1


def test_tiles_give_the_same(monkeypatch: pytest.MonkeyPatch):
    whole = outline_strength(face())
    monkeypatch.setattr(outlines, "TILE", 32)
    torch.testing.assert_close(outline_strength(face()), whole, atol=1e-5, rtol=0)
