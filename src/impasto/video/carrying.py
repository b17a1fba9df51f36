"""Carries the pixels of a key frame through a shot: where each pixel of a frame lies in the key frame.

The positions are carried, not the picture. So the key frame is sampled once, however far away it is, and its
strokes stay sharp (as EbSynth's do: Jamriška et al. 2019, "Stylizing Video by Example"). Differs from that
paper, which searches patches under guides for every frame: positions come from the optical flow from frame to
frame, and are corrected by the flow between the frame and the key frame moved onto it, so that errors do not
add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from impasto.video.certainty import gaussian_blur, past_certainty
from impasto.video.flow import Flow, FlowMethod, flow_both_ways, resize_flow, sample_flow, symmetrise, to_luma
from impasto.video.warping import warp

__all__ = ["Carried", "Neighbour", "blend", "carry", "shares", "start_at_key", "step_between"]

#: Difference of the filmed frames, over three pixels, at which a carried position is trusted to 1/e.
TOLERANCE = 0.12
#: Largest correction for one frame, in pixels.
MAX_CORRECTION = 2.0
#: Standard deviation in pixels of what counts as detail when paintings are blended.
DETAIL_SIGMA = 6.0
#: Largest factor on the detail of a mixture; two independent paintings of equal weight need 1.41.
MAX_GAIN = 1.5


@dataclass(frozen=True)
class Carried:
    """Where each pixel of a frame lies in a key frame.

    Attributes:
        flow: (H, W, 2), from the frame to the key frame.
        visible: (1, 1, H, W) in [0, 1], 0 where something has covered it since, or where the flow was unsure.
        trust: the same, times how well the filmed frames agree along ``flow``.
    """

    flow: Flow
    visible: Tensor
    trust: Tensor


@dataclass(frozen=True)
class Neighbour:
    """The step from a frame to one beside it.

    Attributes:
        flow: (H, W, 2), from the frame to its neighbour.
        known: (1, 1, H, W) in [0, 1], where the neighbour shows what the frame shows.
    """

    flow: Flow
    known: Tensor


def start_at_key(filmed: Tensor) -> Carried:
    """At the key frame itself everything lies where it is."""
    height, width = filmed.shape[-2:]
    ones = torch.ones_like(filmed[:, :1])
    return Carried(np.zeros((height, width, 2), dtype=np.float32), ones, ones)


def step_between(present: Tensor, neighbour: Tensor, method: FlowMethod, flow_size: int) -> Neighbour:
    """The step from a filmed frame to one beside it, (1, 3, H, W) both."""
    forward, backward = flow_both_ways(to_luma(neighbour, flow_size), to_luma(present, flow_size), method)
    known, flow = past_certainty(backward, forward, present, neighbour)
    return Neighbour(flow, known)


def carry(
    carried: Carried, step: Neighbour, present: Tensor, key: Tensor, method: FlowMethod, flow_size: int
) -> Carried:
    """Carry positions on by one frame.

    Args:
        carried: of the neighbour that ``step`` leads to.
        present, key: (1, 3, H, W), the filmed frame and the film of the key frame.
    """
    flow = step.flow + sample_flow(carried.flow, step.flow)
    # The minimum and not the product: a hundred steps of 99 % would leave nothing of what is well known.
    visible = torch.minimum(warp(carried.visible, step.flow, "bilinear"), step.known)
    flow = _corrected(flow, visible, present, key, method, flow_size)
    difference = (present - warp(key, flow, "bilinear")).abs().mean(1, keepdim=True)
    agreement = torch.exp(-(gaussian_blur(difference, 1.5) / TOLERANCE).square())
    return Carried(flow, visible, visible * agreement)


def _corrected(
    flow: Flow, visible: Tensor, present: Tensor, key: Tensor, method: FlowMethod, flow_size: int
) -> Flow:
    """The flow to the key frame, corrected where the key frame moved along it is still off a little."""
    moved = to_luma(warp(key, flow, "bilinear"), flow_size)
    forward, backward = flow_both_ways(to_luma(present, flow_size), moved, method)
    rest = resize_flow(symmetrise(forward, backward), (int(present.shape[-2]), int(present.shape[-1])))
    length = np.sqrt(np.square(rest).sum(-1, keepdims=True))
    share = np.clip(2.0 - length / MAX_CORRECTION, 0.0, 1.0) * visible[0, 0].cpu().numpy()[..., None]
    rest = np.asarray(rest * share, dtype=np.float32)
    return rest + sample_flow(flow, rest)


def blend(paintings: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """A mixture of paintings (1, 3, H, W) that is as rich in contrast as they are.

    The mean of two paintings whose strokes differ is greyer than each (Heitz & Neyret 2018, "High-performance
    by-example noise", who correct it for independent textures). So the detail of the mean is raised, locally,
    to the mean energy of their detail; where they agree nothing changes.

    Args:
        weights: (1, 1, H, W) each, ≥ 0; where all are 0, the paintings count alike.
    """
    parts = shares(weights)
    details = [painting - gaussian_blur(painting, DETAIL_SIGMA) for painting in paintings]
    mixed, detail = _mean(paintings, parts), _mean(details, parts)
    wanted = _mean([_energy(each) for each in details], parts)
    gain = (wanted / _energy(detail).clamp_min(1e-6)).sqrt().clamp(1.0, MAX_GAIN)
    return (mixed + (gain - 1.0) * detail).clamp(0.0, 1.0)


def shares(weights: Sequence[Tensor]) -> list[Tensor]:
    """Weights ≥ 0 divided by their sum; all alike where they are all 0."""
    total = torch.stack(list(weights)).sum(0)
    even = torch.full_like(total, 1.0 / len(weights))
    return [torch.where(total > 1e-6, weight / total.clamp_min(1e-6), even) for weight in weights]


def _mean(values: Sequence[Tensor], parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([part * value for part, value in zip(parts, values, strict=True)]).sum(0)


def _energy(detail: Tensor) -> Tensor:
    """The local mean square of all channels, (1, 1, H, W)."""
    return gaussian_blur(detail.square().mean(1, keepdim=True), DETAIL_SIGMA)
