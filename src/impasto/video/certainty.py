"""Masks of where earlier frames show what the present one shows: not occluded, consistent, or still.

Masks are (1, 1, H, W) in [0, 1]; flows as in :mod:`impasto.video.flow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.pictures.geometry import Size
from impasto.video.flow import (
    Flow,
    flow_targets,
    resize_flow,
    sample_flow,
    squared_length,
    symmetrise,
)
from impasto.video.warping import warp

__all__ = [
    "gaussian_blur",
    "long_term_certainties",
    "motion_boundaries",
    "occluded",
    "past_certainty",
    "slow_mask",
    "still_mask",
]

#: Difference of the filmed frames, of 1, at which the certainty of the past falls to 1/e.
TOLERANCE = 0.12
#: The same on a motion boundary.
BOUNDARY_TOLERANCE = 0.03


def occluded(flow: Flow, back: Flow) -> npt.NDArray[np.bool_]:
    """Where the first frame shows what the second does not (Ruder et al. 2016, eq. 4; Sundaram 2010).

    With f̂ the flow back at the target: |f + f̂|² ≥ 0.01 (|f|² + |f̂|²) + 0.5, or the target lies outside.

    Args:
        flow: (H, W, 2) first → second; the result is on the grid of the first frame.
        back: (H, W, 2) second → first.
    """
    other = sample_flow(back, flow)
    gap = squared_length(flow + other)
    energy = squared_length(flow) + squared_length(other)
    xs, ys = flow_targets(flow)
    height, width = flow.shape[:2]
    outside = (xs < -0.5) | (ys < -0.5) | (xs > width - 0.5) | (ys > height - 0.5)
    return np.asarray((gap >= 0.01 * energy + 0.5) | outside)


def motion_boundaries(flow: Flow) -> npt.NDArray[np.bool_]:
    """Where the flow changes abruptly (Ruder et al. 2016, eq. 5): |∇u|² + |∇v|² > 0.01 |f|² + 0.002."""
    slopes = np.zeros(flow.shape[:2], dtype=np.float32)
    for channel in range(2):
        for axis in range(2):
            if flow.shape[axis] > 1:
                slopes += np.square(np.gradient(flow[..., channel], axis=axis))
    return np.asarray(slopes > 0.01 * squared_length(flow) + 0.002)


def past_certainty(flow: Flow, back: Flow, present: Tensor, past: Tensor) -> tuple[Tensor, Flow]:
    """How far a past frame can be trusted at each pixel of the present one.

    Ruder's mask, its holes widened by a pixel and its edges smoothed, so that the outline of the mask does
    not show. Differs from the paper in two ways. The mask is multiplied by how well the filmed frames agree
    along the flow, because a flow can be consistent both ways and wrong, which would drag ghosts along. And
    a motion boundary is a hole only as far as the frames disagree there, and never where the motion is below
    a pixel, because the flow changes over several pixels around a moving object and most of these are still
    known.

    Args:
        flow: (h, w, 2) present → past, at any size.
        back: (h, w, 2) past → present.
        present, past: (1, 3, H, W), the filmed frames.

    Returns:
        The certainty (1, 1, H, W), and the symmetrised flow on the grid of the frames.
    """
    size = (int(present.shape[-2]), int(present.shape[-1]))
    length: Any = np.sqrt(squared_length(flow))
    moves = cv2.dilate(length, np.ones((5, 5), np.uint8)) >= 1.0
    visible = _outside_holes(occluded(flow, back), size).to(present)
    inside_objects = _outside_holes(motion_boundaries(flow) & moves, size).to(present)
    full_flow = resize_flow(symmetrise(flow, back), size)
    difference = (present - warp(past, full_flow, "bilinear")).abs().mean(1, keepdim=True)
    gap = gaussian_blur(difference, 1.5).square()
    agreement, strict_agreement = torch.exp(-gap / TOLERANCE**2), torch.exp(-gap / BOUNDARY_TOLERANCE**2)
    at_boundaries = torch.lerp(strict_agreement, torch.ones_like(agreement), inside_objects)
    return (visible * at_boundaries * agreement).clamp(0.0, 1.0), full_flow


def _outside_holes(holes: npt.NDArray[np.bool_], size: Size) -> Tensor:
    """(1, 1, H, W): 0 in the holes, widened by a pixel, 1 elsewhere, smooth in between."""
    kept: Any = cv2.erode(1.0 - holes.astype(np.float32), np.ones((3, 3), dtype=np.uint8), borderValue=1.0)
    if kept.shape != size:
        kept = cv2.resize(kept, size[::-1], interpolation=cv2.INTER_LINEAR)
    smooth: Any = cv2.GaussianBlur(kept, (0, 0), 1.0)
    # Blurring leaves a little certainty inside the holes; squaring takes it out again.
    return torch.from_numpy(np.ascontiguousarray(smooth))[None, None].square()


def long_term_certainties(certainties: Sequence[Tensor]) -> list[Tensor]:
    """Divide the certainty among frames further and further back, nearest first (Ruder et al. 2016, eq. 9).

    c_long(j) = max(c(j) − Σ_{nearer k} c(k), 0): the nearest frame that shows a pixel decides.
    """
    shares, nearer = [], torch.zeros_like(certainties[0])
    for certainty in certainties:
        shares.append((certainty - nearer).clamp_min(0.0))
        nearer = nearer + certainty
    return shares


def still_mask(present: Tensor, past: Tensor, tolerance: float) -> Tensor:
    """Where nothing happened: (1, 1, H, W), 1 up to ``tolerance`` of difference, 0 from twice that.

    The difference is averaged over about five pixels, so that the camera's noise does not count as motion.
    Its maximum over the neighbourhood decides, so that the still area ends before a moving object begins.

    Args:
        present, past: (1, 3, H, W), [0, 1].
        tolerance: mean absolute difference, of 1; 0: nothing is still.
    """
    if tolerance <= 0.0:
        return torch.zeros_like(present[:, :1])
    gap = gaussian_blur((present - past).abs().mean(1, keepdim=True), 2.0)
    gap = F.max_pool2d(gap, 7, stride=1, padding=3)
    return (2.0 - gap / tolerance).clamp(0.0, 1.0)


def slow_mask(flow: Flow, limit: float) -> Tensor:
    """Where there is next to no motion: (1, 1, H, W), 1 up to ``limit`` pixels a frame, 0 from twice that.

    Needed beside :func:`still_mask`, because the flat parts of a moving object change as little as still
    areas do, although their strokes must move with the object.
    """
    length = torch.from_numpy(np.sqrt(squared_length(flow)))[None, None]
    return (2.0 - gaussian_blur(length, 2.0) / limit).clamp(0.0, 1.0)


def gaussian_blur(values: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (1, 1, H, W), edges reflected."""
    array: Any = cv2.GaussianBlur(
        values[0, 0].cpu().numpy(), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101
    )
    return torch.from_numpy(array)[None, None].to(values)
