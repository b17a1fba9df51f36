"""Pictures sampled along a flow: by a windowed sinc, by OpenCV's Lanczos filter or bilinearly."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.video.flow import Flow, flow_targets

__all__ = ["warp"]


def warp(picture: Tensor, flow: Flow, mode: Literal["sharp", "lanczos", "bilinear"] = "sharp") -> Tensor:
    """The picture sampled along a flow: result[p] = picture[p + flow[p]], mirrored beyond the frame.

    Differs from Ruder's bilinear sampling, which blurs a stylised frame a little more with every frame.
    The bicubic sampling of PyTorch and OpenCV does the opposite: within twenty frames it raises the contrast
    by half. ``sharp`` is a windowed sinc over ten pixels: it keeps all but the finest third of the
    frequencies within 1 %, and raises none by more than 0.2 %.

    Args:
        picture: (1, C, H, W), [0, 1].
        flow: (H, W, 2).
        mode: ``lanczos`` (OpenCV, eight pixels, positions rounded to 1/32) takes a tenth of the time of
            ``sharp``; up to four channels.
    """
    if mode == "sharp":
        return _warp_sinc(picture, flow)
    if mode == "lanczos":
        xs, ys = flow_targets(flow)
        pixels = np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy())
        moved = cv2.remap(pixels, xs, ys, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
        moved = np.ascontiguousarray(np.asarray(moved).reshape(pixels.shape).transpose(2, 0, 1))
        return torch.from_numpy(moved)[None].clamp(0.0, 1.0)
    height, width = picture.shape[-2:]
    xs, ys = flow_targets(flow)
    grid = np.stack([2.0 * xs / max(width - 1, 1) - 1.0, 2.0 * ys / max(height - 1, 1) - 1.0], axis=-1)
    positions = torch.from_numpy(grid)[None].to(picture)
    sampled = F.grid_sample(picture, positions, "bilinear", padding_mode="reflection", align_corners=True)
    return sampled.clamp(0.0, 1.0)


#: Offsets of the ten pixels that a sample is computed from, relative to the pixel at or before its position.
OFFSETS = tuple(range(-4, 6))


def _kaiser_sinc(parts: int = 256, shape: float = 6.0) -> Tensor:
    """Weights (parts + 1, 10) of the ten pixels, for positions 0, 1/parts, …, 1 beyond the fifth of them.

    A sinc in a Kaiser window (Kaiser 1974); at position 0 the sample is exactly the fifth pixel.
    """
    distance = torch.linspace(0.0, 1.0, parts + 1, dtype=torch.float64)[:, None] - torch.tensor(OFFSETS)
    window = torch.special.i0(shape * (1.0 - (distance / 5.0).square()).clamp_min(0.0).sqrt())
    weights = torch.sinc(distance) * window
    normalised: Tensor = weights / weights.sum(1, keepdim=True)
    return normalised.float()


SINC_WEIGHTS = _kaiser_sinc()


def _taps(fraction: Tensor) -> tuple[Tensor, ...]:
    """Weights of the ten pixels for positions ``fraction`` beyond the fifth, rounded to 1/256 of a pixel."""
    nearest = (fraction * (len(SINC_WEIGHTS) - 1)).round().long()
    return SINC_WEIGHTS.to(fraction.device)[nearest].unbind(-1)


def _mirrored(index: Tensor, count: int) -> Tensor:
    """Indices reflected into 0 … count − 1, however far outside they are."""
    period = max(2 * (count - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index) if count > 1 else torch.zeros_like(index)


def _warp_sinc(picture: Tensor, flow: Flow) -> Tensor:
    channels, (height, width) = picture.shape[1], picture.shape[-2:]
    targets = [torch.from_numpy(axis).to(picture.device) for axis in flow_targets(flow)]  # x, y
    whole = [target.floor() for target in targets]
    weights_x, weights_y = (_taps(target - base) for target, base in zip(targets, whole, strict=True))
    columns, rows = (
        [_mirrored(base.long() + offset, count) for offset in OFFSETS]
        for base, count in zip(whole, (width, height), strict=True)
    )
    flat = picture.reshape(channels, -1)
    warped = torch.zeros_like(flat)
    for row, weight_y in zip(rows, weights_y, strict=True):
        line = torch.zeros_like(flat)
        for column, weight_x in zip(columns, weights_x, strict=True):
            line += flat[:, (row * width + column).flatten()] * weight_x.flatten()
        warped += line * weight_y.flatten()
    return warped.view_as(picture).clamp(0.0, 1.0)
