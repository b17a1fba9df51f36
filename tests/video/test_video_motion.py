"""Flow, warping, occlusion and cuts against known motion and slow twins of the formulas."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clips import moving_square, texture
from impasto.errors import VideoError
from impasto.video import motion
from impasto.video.cuts import change, cuts, shots, signature
from impasto.video.store import from_pixels

DIS = motion.FLOWS["dis"]()


def shifted(height: int, width: int, dx: int, dy: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two windows of one texture: what is at p in the first is at p + (dx, dy) in the second."""
    big = texture(height + 32, width + 32, 5)
    first, second = big[16:-16, 16:-16], big[16 - dy : 16 - dy + height, 16 - dx : 16 - dx + width]
    return from_pixels(first), from_pixels(second)


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_flow_of_a_known_shift(method: str) -> None:
    first, second = shifted(96, 128, 4, -3)
    forth, back = motion.flows(motion.grey(first, 128), motion.grey(second, 128), motion.FLOWS[method]())
    assert np.median(forth[10:-10, 10:-10], axis=(0, 1)) == pytest.approx([4, -3], abs=0.2)
    assert np.median(back[10:-10, 10:-10], axis=(0, 1)) == pytest.approx([-4, 3], abs=0.2)


def test_warping_by_whole_pixels_is_exact() -> None:
    picture = from_pixels(texture(24, 32))
    flow = np.zeros((24, 32, 2), np.float32)
    assert (motion.warp(picture, flow) - picture).abs().max() < 1e-4
    flow[..., 0], flow[..., 1] = 3, -2
    found = motion.warp(picture, flow)
    assert (found[..., 2:, :-3] - picture[..., :-2, 3:]).abs().max() < 1e-4


def test_a_flow_is_resized_with_its_vectors() -> None:
    flow = np.zeros((10, 20, 2), np.float32)
    flow[..., 0], flow[..., 1] = 4, 6
    larger = motion.resize_flow(flow, (30, 40))
    assert larger.shape == (30, 40, 2)
    assert np.allclose(larger, [8, 18])


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
    found = motion.occluded(flow, back)
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
    found = motion.motion_boundaries(flow)
    slope = np.zeros(16)
    slope[7:9] = 2.5  # central differences over the step
    expected = slope**2 > 0.01 * np.square(flow[0]).sum(-1) + 0.002
    assert np.array_equal(found[6], expected)
    assert found[6, 7]


def test_what_the_square_uncovers_is_uncertain_and_the_rest_is_not() -> None:
    before, now = (from_pixels(frame) for frame in moving_square(2, 128, 192, 48, step=8))
    forth, back = motion.flows(motion.grey(before, 192), motion.grey(now, 192), DIS)
    trust, field = motion.certainty(back, forth, now, before)
    uncovered, ground = trust[0, 0, 24:64, 9:15], trust[0, 0, 90:120, 100:180]
    assert uncovered.mean() < 0.45
    assert ground.min() > 0.8
    assert np.median(field[32:56, 28:52], axis=(0, 1)) == pytest.approx([-8, 0], abs=0.7)


def test_where_the_frames_agree_a_motion_boundary_is_no_hole() -> None:
    """A texture stretched by 3 pixels over eight: by the paper's formula a boundary; nothing is uncovered."""
    then = from_pixels(texture(64, 96, 5))
    flow = np.zeros((64, 96, 2), np.float32)
    flow[..., 0] = np.clip((np.arange(96) - 44) / 8, 0, 1) * 3
    back = -motion._sampled(flow, -flow)
    for _ in range(20):  # what leads back: back(q) = −flow(q + back(q))
        back = -motion._sampled(flow, back)
    now = motion.warp(then, flow, "bilinear")
    ramp = (slice(None), slice(None), slice(8, -8), slice(45, 51))
    assert motion.motion_boundaries(flow)[32, 45:51].any()
    assert not motion.occluded(flow, back)[8:-8, 45:51].any()
    assert motion.certainty(flow, back, now, then)[0][ramp].min() > 0.9
    # Something else by a twelfth of the range: elsewhere it may be light, on a boundary it is a hole.
    changed = (now + 0.085).clamp(0, 1)
    trust = motion.certainty(flow, back, changed, then)[0]
    assert trust[ramp].mean() < 0.25
    assert trust[..., 8:-8, 70:80].mean() > 0.5


def test_a_flow_meets_the_other_ones_inverse_half_way() -> None:
    flow, back = np.zeros((2, 20, 30, 2), np.float32)
    flow[..., 0], back[..., 0] = 3.2, -3.0
    assert np.allclose(motion.settled(flow, back)[..., 0], 3.1)
    flow[..., 0] = 3.75  # half as much at three quarters of a pixel, nothing from a whole one
    assert np.allclose(motion.settled(flow, back)[..., 0], 3.75 - 0.75 / 4)
    flow[..., 0] = 4.5
    assert np.array_equal(motion.settled(flow, back), flow)


def test_the_nearest_frame_that_saw_a_pixel_has_the_say() -> None:
    near, far, farther = (torch.tensor([[[[a, b, c]]]]) for a, b, c in ((1, 0, 0.5), (1, 1, 0.7), (1, 1, 1)))
    shared = motion.long_term([near, far, farther])
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
    assert motion.still(noisy, ground, 0.02).min() == 1.0
    before, now = (from_pixels(frame) for frame in moving_square(2))
    stays = motion.still(now, before, 0.02)[0, 0]
    assert stays[20:44, 8:38].max() < 1.0
    assert stays[50:, 70:].min() == 1.0
    assert motion.still(now, before, 0.0).max() == 0.0


def test_a_flat_part_that_moves_is_not_slow() -> None:
    flow = np.zeros((32, 32, 2), np.float32)
    flow[:, 16:, 0] = 1.0
    slow = motion.slow(flow)[0, 0]
    assert slow[:, :10].min() == 1.0
    assert slow[:, 22:].max() == 0.0


def test_cuts_are_found_and_fast_motion_is_none() -> None:
    scenes = [moving_square(8), [255 - frame for frame in moving_square(6, step=5)], [texture(64, 96, 9)] * 5]
    frames = [signature(frame) for scene in scenes for frame in scene]
    changes = [0.0, *(change(a, b) for a, b in pairwise(frames))]
    assert cuts(changes, 15.0) == [8, 14]
    assert shots(19, [8, 14]) == [(0, 8), (8, 14), (14, 19)]
    assert cuts([0.0, *[22.0, 25.0, 20.0] * 4], 15.0) == [], "a shaking camera"


def test_flow_against_the_truth_of_flying_chairs(shared: Path) -> None:
    folder = shared / "data" / "video" / "flyingchairs_pair0_gt"
    if not folder.exists():
        pytest.skip("no ground truth here")
    import cv2

    raw = (folder / "0flow.flo").read_bytes()
    width, height = np.frombuffer(raw, np.int32, 2, 4)
    truth = np.frombuffer(raw, np.float32, offset=12).reshape(height, width, 2)
    pair = [cv2.cvtColor(cv2.imread(str(folder / f"0img{k}.ppm")), cv2.COLOR_BGR2GRAY) for k in (0, 1)]
    error = np.sqrt(np.square(DIS(*pair) - truth).sum(-1))
    nothing = np.sqrt(np.square(truth).sum(-1)).mean()
    assert error.mean() < 0.6 * nothing  # 1.76 pixels against 2.99
    assert np.median(error) < 0.1


def test_a_bare_wall_does_not_move_where_the_camera_rests() -> None:
    """Half wall, half texture, a square that moves, and a camera's noise: the wall has no flow of its own."""
    random = np.random.RandomState(0)
    ground = np.full((128, 192), 90, np.float32)
    ground[:, 96:] = texture(128, 96, 3)[..., 0]
    square = texture(32, 32, 2)[..., 1]
    pair = []
    for left in (120, 125):
        frame = ground.copy()
        frame[48:80, left : left + 32] = square
        pair.append((frame + random.normal(0, 2, frame.shape)).clip(0, 255).astype(np.uint8))
    raw, found = DIS(*pair), motion.flows(*pair, DIS)[0]
    assert np.abs(raw[:, :80]).max() > 0.1, "the method finds motion in noise"
    assert np.abs(found[:, :80]).max() == 0.0
    assert np.median(found[54:74, 126:146, 0]) == pytest.approx(5.0, abs=0.3), "what moves still does"


def test_a_bare_wall_goes_along_where_the_camera_pans() -> None:
    big = texture(128, 220, 3)[..., 0].astype(np.float32)
    big[:, :80] = 90
    pair = [big[:, left : left + 192].astype(np.uint8) for left in (0, 3)]
    assert np.array_equal(motion.flows(*pair, DIS)[0], DIS(*pair))


def test_brighter_light_is_no_motion() -> None:
    frame = texture(96, 128, 3)[..., 0] // 2 + 40
    assert np.abs(motion.flows(frame, frame + 6, DIS)[0]).max() == 0.0


def _torchvision(monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any]) -> None:
    """A stand-in for torchvision's optical flow."""
    module = types.ModuleType("torchvision.models.optical_flow")
    module.Raft_Small_Weights = types.SimpleNamespace(DEFAULT="weights")  # type: ignore[attr-defined]
    module.raft_small = make  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize(("height", "width"), [(136, 160), (130, 150), (60, 96), (17, 300)])
def test_raft_gets_what_it_needs_and_its_flow_comes_back_in_pixels(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    """A stand-in that moves everything by a 20th of what it is shown, in the second picture's brightness."""

    class Shown(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
            assert a.shape == b.shape
            assert a.shape[:2] == (1, 3)
            assert min(a.shape[2:]) >= 128
            assert all(side % 8 == 0 for side in a.shape[2:])
            assert float(a.min()) >= -1
            assert float(a.max()) <= 1
            return [
                torch.zeros(1, 2, *a.shape[2:]),
                torch.cat([b[:, :1] * a.shape[3], a[:, :1] * a.shape[2]], 1) / 20,
            ]

    _torchvision(monkeypatch, lambda weights, progress: Shown())
    first, second = (np.full((height, width), value, np.uint8) for value in (255, 51))
    second[:, : width // 2] = 204
    found = motion.FLOWS["raft"]()(first, second)
    assert found.shape == (height, width, 2)
    assert found.dtype == np.float32
    # Sides are made larger and padded to eights: by as much the stand-in's "20th" is more.
    np.testing.assert_allclose(found[..., 1], height / 20, rtol=0.07)
    np.testing.assert_allclose(found[:, : width // 2 - 2, 0], 0.6 * width / 20, rtol=0.07)
    np.testing.assert_allclose(found[:, width // 2 + 2 :, 0], -0.6 * width / 20, rtol=0.07)


def test_raft_without_network_or_with_another_torchvision_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_network(weights: str, progress: bool) -> None:
        raise OSError("no route")

    _torchvision(monkeypatch, no_network)
    with pytest.raises(VideoError, match="could not be fetched: no route; dis and farneback"):
        motion.FLOWS["raft"]()
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", None)
    with pytest.raises(VideoError, match="not installed; dis and farneback"):
        motion.FLOWS["raft"]()
