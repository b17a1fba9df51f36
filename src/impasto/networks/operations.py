"""The steps of a VGG-shaped network with derivatives written by hand: convolutions and average pooling.

The network is fixed, so the derivative of a step is needed for its input alone. Autograd keeps the padded
input of every convolution all the same, for a derivative of the weights that nobody asks for, and its passes
over the features for padding and pooling run on one thread. Here a convolution keeps nothing but its result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import RecipeError

__all__ = ["BORDERS", "Packed", "Slopes", "as_rows", "convolve", "packed", "pool"]

#: How a convolution continues its input by one pixel → which rows (and columns) of the continued input the
#: first and the last of them repeat. ``zeros`` is left to the convolution, which does it without a copy.
BORDERS: dict[str, tuple[int, int]] = {"reflect": (2, -3), "replicate": (1, -2), "circular": (-2, 1)}

#: Bytes of a number → the integers that are as large.
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

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


class Slopes:
    """Derivatives with respect to a convolution's result that wait until its own derivative is computed.

    Autograd differentiates what was computed last first. So before it comes to the network, it would hold the
    derivatives of all that compares features, each as large as they are, for all layers. Here only what they
    are made of waits: small tensors, and features that are kept anyway.
    """

    def __init__(self) -> None:
        self._waiting: list[Callable[[], Tensor] | tuple[tuple[slice, slice], Tensor]] = []

    def add(self, rows: Callable[[], Tensor]) -> None:
        """Let a derivative wait for all positions, (N·H·W, C), which is computed when it is needed."""
        self._waiting.append(rows)

    def add_at(self, window: tuple[slice, slice], slope: Tensor) -> None:
        """Let a derivative wait for some rows and columns, (N, C, h, w); it is zero elsewhere."""
        self._waiting.append((window, slope))

    def held(self, features: Tensor) -> Tensor:
        """The same features, whose derivative waits although autograd computes it."""
        same: Tensor = _Held.apply(features, self)  # type: ignore[no-untyped-call]
        return same

    def total(self, result: Tensor) -> Tensor | None:
        """The sum of all that waits, as large as ``result``, to be changed at will; nothing waits any more.

        Its bytes are those of autograd's own sum, which takes them in the same order: that of the first two
        makes no difference.
        """
        waiting, self._waiting = self._waiting, []
        if len(waiting) > 1 and isinstance(waiting[0], tuple):
            waiting[:2] = waiting[1::-1]  # then it need not begin with zeros
        total: Tensor | None = None
        for one in waiting:
            if isinstance(one, tuple):
                window, slope = one
                total = torch.zeros_like(result) if total is None else total
                total[(..., *window)] += slope
            else:
                count, channels, height, width = result.shape
                slope = one().view(count, height, width, channels).permute(0, 3, 1, 2)
                total = slope if total is None else total.add_(slope)
        return total


class _Held(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, slopes: Slopes) -> Tensor:
        ctx.slopes = slopes
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, None]:
        # A copy, because autograd may have passed the same tensor to others.
        ctx.slopes.add(lambda: as_rows(slope).clone())
        return None, None


def as_rows(features: Tensor) -> Tensor:
    """(N, C, H, W) as (N·H·W, C), a view if the memory format is channels_last."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def convolve(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    border: str,
    *,
    relu: bool,
    arranged: Packed | None = None,
    halved: bool = False,
    slopes: Slopes | None = None,
) -> Tensor:
    """A 3×3 convolution of a continued input, and its ReLU if asked.

    Args:
        features: (N, c, H, W).
        weight, bias: (C, c, 3, 3) and (C,), which have no gradient.
        border: how the input continues beyond its edge, a key of :data:`BORDERS` or ``zeros``.
        relu: whether the result is rectified.
        arranged: :func:`packed` of ``weight``, used for features in bfloat16 on a CPU.
        halved: whether the rectified result is reduced by average pooling, see :func:`pool`. The larger one
            is then not kept for the derivative, only where it is zero.
        slopes: hold back derivatives with respect to the rectified result.

    Returns:
        (N, C, H, W), or (N, C, H/2, W/2).
    """
    if border == "reflect" and min(features.shape[-2:]) < 2:
        border = "replicate"  # a single row or column has no neighbour to reflect
    if arranged is not None and not _in_short_form(features):
        arranged = None
    result: Tensor = _Convolution.apply(  # type: ignore[no-untyped-call]
        features, weight, bias, border, relu, arranged, halved, slopes
    )
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        border: str,
        relu: bool,
        arranged: Packed | None,
        halved: bool,
        slopes: Slopes | None,
    ) -> Tensor:
        zeros = border == "zeros"
        filters = weight if arranged is None else arranged.forward
        result = _convolution(x if zeros else continued(x, border), filters, bias, int(zeros), relu)
        ctx.border, ctx.arranged, ctx.halved, ctx.slopes = border, arranged, halved, slopes
        ctx.set_materialize_grads(False)
        if halved:
            # What is rectified is positive where it is not 0, which is found ten times faster in bfloat16.
            ctx.save_for_backward(weight, result.to(torch.bool) if ctx.needs_input_grad[0] else None)
            return _half_sums(result)
        ctx.save_for_backward(weight, result if relu else None)
        return result

    @staticmethod
    def backward(ctx: Any, slope: Tensor | None) -> tuple[Tensor | None, ...]:
        weight, rectified = ctx.saved_tensors
        slope = _through_relu(ctx, slope, rectified)
        if slope is None:
            return (None,) * 8
        padding = int(ctx.border == "zeros")
        if ctx.arranged is None:
            gradient = F.conv_transpose2d(slope, weight, padding=padding)
        else:
            gradient = _convolution(slope, ctx.arranged.back, None, 2 - padding, False)
        return (gradient if padding else folded(gradient, ctx.border), *(None,) * 7)


def _through_relu(ctx: Any, slope: Tensor | None, rectified: Tensor | None) -> Tensor | None:
    """The derivative with respect to a convolution before its ReLU, from that of the result.

    Args:
        rectified: the result, or where it was positive if it was halved; None: there is no ReLU.
    """
    if rectified is None:
        return slope
    if ctx.halved:
        if slope is None:
            return None
        return _half_sums_back(slope, rectified.shape[-2:], rectified)
    waiting: Tensor | None = None if ctx.slopes is None else ctx.slopes.total(rectified)
    if waiting is None:
        if slope is not None:
            slope = torch.ops.aten.threshold_backward(slope, rectified, 0)
        return slope
    if slope is not None:
        waiting.add_(slope)
    torch.ops.aten.threshold_backward.grad_input(waiting, rectified, 0, grad_input=waiting)  # in place
    return waiting


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


def pool(features: Tensor, kind: str, slopes: Slopes | None = None) -> Tensor:
    """2×2 pooling, stride 2; an odd last row or column is dropped.

    Average pooling is scaled by 2 and L2 pooling by 0.78 so that the activations keep the magnitude that
    the weights were trained with under max pooling (factors of style-transfer-pytorch).

    Args:
        slopes: hold back the derivative of average pooling with respect to ``features``.
    """
    if kind == "max":
        return F.max_pool2d(features, 2)
    if kind == "average":
        average: Tensor = _Average.apply(features, slopes)  # type: ignore[no-untyped-call]
        return average
    if kind == "l2":
        # The tiny constant keeps the root differentiable where all four activations are zero.
        return torch.sqrt(F.avg_pool2d(features * features, 2) * 4.0 + 1e-12) * 0.78
    raise RecipeError(f"unknown pooling {kind!r}", "possible are max, average, l2")


class _Average(torch.autograd.Function):
    """Half the sum of four neighbours."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Slopes | None) -> Tensor:
        ctx.size, ctx.slopes = x.shape[-2:], slopes
        return _half_sums(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None]:
        if ctx.slopes is None:
            return _half_sums_back(slope, ctx.size), None
        ctx.slopes.add(lambda: as_rows(_half_sums_back(slope, ctx.size)))
        return None, None


def _half_sums(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, divisor_override=2)


def _half_sums_back(slope: Tensor, size: Sequence[int], positive: Tensor | None = None) -> Tensor:
    """The transpose of :func:`_half_sums` for a picture of ``size``, a new tensor.

    Args:
        positive: (N, C, H, W), boolean: the derivative is zero elsewhere.
    """
    half = slope * 0.5  # dense, where ``slope`` may be a part of something larger
    channels_last = half.is_contiguous(memory_format=torch.channels_last)
    # Written at once: enlarging, and then adding an odd last row, would take the largest tensor twice.
    gradient = torch.empty(
        (*slope.shape[:2], *size),
        dtype=slope.dtype,
        device=slope.device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    height, width = (2 * side for side in slope.shape[-2:])
    integers = INTEGERS[half.itemsize]
    for row, column in itertools.product((0, 1), repeat=2):
        place = (..., slice(row, height, 2), slice(column, width, 2))
        if positive is None:
            gradient[place] = half
        else:  # masked_fill_ and products of bfloat16 and booleans are not vectorised
            kept = positive[place].to(integers).neg_()  # all bits, or none
            torch.bitwise_and(half.view(integers), kept, out=gradient[place].view(integers))
    gradient[..., height:, :] = 0.0
    gradient[..., width:] = 0.0
    return gradient
