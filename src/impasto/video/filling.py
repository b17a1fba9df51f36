"""Paints what has come into view: coarse to fine, in the colours of the painting, with its fine strokes."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.pictures.geometry import resample
from impasto.scene import Past, overlay_past
from impasto.video.certainty import gaussian_blur
from impasto.video.clip_context import ClipContext, fill_recipe, optimise

__all__ = ["fill_unknown", "match_known_colours", "soften_strong_detail"]


def fill_unknown(
    filmed: Tensor, past: tuple[Past, ...], context: ClipContext, mask: Tensor | None
) -> tuple[Tensor, float]:
    """Paint what the past does not show, at a quarter and at half the size.

    The high-frequency detail that these sizes lack is copied from the nearest warped frame, even though it
    belongs to another object there, because the few iterations at full size could not create it.

    Args:
        filmed: (1, 3, H, W).
        past: the nearest frame first.
        mask: (1, 1, H, W), where the frame counts; None: everywhere.

    Returns:
        The picture (1, 3, H, W), and its cost in iterations at full size.
    """
    size = (int(filmed.shape[-2]), int(filmed.shape[-1]))
    nearest = past[0].pixels
    start = overlay_past(match_known_colours(filmed, nearest, past[0].certainty), past)
    scene = context.scene(filmed, mask, past, start)
    step, cost = optimise(scene, fill_recipe(context.recipe, *size), context)
    coarse = step.picture.detach()
    detail = soften_strong_detail(nearest - resample(resample(nearest, step.size), size))
    area = step.size[0] * step.size[1] / (size[0] * size[1])
    return (resample(coarse, size) + detail).clamp(0.0, 1.0), cost * area


def soften_strong_detail(detail: Tensor) -> Tensor:
    """Reduce detail (1, 3, H, W) that is stronger than the median to the median.

    Strong detail is an outline rather than strokes. Copied into what is slowly uncovered beside it, an
    outline would leave a new line with every frame.
    """
    power = gaussian_blur(detail.square().mean(1, keepdim=True), 2.0)
    return detail * (power.median() / power.clamp_min(1e-9)).clamp_max(1.0)


def match_known_colours(filmed: Tensor, painted: Tensor, known: Tensor) -> Tensor:
    """The film in the colours of the painting.

    Colours are mapped by the affine map that fits best where both are known. Otherwise what comes into view
    would keep the colours of the film, because a few iterations hardly change them.

    Args:
        filmed, painted: (1, 3, H, W).
        known: (1, 1, H, W) in [0, 1], where ``painted`` shows what ``filmed`` does.
    """
    pixels = filmed[0].flatten(1).double()  # (3, M)
    inputs = torch.cat([pixels, torch.ones_like(pixels[:1])])  # (4, M)
    weighted = inputs * known[0, 0].flatten()
    # A weak prior for the identity, so that a colour that was never known stays as it is.
    prior = 1e-3 * pixels.shape[1] * torch.eye(4, dtype=torch.float64, device=filmed.device)
    identity = torch.eye(4, dtype=torch.float64, device=filmed.device)[:, :3]
    targets = weighted @ painted[0].flatten(1).double().T + prior @ identity
    mapping: Tensor = torch.linalg.solve(weighted @ inputs.T + prior, targets)  # (4, 3)
    coloured: Tensor = (mapping.T @ inputs).clamp(0.0, 1.0).float()
    return coloured.view_as(filmed)
