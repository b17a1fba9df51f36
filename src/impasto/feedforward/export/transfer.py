"""Statistics, maps and matching as parts of an ONNX graph, without loops over positions.

The map is made by matrix products alone, because ONNX has no operator for eigenvalues.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor

from impasto.feedforward.export.graph import Graph, Value
from impasto.feedforward.export.networks import array, padded
from impasto.feedforward.maps import CONTENT_FLOOR, CONTRAST, STYLE_FLOOR
from impasto.feedforward.noise import PERIOD, noise_field
from impasto.feedforward.statistics import BANK_SIZE
from impasto.pictures.geometry import Size

__all__ = [
    "LayerMap",
    "LayerMoments",
    "bank",
    "bank_coordinates",
    "coloured_noise",
    "evenness",
    "mixed",
    "moments",
    "moved",
    "nearest",
    "smoothed",
    "transport",
]

#: Keys of a bank that all features are compared with at once. The similarities then take hardly more memory
#: than the features, whatever the picture's size.
KEYS_AT_ONCE = 128
#: The iteration ends when no eigenvalue is farther from 1 than this; the last step squares the distance.
ENOUGH = 1e-5

_SPATIAL = np.array([2, 3], np.int64)


class LayerMoments(NamedTuple):
    """Of a layer's features: mean (C,) and covariance (C, C), float32."""

    mean: Value
    covariance: Value


class LayerMap(NamedTuple):
    """f ↦ matrix f + offset, (C, C) and (C,), and the root of the style's covariance (C, C); float32."""

    matrix: Value
    offset: Value
    style_root: Value


def moments(
    graph: Graph,
    features: Value,
    channels: int,
    *,
    grid: Size | None = None,
    weights: Value | None = None,
) -> LayerMoments:
    """The moments of features (1, C, h, w).

    Args:
        grid: (h, w); None: free.
        weights: (1, 1, h, w) ≥ 0, of sum 1; None: all positions count equally.
    """
    if weights is None:
        mean = graph.op("ReduceMean", features, axes=[2, 3], keepdims=1)
    else:
        mean = graph.op("ReduceSum", graph.op("Mul", features, weights), _SPATIAL, keepdims=1)
    centred = graph.op("Sub", features, mean)
    rows = _rows(graph, centred, channels)
    counted = rows if weights is None else _rows(graph, graph.op("Mul", centred, weights), channels)
    covariance = graph.op("MatMul", counted, graph.op("Transpose", rows, perm=[1, 0]))
    if weights is None and grid is not None:
        covariance = graph.op("Mul", covariance, 1.0 / (grid[0] * grid[1]))
    elif weights is None:
        values = graph.op("Cast", graph.op("Size", features), to=TensorProto.FLOAT)
        covariance = graph.op("Div", covariance, graph.op("Div", values, float(channels)))
    return LayerMoments(graph.op("Reshape", mean, np.array([channels], np.int64)), covariance)


def _rows(graph: Graph, features: Value, channels: int) -> Value:
    """(1, C, h, w) → (C, h·w)."""
    return graph.op("Reshape", features, np.array([channels, -1], np.int64))


def bank_coordinates() -> Tensor:
    """Positions of a bank in a grid of any size, (BANK_SIZE, 2), as (x, y) in (0, 1).

    The points of Sobol's sequence: a grid of 32×32 has one of them in each cell, a larger one has them evenly
    scattered.
    """
    points: Tensor = torch.quasirandom.SobolEngine(2).draw(BANK_SIZE) + 0.5 / BANK_SIZE
    return points


def bank(graph: Graph, features: Value, channels: int, positions: Value | NDArray[np.int64] | None) -> Value:
    """Some of the features (1, C, h, w), as (K, C).

    Args:
        positions: (K,), int64, flat; None: those of :func:`bank_coordinates`, for a free size.
    """
    if positions is not None:
        chosen = graph.op("Gather", _rows(graph, features, channels), positions, axis=1)
    else:
        coordinates = array(2.0 * bank_coordinates() - 1.0)[None, None]
        chosen = graph.op("GridSample", features, coordinates, mode="nearest", align_corners=0)
        chosen = _rows(graph, chosen, channels)
    return graph.op("Transpose", chosen, perm=[1, 0])


def transport(
    graph: Graph,
    content: LayerMoments,
    style: LayerMoments,
    channels: int,
    *,
    cost: NDArray[np.float64] | None = None,
) -> LayerMap:
    """Optimal transport between two Gaussians, as :func:`impasto.feedforward.maps.transport`.

    The matrices are float64. Float32 is not enough: the matrix of which the inverse root is taken may have a
    condition number of 10¹⁰, if a picture is grey or tiny, and the iteration diverges.
    """
    of_content, content_trace = _floored(graph, content.covariance, channels, CONTENT_FLOOR)
    of_style, style_trace = _floored(graph, style.covariance, channels, STYLE_FLOOR)
    root, _ = _square_roots(graph, of_style, channels, STYLE_FLOOR / (1.0 + channels * STYLE_FLOOR))
    right = root if cost is None else graph.op("MatMul", root, cost)
    left = graph.op("Transpose", right, perm=[1, 0])
    middle = graph.op("MatMul", graph.op("MatMul", right, of_content), left)
    middle = graph.op("Add", middle, graph.op("Transpose", middle, perm=[1, 0]))
    # A cost leaves the smallest eigenvalue and may enlarge the norm by the square of its largest one.
    most = 1.0 if cost is None else float(np.linalg.norm(cost, 2)) ** 2
    _, inverse = _square_roots(graph, middle, channels, 0.1 * STYLE_FLOOR * CONTENT_FLOOR / most)
    matrix = graph.op("MatMul", graph.op("MatMul", root, inverse), right)
    ratio = graph.op("Div", graph.op("Mul", style_trace, np.float64(2.0)), content_trace)
    matrix = graph.op("Mul", matrix, graph.op("Mul", graph.op("Sqrt", ratio), np.float64(CONTRAST)))
    means = [graph.op("Cast", mean, to=TensorProto.DOUBLE) for mean in (content.mean, style.mean)]
    offset = graph.op("Sub", means[1], graph.op("MatMul", matrix, means[0]))
    style_root = graph.op("Mul", root, graph.op("Sqrt", style_trace))
    return LayerMap(*(graph.op("Cast", x, to=TensorProto.FLOAT) for x in (matrix, offset, style_root)))


def _floored(graph: Graph, covariance: Value, channels: int, share: float) -> tuple[Value, Value]:
    """The covariance with ``share`` of its trace added to the diagonal, over the trace; and the trace."""
    covariance = graph.op("Cast", covariance, to=TensorProto.DOUBLE)
    trace = graph.op("ReduceSum", graph.op("Mul", covariance, np.eye(channels)), keepdims=0)
    trace = graph.op("Max", trace, np.float64(1e-8))
    return graph.op("Add", graph.op("Div", covariance, trace), share * np.eye(channels)), trace


def _square_roots(graph: Graph, matrix: Value, channels: int, smallest: float) -> tuple[Value, Value]:
    """A^½ and A^-½ of a symmetric positive definite matrix (C, C), by the coupled Newton–Schulz iteration.

    Higham 2008, *Functions of Matrices*, eq. 6.35. Each step is scaled for the range in which the eigenvalues
    lie (Chen & Chow 2014), which halves the number of steps.

    Args:
        smallest: lower bound of the smallest eigenvalue in relation to the Frobenius norm.
    """
    identity = graph.constant(np.eye(channels))
    norm = graph.op("Sqrt", graph.op("ReduceSum", graph.op("Mul", matrix, matrix), keepdims=0))
    root, inverse = graph.op("Div", matrix, norm), identity
    for a in _step_scales(smallest):
        product = graph.op("Mul", graph.op("MatMul", inverse, root), np.float64(-0.5 * a**3))
        factor = graph.op("Add", product, graph.op("Mul", identity, np.float64(1.5 * a)))
        root, inverse = graph.op("MatMul", root, factor), graph.op("MatMul", factor, inverse)
    scale = graph.op("Sqrt", norm)
    return graph.op("Mul", root, scale), graph.op("Div", inverse, scale)


def _step_scales(smallest: float) -> list[float]:
    """The scale of each step.

    It maps both ends of [x, 1], the range of the eigenvalues' roots, to the same value, the next x.
    """
    x, scales = smallest**0.5, []
    while 1.0 - x > ENOUGH:
        a = (3.0 / (1.0 + x + x * x)) ** 0.5
        scales.append(a)
        x = 0.5 * a * x * (3.0 - a * a * x * x)
    return scales


def moved(graph: Graph, features: Value, move: LayerMap, strength: Value) -> Value:
    """Features (1, C, h, w) under a map of this strength: (1 − s) f + s (matrix f + offset).

    Equal to :func:`impasto.feedforward.maps.transport` with a strength, which mixes matrix and mean.
    """
    full = graph.op("Conv", features, _as_kernel(graph, move.matrix), move.offset)
    return mixed(graph, features, full, strength)


def mixed(graph: Graph, x: Value, y: Value, share: Value) -> Value:
    """(1 − share) x + share y."""
    return graph.op("Add", x, graph.op("Mul", graph.op("Sub", y, x), share))


def _as_kernel(graph: Graph, matrix: Value) -> Value:
    """(D, C) → (D, C, 1, 1), the kernel of a convolution."""
    return graph.op("Unsqueeze", matrix, _SPATIAL)


def nearest(
    graph: Graph, features: Value, keys_of: Value, mean: Value, head: Tensor | None, count: int
) -> Value:
    """For each feature (1, C, h, w) the most similar one of a bank.

    As :func:`impasto.feedforward.maps.nearest`, but with a part of the bank at a time, not of the features.

    Args:
        keys_of: (K, C), the bank.
        mean: (C,), of the style.
        head: (D, C) of the encoder, or None.
        count: K.
    """
    keys = graph.op("Sub", keys_of, mean)
    if head is not None:
        keys = graph.op("MatMul", keys, array(head.T))
    length = graph.op("Max", graph.op("ReduceL2", keys, axes=[1], keepdims=1), 1e-12)
    keys = graph.op("Div", keys, length)
    if head is not None:
        keys = graph.op("MatMul", keys, array(head))
    keys = graph.op("Transpose", keys, perm=[1, 0])
    queries = graph.op("Sub", graph.op("Transpose", features, perm=[0, 2, 3, 1]), mean)
    best, index = "", ""
    for start in range(0, count, KEYS_AT_ONCE):
        bounds = [np.array([k], np.int64) for k in (start, min(start + KEYS_AT_ONCE, count), 1)]
        similarity = graph.op("MatMul", queries, graph.op("Slice", keys, *bounds[:2], bounds[2]))
        value = graph.op("ReduceMax", similarity, axes=[3], keepdims=1)
        found = graph.op("Add", graph.op("ArgMax", similarity, axis=3, keepdims=1), np.int64(start))
        if not best:
            best, index = value, found
            continue
        index = graph.op("Where", graph.op("Greater", value, best), found, index)
        best = graph.op("Max", value, best)
    index = graph.op("Squeeze", index, np.array([3], np.int64))
    return graph.op("Transpose", graph.op("Gather", keys_of, index, axis=0), perm=[0, 3, 1, 2])


def smoothed(graph: Graph, features: Value) -> Value:
    """As :func:`impasto.feedforward.maps.smoothed`, (1, C, h, w)."""
    x = padded(graph, features, 1, 1, 1, 1)
    for _ in range(2):
        x = graph.op("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1])
    return x


def evenness(graph: Graph, transported: Value, mean: Value, style_root: Value) -> Value:
    """As :func:`impasto.feedforward.maps.evenness`: (1, 1, h, w) for transported features (1, C, h, w)."""
    variance = graph.op("ReduceSum", graph.op("Mul", style_root, style_root), keepdims=0)
    centred = graph.op("Sub", transported, graph.op("Unsqueeze", mean, np.array([1, 2], np.int64)))
    squares = graph.op("ReduceSum", graph.op("Mul", centred, centred), np.array([1], np.int64), keepdims=1)
    return graph.op("Exp", graph.op("Neg", graph.op("Div", squares, variance)))


def coloured_noise(
    graph: Graph,
    features: Value,
    channels: int,
    style_root: Value,
    *,
    first: Value,
    grid: Size | None,
    seed: int,
) -> Value:
    """Noise with the style's covariance for features (1, C, h, w).

    Args:
        first: (2,), int64: row and column of the first feature in the whole picture.
        grid: (h, w); None: free.
        seed: of the noise, which is stored in the graph.
    """
    white = array(noise_field(channels, PERIOD, PERIOD, seed=seed))
    noise = graph.op("Conv", white, _as_kernel(graph, style_root))
    for axis in (2, 3):
        begin = graph.op("Gather", first, np.int64(axis - 2))
        if grid is None:
            side = graph.op("Squeeze", graph.op("Shape", features, start=axis, end=axis + 1))
            steps = graph.op("Range", np.int64(0), side, np.int64(1))
        else:
            steps = graph.constant(np.arange(grid[axis - 2]))
        places = graph.op("Mod", graph.op("Add", steps, begin), np.int64(PERIOD))
        noise = graph.op("Gather", noise, places, axis=axis)
    return noise
