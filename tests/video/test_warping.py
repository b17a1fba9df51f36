"""Sampling along a flow: exact at whole pixels, without loss of contrast between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clips import texture
from impasto.video import warping
from impasto.video.store import from_pixels
from impasto.video.warping import warp


def test_warping_by_whole_pixels_is_exact() -> None:
    picture = from_pixels(texture(24, 32))
    flow = np.zeros((24, 32, 2), np.float32)
    assert (warp(picture, flow) - picture).abs().max() < 1e-4
    flow[..., 0], flow[..., 1] = 3, -2
    found = warp(picture, flow)
    assert (found[..., 2:, :-3] - picture[..., :-2, 3:]).abs().max() < 1e-4


def test_sampling_again_and_again_keeps_the_contrast() -> None:
    picture = from_pixels(texture(64, 64, 4)) * 0.6 + 0.2
    flow = np.full((64, 64, 2), 0.5, np.float32)
    moved = picture
    for step in range(20):
        moved = warp(moved, flow if step % 2 else -flow)
    inner = (slice(None), slice(None), slice(12, -12), slice(12, -12))
    assert float(moved[inner].std() / picture[inner].std()) == pytest.approx(1.0, abs=0.02)
    # No frequency gains, and the lower six tenths lose nothing, wherever between two pixels the place is.
    for fraction in (0.1, 0.25, 0.5, 0.9):
        taps = warping._taps(torch.tensor(fraction, dtype=torch.float64))
        wave = torch.exp(1j * torch.outer(torch.linspace(0, 3.14159, 50), torch.arange(-4.0, 6.0)))
        gain = (wave.to(torch.complex128) @ torch.stack(taps).to(torch.complex128)).abs()
        assert float(gain.max()) <= 1.002
        assert float(gain[: len(gain) * 6 // 10].min()) > 0.99


def test_the_faster_filter_is_nearly_the_same() -> None:
    picture = from_pixels(texture(48, 64, 3))
    flow = np.random.RandomState(0).uniform(-3, 3, (1, 1, 2)).astype(np.float32) * np.ones(
        (48, 64, 1), np.float32
    )
    sharp, fast, soft = (
        warp(picture, flow, mode)[..., 8:-8, 8:-8] for mode in ("sharp", "lanczos", "bilinear")
    )
    assert float((fast - sharp).abs().mean()) < 0.003
    assert float((fast - sharp).abs().mean()) < 0.5 * float((soft - sharp).abs().mean())
    grey = warp(picture[:, :1], flow, "lanczos")
    assert grey.shape == (1, 1, 48, 64)
