"""Frames that follow each other, with the tiny encoder: still parts, fades, cuts, passes, masks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from clips import moving_square, texture
from impasto.painting.engine import MemoryLimits
from impasto.scene import Style
from impasto.video import clip_context
from impasto.video.frame_painting import apply_mask, paint_following_frame, paint_frame, quantise
from impasto.video.store import from_pixels
from impasto.video.warped_past import EarlierFrame
from tiny_video import PICTURE, QUICK, paint_in_order, tiny_context


def test_a_still_clip_is_painted_once() -> None:
    frame = from_pixels(texture(64, 96))
    painted = paint_in_order([frame] * 4, tiny_context())
    assert all(torch.equal(one.pixels, painted[0].pixels) for one in painted)
    assert [one.iterations for one in painted[1:]] == [0.0] * 3


@pytest.mark.slow
@pytest.mark.parametrize(("tolerance", "within"), [(0.02, 0.0), (0.0, 0.003)])
def test_sixty_noisy_still_frames_do_not_drift(tolerance: float, within: float) -> None:
    """Not at all by default; mean and contrast within 5e-5 a frame where every frame is painted anew."""
    generator = torch.Generator().manual_seed(0)
    ground = from_pixels(texture(48, 48)) * 0.8 + 0.1
    recipe = QUICK.replace(still_tolerance=tolerance, following_iterations=2, fill_iterations=(1,))
    context = tiny_context(recipe, 48, 48)
    first = last = paint_frame(ground, context)
    for _ in range(60):
        noisy = quantise(ground + 0.008 * torch.randn(ground.shape, generator=generator))
        earlier = [EarlierFrame(noisy, last.pixels)]
        last = paint_following_frame(noisy, earlier, last.reference, context, first=first.pixels)
    assert float(last.pixels.mean() / first.pixels.mean()) == pytest.approx(1.0, abs=within)
    assert float(last.pixels.std() / first.pixels.std()) == pytest.approx(1.0, abs=within)


@pytest.mark.slow
def test_a_slow_fade_is_followed() -> None:
    """Each frame differs from the last by less than the tolerance, the last from the first by far more."""
    ground = from_pixels(texture(40, 40))
    frames = [quantise(ground * (1 - 0.012 * k)) for k in range(30)]
    painted = paint_in_order(frames, tiny_context(height=40, width=40))
    assert sum(one.iterations > 0 for one in painted[1:]) >= 5
    assert float((painted[-1].reference - frames[-1]).abs().mean()) < 0.04


@pytest.mark.slow
def test_what_stands_still_beside_motion_is_copied_bit_by_bit() -> None:
    frames = [from_pixels(frame) for frame in moving_square(4)]
    painted = paint_in_order(frames, tiny_context())
    for before, now in pairwise(painted):
        assert torch.equal(before.pixels[..., 54:, 70:], now.pixels[..., 54:, 70:])
        assert now.iterations > 0


def test_a_frame_that_shares_nothing_is_painted_as_a_picture() -> None:
    before, now = from_pixels(texture(64, 96, 1)), from_pixels(255 - texture(64, 96, 8))
    context = tiny_context()
    painted = paint_following_frame(now, [EarlierFrame(before, before)], before, context)
    assert painted.known == 0.0
    assert painted.iterations > 8


@pytest.mark.slow
def test_later_passes_start_from_a_blend() -> None:
    frames = [from_pixels(frame) for frame in moving_square(2)]
    context = tiny_context()
    base = paint_frame(frames[0], context).pixels
    neighbour = paint_frame(frames[1], context).pixels
    earlier = [EarlierFrame(frames[1], neighbour)]
    painted = paint_following_frame(frames[0], earlier, frames[1], context, base=base)
    assert painted.iterations == context.recipe.following_iterations


def test_finished_frames_follow_the_motion() -> None:
    """What is known is finished again, and yet nearly what it was; from other noise it gets other strokes."""
    frames = [from_pixels(frame) for frame in moving_square(2)]
    picture = PICTURE.replace(init="noise", iterations=(4,), finishing=(4,))
    recipe = QUICK.replace(picture=picture, fill_iterations=(1, 1), still_tolerance=0.0)
    context = tiny_context(recipe, styles=(Style(from_pixels(texture(32, 32, 7))),))
    before, after = paint_in_order(frames, context)
    assert any("finishing" in name for name in after.terms)
    other = replace(context, recipe=context.recipe.replace(picture=picture.replace(seed=1)))
    alone = paint_frame(frames[1], other).pixels
    rest = (..., slice(54, None), slice(70, None))  # which the film shows in both frames alike
    changes = [float((frame[rest] - before.pixels[rest]).abs().mean()) for frame in (after.pixels, alone)]
    assert 0.0 < changes[0] < changes[1] / 10


def test_a_mask_leaves_the_film() -> None:
    filmed, painted = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1.0
    laid = apply_mask(painted, filmed, mask)
    assert laid[..., :2].min() == 1.0
    assert laid[..., 2:].max() == 0.0
    assert apply_mask(painted, filmed, None) is painted


@pytest.mark.slow
def test_a_large_frame_is_judged_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles change a frame by rounding alone."""
    frames = [from_pixels(frame) for frame in moving_square(2)]
    whole = paint_in_order(frames, tiny_context())[-1].pixels
    monkeypatch.setattr(clip_context, "MAX_UNTILED_PIXELS", 0)
    monkeypatch.setattr(clip_context, "TILED_LIMITS", MemoryLimits(tile=64))
    assert (paint_in_order(frames, tiny_context())[-1].pixels - whole).abs().mean() < 2 / 255
