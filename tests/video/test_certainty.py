"""Occlusion, motion boundaries, certainty and stillness, against slow twins of the formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clips import moving_square, texture
from impasto.video.certainty import (
    long_term_certainties,
    motion_boundaries,
    occluded,
    past_certainty,
    slow_mask,
    still_mask,
)
from impasto.video.flow import FLOW_METHODS, flow_both_ways, sample_flow, to_luma
from impasto.video.store import from_pixels
from impasto.video.warping import warp

DIS = FLOW_METHODS["dis"]()


def bilinear(field: np.ndarray, x: float, y: float) -> np.ndarray:
    """One sample, edges repeated."""
    height, width = field.shape[:2]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    x0, y0 = min(int(x), width - 2), min(int(y), height - 2)
    fx, fy = x - x0, y - y0
    top = field[y0, x0] * (1 - fx) + field[y0, x0 + 1] * fx
    bottom = field[y0 + 1, x0] * (1 - fx) + field[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def test_occlusion_is_the_papers_formula() -> None:
    random = np.random.RandomState(0)
    flow = random.normal(0, 2, (9, 11, 2)).astype(np.float32)
    back = (-flow + random.normal(0, 0.6, flow.shape)).astype(np.float32)
    found = occluded(flow, back)
    for y in range(9):
        for x in range(11):
            tx, ty = x + flow[y, x, 0], y + flow[y, x, 1]
            other = bilinear(back, tx, ty)
            gap = ((flow[y, x] + other) ** 2).sum()
            bound = 0.01 * ((flow[y, x] ** 2).sum() + (other**2).sum()) + 0.5
            outside = tx < -0.5 or ty < -0.5 or tx > 10.5 or ty > 8.5
            if abs(gap - bound) > 0.05 * bound:  # OpenCV rounds the place to 1/32 of a pixel
                assert found[y, x] == (gap >= bound or outside)


def test_motion_boundaries_are_the_papers_formula() -> None:
    flow = np.zeros((12, 16, 2), np.float32)
    flow[:, 8:, 0] = 5
    found = motion_boundaries(flow)
    slope = np.zeros(16)
    slope[7:9] = 2.5  # central differences over the step
    expected = slope**2 > 0.01 * np.square(flow[0]).sum(-1) + 0.002
    assert np.array_equal(found[6], expected)
    assert found[6, 7]


def test_what_the_square_uncovers_is_uncertain_and_the_rest_is_not() -> None:
    before, now = (from_pixels(frame) for frame in moving_square(2, 128, 192, 48, step=8))
    forth, back = flow_both_ways(to_luma(before, 192), to_luma(now, 192), DIS)
    trust, field = past_certainty(back, forth, now, before)
    uncovered, ground = trust[0, 0, 24:64, 9:15], trust[0, 0, 90:120, 100:180]
    assert uncovered.mean() < 0.45
    assert ground.min() > 0.8
    assert np.median(field[32:56, 28:52], axis=(0, 1)) == pytest.approx([-8, 0], abs=0.7)


def test_where_the_frames_agree_a_motion_boundary_is_no_hole() -> None:
    """A texture stretched by 3 pixels over eight: by the paper's formula a boundary; nothing is uncovered."""
    then = from_pixels(texture(64, 96, 5))
    flow = np.zeros((64, 96, 2), np.float32)
    flow[..., 0] = np.clip((np.arange(96) - 44) / 8, 0, 1) * 3
    back = -sample_flow(flow, -flow)
    for _ in range(20):  # what leads back: back(q) = −flow(q + back(q))
        back = -sample_flow(flow, back)
    now = warp(then, flow, "bilinear")
    ramp = (slice(None), slice(None), slice(8, -8), slice(45, 51))
    assert motion_boundaries(flow)[32, 45:51].any()
    assert not occluded(flow, back)[8:-8, 45:51].any()
    assert past_certainty(flow, back, now, then)[0][ramp].min() > 0.9
    # Something else by a twelfth of the range: elsewhere it may be light, on a boundary it is a hole.
    changed = (now + 0.085).clamp(0, 1)
    trust = past_certainty(flow, back, changed, then)[0]
    assert trust[ramp].mean() < 0.25
    assert trust[..., 8:-8, 70:80].mean() > 0.5


def test_the_nearest_frame_that_saw_a_pixel_has_the_say() -> None:
    near, far, farther = (torch.tensor([[[[a, b, c]]]]) for a, b, c in ((1, 0, 0.5), (1, 1, 0.7), (1, 1, 1)))
    shared = long_term_certainties([near, far, farther])
    assert [one.flatten().tolist() for one in shared] == [
        [1.0, 0.0, 0.5],
        [0.0, 1.0, pytest.approx(0.2)],
        [0.0, 0.0, 0.0],
    ]


def test_noise_is_still_and_motion_is_not() -> None:
    ground = from_pixels(texture(64, 96))
    noisy = (ground + 0.01 * torch.randn(ground.shape, generator=torch.Generator().manual_seed(0))).clamp(
        0, 1
    )
    assert still_mask(noisy, ground, 0.02).min() == 1.0
    before, now = (from_pixels(frame) for frame in moving_square(2))
    stays = still_mask(now, before, 0.02)[0, 0]
    assert stays[20:44, 8:38].max() < 1.0
    assert stays[50:, 70:].min() == 1.0
    assert still_mask(now, before, 0.0).max() == 0.0


def test_a_flat_part_that_moves_is_not_slow() -> None:
    flow = np.zeros((32, 32, 2), np.float32)
    flow[:, 16:, 0] = 1.0
    slow = slow_mask(flow, 0.4)[0, 0]
    assert slow[:, :10].min() == 1.0
    assert slow[:, 22:].max() == 0.0
