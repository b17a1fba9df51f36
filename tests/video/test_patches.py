"""Patches of key frames: what is found again, from several keys too, and that nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clips import texture
from impasto.video.patches import FrameGuides, paint_with_patches, patch_sources
from impasto.video.store import from_pixels


def painting(film: torch.Tensor) -> torch.Tensor:
    """Other colours for the same picture."""
    red, green, blue = film.unbind(1)
    return torch.stack([1.0 - green, 0.2 + 0.6 * red, blue], 1)


def guides(film: torch.Tensor, flow: np.ndarray, trust: torch.Tensor, keys: int = 1) -> FrameGuides:
    grey = torch.full_like(film, 0.5)
    return FrameGuides(film, [flow] * keys, [trust] * keys, grey, torch.zeros_like(trust))


@pytest.mark.slow
def test_what_the_flow_lost_is_found_by_its_appearance() -> None:
    """The film has moved by 13 and 6 pixels, and no flow is known: the patches must be found from nothing."""
    large = from_pixels(texture(96, 128, 5))
    key, film = large[..., :80, :112], large[..., 6:86, 13:125]
    nothing, no_flow = torch.zeros_like(film[:, :1]), np.zeros((80, 112, 2), dtype=np.float32)
    sources = patch_sources([key], [painting(key)])
    everywhere = nothing == 0
    picture, fit = paint_with_patches(sources, guides(film, no_flow, nothing), everywhere, seed=0)
    seen = (..., slice(0, 70), slice(0, 95))  # what the key shows too
    error = (picture - painting(film))[seen].abs().mean()
    unmoved = (painting(key) - painting(film))[seen].abs().mean()
    assert float(error) < 0.35 * float(unmoved)
    assert float(fit[seen].mean()) > 0.8
    again, _ = paint_with_patches(sources, guides(film, no_flow, nothing), everywhere, seed=0)
    assert torch.equal(picture, again)


@pytest.mark.slow
def test_each_part_comes_from_the_key_that_shows_it() -> None:
    film = from_pixels(texture(64, 96, 2))
    other = from_pixels(texture(64, 96, 9))
    left = torch.cat([film[..., :48], other[..., 48:]], 3)
    right = torch.cat([other[..., :48], film[..., 48:]], 3)
    sources = patch_sources([left, right], [painting(left), painting(right)])
    nothing, no_flow = torch.zeros_like(film[:, :1]), np.zeros((64, 96, 2), dtype=np.float32)
    picture, fit = paint_with_patches(sources, guides(film, no_flow, nothing, 2), nothing == 0, seed=0)
    assert float((picture - painting(film)).abs().mean()) < 0.03
    assert float(fit.mean()) > 0.9


def test_only_the_part_that_is_wanted_changes() -> None:
    film = from_pixels(texture(48, 64, 3))
    trust, no_flow = torch.ones(1, 1, 48, 64), np.zeros((48, 64, 2), dtype=np.float32)
    sources = patch_sources([film], [painting(film)])
    frame = guides(film, no_flow, trust)
    wanted = torch.zeros_like(trust, dtype=torch.bool)
    picture, fit = paint_with_patches(sources, frame, wanted, seed=0)
    assert picture is frame.guess
    assert bool((fit == 1.0).all())
    wanted[..., 20:28, 30:40] = True
    picture, fit = paint_with_patches(sources, frame, wanted, seed=0)
    far = torch.ones_like(film, dtype=torch.bool)
    far[..., 4:44, 14:56] = False  # detail is raised as far as its blur reaches
    assert torch.allclose(picture[far], frame.guess[far], atol=0.02)
    inside = (..., slice(21, 27), slice(31, 39))
    assert float((picture - painting(film))[inside].abs().mean()) < 0.02
