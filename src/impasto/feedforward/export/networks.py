"""The encoder and the decoder as parts of an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from impasto.feedforward.decoder import Block, Decoder
from impasto.feedforward.export.graph import Graph, Value
from impasto.feedforward.statistics import LEVELS
from impasto.networks.encoder import Encoder
from impasto.networks.layers import activation_of, block_of

__all__ = ["array", "decoded", "encoded", "padded"]


def array(tensor: Tensor) -> NDArray[Any]:
    """A tensor as an array; float32, whatever its precision."""
    result: NDArray[Any] = tensor.detach().float().cpu().numpy()
    return result


def padded(graph: Graph, x: Value, below: int, right: int, above: int = 0, left: int = 0) -> Value:
    """Pad (N, C, H, W) by reflection."""
    pads = np.array([0, 0, above, left, 0, 0, below, right], np.int64)
    return graph.op("Pad", x, pads, mode="reflect")


def encoded(graph: Graph, encoder: Encoder, picture: Value, layers: Iterable[str]) -> dict[str, Value]:
    """Features of a picture (1, 3, H, W) before the heads: layer → (1, C, H/stride, W/stride)."""
    remaining, features = set(layers), {}
    x = graph.op("Mul", picture, array(encoder.get_buffer("scale")))
    x = graph.op("Add", x, array(encoder.get_buffer("shift")))
    for index, conv in enumerate(encoder.convs):
        if not remaining:
            break
        if index and block_of(conv) != block_of(encoder.convs[index - 1]):
            # As `encoder.pool` for "average": scaled by 2.
            x = graph.op("Mul", graph.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), 2.0)
        weight, bias = (array(encoder.get_buffer(f"{conv}__{kind}")) for kind in ("weight", "bias"))
        x = graph.op("Relu", graph.op("Conv", padded(graph, x, 1, 1, 1, 1), weight, bias))
        if activation_of(conv) in remaining:
            features[activation_of(conv)] = x
            remaining.remove(activation_of(conv))
    return features


def decoded(graph: Graph, decoder: Decoder, features: Mapping[str, Value]) -> Value:
    """The decoder's picture, (1, 3, H, W) in (0, 1); arguments as :meth:`Decoder.forward`."""
    x: Value | None = None
    for layer in reversed(LEVELS):
        f = graph.op("Mul", features[layer], array(decoder.get_buffer(f"scale_{layer}")))
        if layer in decoder.read:
            f = _convolution(graph, decoder.read[layer], f)
        if x is not None:
            enlarged = graph.op(
                "Resize",
                x,
                "",
                np.array([1.0, 1.0, 2.0, 2.0], np.float32),
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            )
            f = graph.op("Concat", enlarged, f, axis=1)
        x = _block(graph, decoder.block[layer], f)
        if layer == LEVELS[-1]:
            x = _block(graph, decoder.deep, x)
        if layer in decoder.narrow:
            x = _convolution(graph, decoder.narrow[layer], x)
    assert x is not None
    return graph.op("Sigmoid", _convolution(graph, decoder.picture, padded(graph, x, 1, 1, 1, 1)))


def _block(graph: Graph, block: nn.Module, x: Value) -> Value:
    assert isinstance(block, Block)
    y = _convolution(graph, block.first, padded(graph, x, 1, 1, 1, 1))
    y = graph.op("LeakyRelu", y, alpha=0.1)
    y = _convolution(graph, block.second, padded(graph, y, 1, 1, 1, 1))
    y = graph.op("Add", y, _convolution(graph, block.skip, x))
    return graph.op("LeakyRelu", y, alpha=0.1)


def _convolution(graph: Graph, convolution: nn.Module, x: Value) -> Value:
    assert isinstance(convolution, nn.Conv2d)
    parameters = [convolution.weight] if convolution.bias is None else [convolution.weight, convolution.bias]
    return graph.op("Conv", x, *map(array, parameters))
