"""The steps of a VGG-shaped network with derivatives written by hand: convolutions and average pooling.

The network is fixed, so the derivative of a step is needed for its input alone. Autograd keeps the padded
input of every convolution all the same, for a derivative of the weights that nobody asks for, and its passes
over the features for padding and pooling run on one thread. Here a convolution keeps nothing but its result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import RecipeError

__all__ = ["BORDERS", "Packed", "convolve", "packed", "pool"]

#: How a convolution continues its input by one pixel → which rows (and columns) of the continued input the
#: first and the last of them repeat. ``zeros`` is left to the convolution, which does it without a copy.
BORDERS: dict[str, tuple[int, int]] = {"reflect": (2, -3), "replicate": (1, -2), "circular": (-2, 1)}

#: The largest number of weights that are packed. Convolutions with more take so long that the time to arrange
#: the weights does not matter, and packed weights take twice their memory.
MAX_PACKED = 1 << 18


@dataclass(frozen=True)
class Packed:
    """A convolution's weights, arranged as oneDNN needs them.

    It would arrange them anew in every call, which takes a fifth of the time at a coarse scale.

    Attributes:
        weight: as they were, (C, c, 3, 3).
        forward: for the convolution.
        back: for its derivative, which is a convolution too, with filters turned by 180°.
    """

    weight: Tensor
    forward: Tensor
    back: Tensor

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is packed anew, because PyTorch cannot copy what oneDNN has arranged."""
        return packed, (self.weight,)


def packed(weight: Tensor) -> Packed | None:
    """The packed form of a weight (C, c, 3, 3), or None if it is of no use on this machine."""
    if (
        weight.numel() > MAX_PACKED
        or not _in_short_form(weight)
        or not hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
    ):
        return None
    turned = weight.transpose(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)
    return Packed(weight, _arranged(weight, 0), _arranged(turned, 2))


def _arranged(weight: Tensor, padding: int) -> Tensor:
    # oneDNN chooses an arrangement for a picture of some size; it works for all others too.
    size = [1, weight.shape[1], 128, 128]
    arranged: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, [padding, padding], [1, 1], [1, 1], 1, size
    )
    return arranged


def convolve(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    border: str,
    *,
    relu: bool,
    arranged: Packed | None = None,
) -> Tensor:
    """A 3×3 convolution of a continued input, and its ReLU if asked.

    Args:
        features: (N, c, H, W).
        weight, bias: (C, c, 3, 3) and (C,), which have no gradient.
        border: how the input continues beyond its edge, a key of :data:`BORDERS` or ``zeros``.
        relu: whether the result is rectified.
        arranged: :func:`packed` of ``weight``, used for features in bfloat16 on a CPU.

    Returns:
        (N, C, H, W).
    """
    if border == "reflect" and min(features.shape[-2:]) < 2:
        border = "replicate"  # a single row or column has no neighbour to reflect
    if arranged is not None and not _in_short_form(features):
        arranged = None
    result: Tensor = _Convolution.apply(  # type: ignore[no-untyped-call]
        features, weight, bias, border, relu, arranged
    )
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, border: str, relu: bool, arranged: Packed | None
    ) -> Tensor:
        zeros = border == "zeros"
        filters = weight if arranged is None else arranged.forward
        result = _convolution(x if zeros else continued(x, border), filters, bias, int(zeros), relu)
        ctx.border, ctx.arranged = border, arranged
        ctx.save_for_backward(weight, result if relu else None)
        return result

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        weight, rectified = ctx.saved_tensors
        if rectified is not None:
            slope = torch.ops.aten.threshold_backward(slope, rectified, 0)
        padding = int(ctx.border == "zeros")
        if ctx.arranged is None:
            gradient = F.conv_transpose2d(slope, weight, padding=padding)
        else:
            gradient = _convolution(slope, ctx.arranged.back, None, 2 - padding, False)
        return gradient if padding else folded(gradient, ctx.border), None, None, None, None, None


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, relu: bool) -> Tensor:
    """``weight`` may be arranged if ``x`` is :func:`_in_short_form`."""
    if weight.is_mkldnn or (relu and _in_short_form(x)):
        sides, ones = [padding, padding], [1, 1]
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, sides, ones, ones, 1, "relu" if relu else "none", [], ""
        )
        return fused
    result = F.conv2d(x, weight, bias, padding=padding)
    return result.relu_() if relu else result


def _in_short_form(x: Tensor) -> bool:
    """Whether oneDNN convolves such a tensor, and can rectify the result while it is in the cache.

    In float32 PyTorch does not always convolve with oneDNN, and the ReLU is a small part of the time.
    """
    return (
        x.dtype is torch.bfloat16
        and x.device.type == "cpu"
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def continued(x: Tensor, border: str) -> Tensor:
    """(N, C, H, W) continued by one pixel on each side; ``border`` is a key of :data:`BORDERS`."""
    if border == "circular":  # F.pad would lose the channels_last layout here, and take three times as long
        rows = torch.cat([x[..., -1:, :], x, x[..., :1, :]], dim=-2)
        return torch.cat([rows[..., -1:], rows, rows[..., :1]], dim=-1)
    return F.pad(x, (1, 1, 1, 1), mode=border)


def folded(padded: Tensor, border: str) -> Tensor:
    """The transpose of :func:`continued`: what the edges have copied is added to where it came from.

    ``padded`` (N, C, H + 2, W + 2) is changed; the result (N, C, H, W) is a view of it.
    """
    for axis in (-1, -2):  # the columns' edges hold corners of the rows' edges
        for edge, source in zip((0, -1), BORDERS[border], strict=True):
            padded.select(axis, source).add_(padded.select(axis, edge))
    return padded[..., 1:-1, 1:-1]


def pool(features: Tensor, kind: str) -> Tensor:
    """2×2 pooling, stride 2; an odd last row or column is dropped.

    Average pooling is scaled by 2 and L2 pooling by 0.78 so that the activations keep the magnitude that
    the weights were trained with under max pooling (factors of style-transfer-pytorch).
    """
    if kind == "max":
        return F.max_pool2d(features, 2)
    if kind == "average":
        average: Tensor = _Average.apply(features)  # type: ignore[no-untyped-call]
        return average
    if kind == "l2":
        # The tiny constant keeps the root differentiable where all four activations are zero.
        return torch.sqrt(F.avg_pool2d(features * features, 2) * 4.0 + 1e-12) * 0.78
    raise RecipeError(f"unknown pooling {kind!r}", "possible are max, average, l2")


class _Average(torch.autograd.Function):
    """Half the sum of four neighbours."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.odd = (0, x.shape[-1] % 2, 0, x.shape[-2] % 2)
        return F.avg_pool2d(x, 2, divisor_override=2)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        gradient = F.interpolate(slope * 0.5, scale_factor=2, mode="nearest")
        return F.pad(gradient, ctx.odd) if any(ctx.odd) else gradient
