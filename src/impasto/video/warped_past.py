"""The earlier painted frames of a shot, warped onto the present one, with their certainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from impasto.scene import Past
from impasto.video import certainty, flow
from impasto.video.settings import VideoRecipe
from impasto.video.warping import warp

__all__ = ["EarlierFrame", "WarpedPast", "correct_drift", "recall"]

#: Up to this motion, in pixels a frame, an area may stand still.
MAX_STILL_MOTION = 0.15
#: Up to this motion an area counts as slow.
MAX_SLOW_MOTION = MAX_STILL_MOTION / 3.0
#: Factors of the temporal weight. Slow areas are hardly resampled, so that holding them firmly loses none of
#: their style. Still areas will be replaced by copies, so that what is painted beside them must fit these.
SLOW_WEIGHT_FACTOR, STILL_WEIGHT_FACTOR = 30.0, 300.0
#: Largest correction of drift: relative change of contrast, and of the mean in units of the range.
MAX_CORRECTION = 0.01


@dataclass(frozen=True)
class EarlierFrame:
    """An earlier frame of the shot, as filmed and as painted, (1, 3, H, W) each."""

    filmed: Tensor
    painted: Tensor


@dataclass(frozen=True)
class WarpedPast:
    """Earlier painted frames, warped onto the present one. Masks are (1, 1, H, W) in [0, 1].

    Attributes:
        frames: (1, 3, H, W) each, warped along the motion; nearest first.
        certainties: a mask for each frame, from which the certainty of nearer frames has been subtracted.
        slow: where the nearest frame hardly moves.
        still: where it does not change at all and will be copied.
    """

    frames: tuple[Tensor, ...]
    certainties: tuple[Tensor, ...]
    slow: Tensor
    still: Tensor

    @property
    def known_share(self) -> float:
        """Share of the present frame that the earlier ones show."""
        return float(torch.stack(self.certainties).sum(0).mean())

    def without_drift(self, first: Tensor) -> WarpedPast:
        """A copy with the nearest frame corrected towards ``first``, except where it is still."""
        nearest = torch.lerp(correct_drift(self.frames[0], first), self.frames[0], self.still)
        return replace(self, frames=(nearest, *self.frames[1:]))

    def as_terms(self, temporal_weight: float, effort: float = 1.0) -> tuple[Past, ...]:
        """The temporal terms of the objective: the frames, nearest first, then the slow and still areas.

        Args:
            effort: share of its iterations that the frame gets. With few iterations the weight is higher.
        """
        areas = [(pixels, where, 1.0) for pixels, where in zip(self.frames, self.certainties, strict=True)]
        areas.append((self.frames[0], self.certainties[0] * self.slow, SLOW_WEIGHT_FACTOR))
        areas.append((self.frames[0], self.still, STILL_WEIGHT_FACTOR))
        return tuple(
            Past(pixels, where, factor * temporal_weight / effort**2) for pixels, where, factor in areas
        )


def recall(
    filmed: Tensor, earlier: Sequence[EarlierFrame], reference: Tensor, recipe: VideoRecipe
) -> WarpedPast:
    """Warp the earlier frames onto the present one, and compute where they can be trusted.

    Args:
        filmed: (1, 3, H, W), the present frame.
        earlier: nearest first.
        reference: (1, 3, H, W), what each pixel of the nearest painted frame was painted from.
    """
    method = flow.FLOW_METHODS[recipe.flow]()
    present = flow.to_luma(filmed, recipe.flow_size)
    still = certainty.still_mask(filmed, reference, recipe.still_tolerance)
    slow = still
    certainties: list[Tensor] = []
    warped: list[Tensor] = []
    for frame in earlier:
        past = flow.to_luma(frame.filmed, recipe.flow_size)
        forward, backward = flow.flow_both_ways(past, present, method)
        known, motion = certainty.past_certainty(backward, forward, filmed, frame.filmed)
        if not certainties:  # still areas are those that do not differ from the nearest frame
            slow = certainty.slow_mask(motion, MAX_SLOW_MOTION).to(still)
            still = still * certainty.slow_mask(motion, MAX_STILL_MOTION).to(still)
            known = torch.maximum(known, still)
            motion = motion * (1.0 - still)[0, 0].cpu().numpy()[..., None].astype(np.float32)
        certainties.append(known)
        warped.append(warp(frame.painted, motion))
    return WarpedPast(tuple(warped), tuple(certainty.long_term_certainties(certainties)), slow, still)


def correct_drift(painted: Tensor, first: Tensor) -> Tensor:
    """Lead the mean and contrast of every channel back to those of the first painted frame of the shot.

    Resampling and a few iterations shift both a little for each frame, always in the same direction: over
    hundreds of frames a background darkens, and newly painted areas, with fewer iterations, are greyer than
    the rest. The first frame is a good reference, because a frame painted by itself has about the mean and
    contrast of the style, whatever was filmed. The whole frame is corrected, because otherwise seams would
    show. It is corrected before it is painted, because a change of contrast by 2 % afterwards would raise the
    style loss by a fifth.

    Args:
        painted, first: (1, 3, H, W).
    """
    (mean, spread), (first_mean, first_spread) = _mean_and_deviation(painted), _mean_and_deviation(first)
    floor = 1e-3  # a flat picture has no contrast to correct
    gain = (first_spread + floor) / (spread + floor)
    gain = gain.clamp(1.0 - MAX_CORRECTION, 1.0 + MAX_CORRECTION)
    shift = (first_mean - mean).clamp(-MAX_CORRECTION, MAX_CORRECTION)
    return ((painted - mean) * gain + mean + shift).clamp(0.0, 1.0)


def _mean_and_deviation(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Per channel, (1, 3, 1, 1) each."""
    deviation, mean = torch.std_mean(picture, (2, 3), keepdim=True, correction=0)
    return mean, deviation
