"""The four models: everything in one, or statistics, maps and painting by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from impasto.feedforward.colours import colour_cost
from impasto.feedforward.decoder import Decoder
from impasto.feedforward.export import transfer
from impasto.feedforward.export.graph import Graph, Value
from impasto.feedforward.export.networks import decoded, encoded, padded
from impasto.feedforward.export.transfer import LayerMap, LayerMoments
from impasto.feedforward.maps import MATCH_SHARE, NOISE_GAIN
from impasto.feedforward.network import MIN_SIDE, REACH, STRIDE
from impasto.feedforward.statistics import BANK_LAYERS, BANK_SIZE, LEVELS
from impasto.feedforward.style import InstantStyle
from impasto.losses.statistics import sample_positions
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.pictures.geometry import Size

__all__ = ["HALO", "ModelBuilder", "bank_positions", "padded_size"]

#: Pixels on each side that a pixel of the painted picture depends on, and that a tile must have beyond it.
HALO = -(-REACH // STRIDE) * STRIDE


def padded_size(size: Size) -> Size:
    """The size of a picture padded to multiples of 8, below and on the right, as the network needs it."""
    height, width = (max(MIN_SIDE, -(-side // STRIDE) * STRIDE) for side in size)
    return height, width


def bank_positions(size: Size, layer: str) -> NDArray[np.int64]:
    """Where a style of this size is sampled in Python: (BANK_SIZE,), flat indices into the layer's grid.

    The file for painting takes banks of this length. A smaller grid's positions are therefore repeated, which
    changes no match.
    """
    height, width = (side // geometry(layer).stride for side in padded_size(size))
    return np.resize(sample_positions(BANK_SIZE, height, width).numpy(), BANK_SIZE)


@dataclass(frozen=True)
class ModelBuilder:
    """Makes the models of one encoder and decoder.

    Attributes:
        encoder: ``compact``.
        decoder: on the CPU.
        seed: of the noise.
    """

    encoder: Encoder
    decoder: Decoder
    seed: int = 0

    def whole(
        self,
        size: Size | None = None,
        style_size: Size | None = None,
        style: InstantStyle | None = None,
    ) -> onnx.ModelProto:
        """Picture, style and strength → painted picture.

        Args:
            size: (height, width) of the picture; None: free, in multiples of 8.
            style_size: the same for the style.
            style: becomes part of the model, which then has no input for it.
        """
        graph = Graph()
        shape = _picture_shape(size, "")
        picture = self._framed(graph, graph.input("picture", shape), size)
        known = self._computed(graph, style_size) if style is None else _remembered(graph, style)
        strength = graph.input("strength", [1])
        raw = encoded(graph, self.encoder, picture, LEVELS)
        maps, banks = {}, {}
        for layer in LEVELS:
            channels = self.encoder.channels(layer)
            here = transfer.moments(graph, raw[layer], channels, grid=_grid(size, layer))
            maps[layer] = transfer.transport(
                graph, here, known.moments[layer], channels, cost=colour_cost(layer).numpy()
            )
            if layer in BANK_LAYERS:
                banks[layer] = (*known.banks[layer], known.moments[layer].mean)
        painted = self._painted(graph, raw, maps, banks, strength, size, np.zeros(2, np.int64))
        if size is not None and padded_size(size) != size:
            ends, axes = np.array(size, np.int64), np.array([2, 3], np.int64)
            painted = graph.op("Slice", painted, np.zeros(2, np.int64), ends, axes)
        graph.output("painted", painted, shape)
        return graph.model("impasto_instant", "Any picture in any style, at once.", self._facts("whole"))

    def statistics(self) -> onnx.ModelProto:
        """Picture or tile, weights of pixels, positions → weight, mean and covariance by layer, and banks.

        A tile's halo has weight 0. Over tiles, weight, weight · mean and weight · (covariance + mean meanᵀ)
        add up. The banks are the features at the positions, such as :func:`bank_positions` gives.
        """
        graph = Graph()
        picture = graph.input("picture", _picture_shape(None, ""))
        pixels = graph.input("weights", [1, 1, "height", "width"])
        raw = encoded(graph, self.encoder, picture, LEVELS)
        for layer in LEVELS:
            channels, stride = self.encoder.channels(layer), geometry(layer).stride
            here = graph.op("AveragePool", pixels, kernel_shape=[stride] * 2, strides=[stride] * 2)
            weight = graph.op("ReduceSum", here, keepdims=0)
            shares = graph.op("Div", here, graph.op("Max", weight, 1e-6))
            moments = transfer.moments(graph, raw[layer], channels, weights=shares)
            graph.output(f"weight_{layer}", weight, [])
            graph.output(f"mean_{layer}", moments.mean, [channels])
            graph.output(f"covariance_{layer}", moments.covariance, [channels, channels])
            if layer in BANK_LAYERS:
                positions = graph.input(f"positions_{layer}", ["samples"], "int64")
                bank = transfer.bank(graph, raw[layer], channels, positions)
                graph.output(f"bank_{layer}", bank, ["samples", channels])
        return graph.model(
            "impasto_instant_statistics", "What is remembered of a picture.", self._facts("statistics")
        )

    def maps(self) -> onnx.ModelProto:
        """Means and covariances of content and style → maps by layer."""
        graph = Graph()
        for layer in LEVELS:
            c = self.encoder.channels(layer)
            content, style = (
                LayerMoments(
                    graph.input(f"{of}_mean_{layer}", [c]), graph.input(f"{of}_covariance_{layer}", [c, c])
                )
                for of in ("content", "style")
            )
            move = transfer.transport(graph, content, style, c, cost=colour_cost(layer).numpy())
            for kind, value in move._asdict().items():
                if kind != "style_root" or layer in BANK_LAYERS:
                    graph.output(f"{kind}_{layer}", value, [c] if kind == "offset" else [c, c])
        return graph.model(
            "impasto_instant_maps", "How features of one picture become another's.", self._facts("maps")
        )

    def painting(self, size: Size | None = None) -> onnx.ModelProto:
        """Picture or tile, its position, strength, maps, means and banks of the style → painted.

        Args:
            size: (height, width) of the tile with its halo, multiples of 8; None: free.
        """
        graph = Graph()
        shape = _picture_shape(size, "")
        picture, strength = graph.input("picture", shape), graph.input("strength", [1])
        position = graph.input("position", [2], "int64")
        maps: dict[str, LayerMap] = {}
        banks: dict[str, tuple[Value, int, Value]] = {}
        for layer in LEVELS:
            c = self.encoder.channels(layer)
            matrix, offset = graph.input(f"matrix_{layer}", [c, c]), graph.input(f"offset_{layer}", [c])
            root = graph.input(f"style_root_{layer}", [c, c]) if layer in BANK_LAYERS else ""
            maps[layer] = LayerMap(matrix, offset, root)
            if layer in BANK_LAYERS:
                bank = graph.input(f"bank_{layer}", [BANK_SIZE, c])
                banks[layer] = (bank, BANK_SIZE, graph.input(f"style_mean_{layer}", [c]))
        raw = encoded(graph, self.encoder, picture, LEVELS)
        graph.output("painted", self._painted(graph, raw, maps, banks, strength, size, position), shape)
        return graph.model(
            "impasto_instant_painting", "A picture or a tile of one, painted.", self._facts("painting")
        )

    def _computed(self, graph: Graph, size: Size | None) -> _KnownStyle:
        """The statistics of the input ``style``, of this size; None: free."""
        picture = self._framed(graph, graph.input("style", _picture_shape(size, "style_")), size)
        raw = encoded(graph, self.encoder, picture, LEVELS)
        return _KnownStyle(
            {
                layer: transfer.moments(
                    graph, raw[layer], self.encoder.channels(layer), grid=_grid(size, layer)
                )
                for layer in LEVELS
            },
            {layer: self._bank(graph, raw[layer], layer, size) for layer in BANK_LAYERS},
        )

    def _framed(self, graph: Graph, picture: Value, size: Size | None) -> Value:
        """The picture, padded if its size is known and needs it."""
        if size is None or padded_size(size) == size:
            return picture
        below, right = (wanted - side for wanted, side in zip(padded_size(size), size, strict=True))
        return padded(graph, picture, below, right)

    def _bank(self, graph: Graph, features: Value, layer: str, size: Size | None) -> tuple[Value, int]:
        """The bank of a picture's features (K, C), and K."""
        positions = None
        if grid := _grid(size, layer):
            positions = sample_positions(BANK_SIZE, *grid).numpy()
        count = BANK_SIZE if positions is None else len(positions)
        return transfer.bank(graph, features, self.encoder.channels(layer), positions), count

    def _painted(
        self,
        graph: Graph,
        raw: Mapping[str, Value],
        maps: Mapping[str, LayerMap],
        banks: Mapping[str, tuple[Value, int, Value]],
        strength: Value,
        size: Size | None,
        position: Value | NDArray[np.int64],
    ) -> Value:
        """The decoder's picture; as :func:`impasto.feedforward.network.decoder_inputs` and the decoder.

        Args:
            banks: layer → bank (K, C), K, and the style's mean (C,).
            size: of the picture; None: free.
            position: (2,), int64, of the first pixel in the whole picture.
        """
        inputs = {}
        for layer in LEVELS:
            features, move = raw[layer], maps[layer]
            inputs[layer] = transfer.moved(graph, features, move, strength)
            if layer in BANK_LAYERS:
                bank, count, mean = banks[layer]
                matches = transfer.nearest(graph, inputs[layer], bank, mean, self.encoder.head(layer), count)
                even = transfer.evenness(graph, inputs[layer], mean, move.style_root)
                share = graph.op("Mul", even, MATCH_SHARE)
                matches = transfer.mixed(graph, inputs[layer], transfer.smoothed(graph, matches), share)
                gain = graph.op("Add", graph.op("Mul", even, NOISE_GAIN), 1.0)
                first = graph.op("Div", position, np.int64(geometry(layer).stride))
                noise = transfer.coloured_noise(
                    graph,
                    features,
                    self.encoder.channels(layer),
                    move.style_root,
                    first=first,
                    grid=_grid(size, layer),
                    seed=self.seed,
                )
                inputs[layer] = graph.op(
                    "Concat",
                    inputs[layer],
                    transfer.mixed(graph, features, matches, strength),
                    graph.op("Mul", noise, graph.op("Mul", gain, strength)),
                    axis=1,
                )
        return decoded(graph, self.decoder, inputs)

    def _facts(self, part: str) -> dict[str, object]:
        """What a program needs to know for exact tiles."""
        return {
            "part": part,
            "multiple": STRIDE,
            "smallest_side": MIN_SIDE,
            "halo": HALO,
            "layers": ",".join(LEVELS),
            "bank_layers": ",".join(BANK_LAYERS),
            "bank_strides": ",".join(str(geometry(layer).stride) for layer in BANK_LAYERS),
            "bank_size": BANK_SIZE,
        }


class _KnownStyle(NamedTuple):
    """A style in a graph: moments by layer, and by layer of ``BANK_LAYERS`` the bank (K, C) and K."""

    moments: Mapping[str, LayerMoments]
    banks: Mapping[str, tuple[Value, int]]


def _remembered(graph: Graph, style: InstantStyle) -> _KnownStyle:
    """The statistics of a style as constants."""
    moments = {
        layer: LayerMoments(
            graph.constant(of_layer.mean[0].float().numpy()),
            graph.constant(of_layer.covariance[0].float().numpy()),
        )
        for layer, of_layer in style.moments.items()
    }
    banks = {
        layer: (graph.constant(bank[0].numpy()), int(bank.shape[1])) for layer, bank in style.banks.items()
    }
    return _KnownStyle(moments, banks)


def _grid(size: Size | None, layer: str) -> Size | None:
    """(height, width) of a layer's features, for a picture of this size before it is padded."""
    if size is None:
        return None
    height, width = padded_size(size)
    return height // geometry(layer).stride, width // geometry(layer).stride


def _picture_shape(size: Size | None, prefix: str) -> list[int | str]:
    return [1, 3, *(size or (f"{prefix}height", f"{prefix}width"))]
