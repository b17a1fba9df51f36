"""Positions are carried along the motion without adding up errors; blends keep their contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clips import texture
from impasto.video.carrying import blend, carry, start_at_key, step_between
from impasto.video.flow import FLOW_METHODS
from impasto.video.store import from_pixels


@pytest.mark.slow
def test_a_moving_texture_is_followed_within_a_quarter_of_a_pixel() -> None:
    """Twelve frames of 1.5 pixels each: 18 pixels, of which the flow of each step is off by a little."""
    large = from_pixels(texture(120, 200, 3))
    film = [
        torch.nn.functional.interpolate(large, scale_factor=2, mode="bicubic", antialias=True)
        [..., 20:180, 40 + 3 * k : 300 + 3 * k : 1][..., ::2, ::2].clamp(0, 1)
        for k in range(13)
    ]  # fmt: skip
    method, carried = FLOW_METHODS["dis"](), start_at_key(film[0])
    assert not carried.flow.any()
    for index in range(1, 13):
        step = step_between(film[index], film[index - 1], method, 640)
        carried = carry(carried, step, film[index], film[0], method, 640)
    inside = (slice(10, -10), slice(10, -40))  # 18 pixels have come in on the right
    errors = carried.flow[inside] - np.array([18.0, 0.0], dtype=np.float32)
    assert np.median(np.abs(errors)) < 0.25
    trust = carried.trust[0, 0].numpy()
    assert trust[inside].mean() > 0.8
    assert trust[:, -12:].mean() < 0.2


def test_a_blend_of_two_paintings_has_their_contrast() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (0.5 + 0.1 * torch.randn(1, 3, 64, 64, generator=generator) for _ in range(2))
    half = torch.full((1, 1, 64, 64), 0.3)
    mixed = blend([first, second], [half, half])
    assert float(mixed.std()) == pytest.approx(0.1, rel=0.05)
    assert float(((first + second) / 2).std()) == pytest.approx(0.0707, rel=0.05)
    assert float(mixed.mean()) == pytest.approx(0.5, abs=0.01)
    none = torch.zeros_like(half)
    assert torch.allclose(blend([first, second], [half, none]), first.clamp(0, 1), atol=1e-5)
    assert torch.allclose(blend([first, second], [none, none]), mixed, atol=1e-5)
    assert torch.allclose(blend([first, first], [half, half]), first.clamp(0, 1), atol=1e-5)
