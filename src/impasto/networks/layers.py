"""The layers of VGG-19: their names here and in other tools, their order, strides and receptive fields."""

from __future__ import annotations

import re
from dataclasses import dataclass

from impasto.errors import RecipeError

__all__ = [
    "BLOCKS",
    "CONVS",
    "LAYERS",
    "Geometry",
    "activation_of",
    "block_of",
    "canonical_layer",
    "canonical_layers",
    "convolution_of",
    "geometry",
]

#: Convolutions in each of VGG-19's five blocks; a 2×2 pooling stands between two blocks.
BLOCKS = (2, 2, 4, 4, 4)

#: The sixteen convolutions, ``conv1_1`` to ``conv5_4``.
CONVS: tuple[str, ...] = tuple(
    f"conv{block}_{index}" for block, count in enumerate(BLOCKS, 1) for index in range(1, count + 1)
)

#: Every layer that can be requested, shallow to deep: ``conv`` before the activation, ``relu`` after it.
LAYERS: tuple[str, ...] = tuple(name for conv in CONVS for name in (conv, conv.replace("conv", "relu")))


def convolution_of(layer: str) -> str:
    """The convolution that a layer belongs to: ``relu3_2`` and ``conv3_2`` → ``conv3_2``."""
    return layer.replace("relu", "conv")


def activation_of(layer: str) -> str:
    """The activation that a layer belongs to: ``conv3_2`` and ``relu3_2`` → ``relu3_2``."""
    return layer.replace("conv", "relu")


def block_of(layer: str) -> int:
    """Which of VGG-19's five blocks a layer is in: ``relu3_2`` → 3; a pooling stands between two blocks."""
    return int(layer[4])


_CANONICAL = re.compile(r"(conv|relu)([1-5])_([1-9])")
_KERAS = re.compile(r"block([1-5])_conv([1-9])")
_TUTORIAL = re.compile(r"(conv|relu)_(\d{1,2})")


def canonical_layer(name: str) -> str:
    """Translate the name of a layer to Impasto's naming.

    Args:
        name: ``relu3_2`` or ``conv3_2``; Keras' ``block3_conv2``, which includes the activation and so is
            ``relu3_2``; or the PyTorch tutorial's ``conv_5`` or ``relu_5``, where 5 is the number of the
            convolution (``conv3_1``).

    Raises:
        RecipeError: a name in none of these schemes, or a layer that VGG-19 does not have.
    """
    key = name.strip().lower()
    layer = key
    if match := _KERAS.fullmatch(key):
        layer = f"relu{match[1]}_{match[2]}"
    elif match := _TUTORIAL.fullmatch(key):
        index = int(match[2])
        layer = CONVS[index - 1].replace("conv", match[1]) if 1 <= index <= len(CONVS) else ""
    if not _CANONICAL.fullmatch(layer) or layer not in LAYERS:
        raise RecipeError(
            f"unknown layer {name!r}",
            "possible are relu1_1 … relu5_4 and conv1_1 … conv5_4 (blocks of 2, 2, 4, 4, 4), "
            "Keras' block3_conv2, the tutorial's conv_1 … conv_16",
            "name one of these",
        )
    return layer


def canonical_layers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Translate several names; ``RecipeError`` if a name is unknown or two are the same layer."""
    layers = tuple(canonical_layer(name) for name in names)
    for layer in layers:
        if layers.count(layer) > 1:
            raise RecipeError(
                f"layer {layer!r} is named {layers.count(layer)} times in {', '.join(names)}",
                "each layer counts once",
                "raise its weight instead of naming it again",
            )
    return layers


@dataclass(frozen=True)
class Geometry:
    """How a layer's grid lies on the picture.

    Attributes:
        stride: pixels between two neighbouring features.
        radius: how many pixels beyond its cell of ``stride`` pixels a feature depends on, on each side.
    """

    stride: int
    radius: int


def geometry(layer: str) -> Geometry:
    """Stride and receptive radius of a layer: 3×3 convolutions, 2×2 poolings between the blocks."""
    stride, radius = 1, 0
    previous = 1
    for conv in CONVS:
        if block_of(conv) != previous:
            previous, stride = block_of(conv), stride * 2
        radius += stride
        if conv == convolution_of(layer):
            return Geometry(stride, radius)
    raise RecipeError(f"unknown layer {layer!r}", f"possible are {LAYERS[0]} … {LAYERS[-1]}")
