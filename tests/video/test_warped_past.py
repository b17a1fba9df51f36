"""What earlier frames say: drift taken back, and what was covered remembered."""

from __future__ import annotations

import pytest

from clips import moving_square, texture
from impasto.video.store import from_pixels
from impasto.video.warped_past import correct_drift
from tiny_video import QUICK, paint_in_order, tiny_context


def test_drift_is_taken_back_a_little_at_a_time() -> None:
    first = from_pixels(texture(48, 64, 2)) * 0.5 + 0.2
    assert (correct_drift(first * 0.995, first) - first).abs().max() < 1e-3
    pale = (first - 0.4) * 0.5 + 0.4
    once = correct_drift(pale, first)
    assert float(once.std() / pale.std()) == pytest.approx(1.01, abs=1e-3)
    for _ in range(80):
        pale = correct_drift(pale, first)
    assert (pale - first).abs().max() < 1e-3


@pytest.mark.slow
def test_long_term_reaches_back_over_what_covered() -> None:
    """The square passes over the ground; with J = 1, 4 the ground comes back as it was."""
    frames = [from_pixels(frame) for frame in moving_square(6, 64, 96, 16, step=10)]
    far = paint_in_order(frames, tiny_context(QUICK.replace(long_term=(1, 4), temporal_weight=100.0)))
    near = paint_in_order(frames, tiny_context(QUICK.replace(long_term=(1,), temporal_weight=100.0)))
    # Columns 28–37 are covered in frame 2 and free in frames 0 and 4.
    gone = (slice(None), slice(None), slice(22, 34), slice(38, 46))
    assert (far[5].pixels[gone] - far[1].pixels[gone]).square().mean() <= (
        near[5].pixels[gone] - near[1].pixels[gone]
    ).square().mean()
