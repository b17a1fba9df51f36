"""Cuts between shots."""

from __future__ import annotations

from itertools import pairwise

from clips import moving_square, texture
from impasto.video.cuts import Shot, find_cuts, frame_change, signature, split_into_shots


def test_cuts_are_found_and_fast_motion_is_none() -> None:
    scenes = [moving_square(8), [255 - frame for frame in moving_square(6, step=5)], [texture(64, 96, 9)] * 5]
    frames = [signature(frame) for scene in scenes for frame in scene]
    changes = [0.0, *(frame_change(a, b) for a, b in pairwise(frames))]
    assert find_cuts(changes, 15.0) == [8, 14]
    assert split_into_shots(19, [8, 14]) == [Shot(0, 8), Shot(8, 14), Shot(14, 19)]
    assert find_cuts([0.0, *[22.0, 25.0, 20.0] * 4], 15.0) == [], "a shaking camera"
