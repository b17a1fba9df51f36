"""Optical flow: known motion, noise that is no motion, RAFT behind a stand-in."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clips import texture
from impasto.errors import VideoError
from impasto.video.flow import FLOW_METHODS, flow_both_ways, resize_flow, symmetrise, to_luma
from impasto.video.store import from_pixels

DIS = FLOW_METHODS["dis"]()


def shifted(height: int, width: int, dx: int, dy: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two windows of one texture: what is at p in the first is at p + (dx, dy) in the second."""
    big = texture(height + 32, width + 32, 5)
    first, second = big[16:-16, 16:-16], big[16 - dy : 16 - dy + height, 16 - dx : 16 - dx + width]
    return from_pixels(first), from_pixels(second)


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_flow_of_a_known_shift(method: str) -> None:
    first, second = shifted(96, 128, 4, -3)
    lumas = to_luma(first, 128), to_luma(second, 128)
    forth, back = flow_both_ways(*lumas, FLOW_METHODS[method]())
    assert np.median(forth[10:-10, 10:-10], axis=(0, 1)) == pytest.approx([4, -3], abs=0.2)
    assert np.median(back[10:-10, 10:-10], axis=(0, 1)) == pytest.approx([-4, 3], abs=0.2)


def test_a_flow_is_resized_with_its_vectors() -> None:
    flow = np.zeros((10, 20, 2), np.float32)
    flow[..., 0], flow[..., 1] = 4, 6
    larger = resize_flow(flow, (30, 40))
    assert larger.shape == (30, 40, 2)
    assert np.allclose(larger, [8, 18])


def test_a_flow_meets_the_other_ones_inverse_half_way() -> None:
    flow, back = np.zeros((2, 20, 30, 2), np.float32)
    flow[..., 0], back[..., 0] = 3.2, -3.0
    assert np.allclose(symmetrise(flow, back)[..., 0], 3.1)
    flow[..., 0] = 3.75  # half as much at three quarters of a pixel, nothing from a whole one
    assert np.allclose(symmetrise(flow, back)[..., 0], 3.75 - 0.75 / 4)
    flow[..., 0] = 4.5
    assert np.array_equal(symmetrise(flow, back), flow)


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
    raw, found = DIS(*pair), flow_both_ways(*pair, DIS)[0]
    assert np.abs(raw[:, :80]).max() > 0.1, "the method finds motion in noise"
    assert np.abs(found[:, :80]).max() == 0.0
    assert np.median(found[54:74, 126:146, 0]) == pytest.approx(5.0, abs=0.3), "what moves still does"


def test_a_bare_wall_goes_along_where_the_camera_pans() -> None:
    big = texture(128, 220, 3)[..., 0].astype(np.float32)
    big[:, :80] = 90
    pair = [big[:, left : left + 192].astype(np.uint8) for left in (0, 3)]
    assert np.array_equal(flow_both_ways(*pair, DIS)[0], DIS(*pair))


def test_brighter_light_is_no_motion() -> None:
    frame = texture(96, 128, 3)[..., 0] // 2 + 40
    assert np.abs(flow_both_ways(frame, frame + 6, DIS)[0]).max() == 0.0


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
    found = FLOW_METHODS["raft"]()(first, second)
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
        FLOW_METHODS["raft"]()
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", None)
    with pytest.raises(VideoError, match="not installed; dis and farneback"):
        FLOW_METHODS["raft"]()
