"""Weights for tests: a small state in the layouts of several programs; the path of real VGG-19 weights."""

from __future__ import annotations

import torch
from torch import Tensor

from conftest import ROOT
from impasto.networks.checkpoints import SHAPES
from impasto.networks.layers import CONVS

ORIGINAL = ROOT.parent / "shared" / "weights" / "vgg19-original-conv1_1-conv3_4.safetensors"
TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)


def block1(seed: int = 0) -> dict[str, Tensor]:
    """conv1_1 and conv1_2 with seeded random values under canonical keys: the smallest valid state."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{layer}.{leaf}": torch.randn(shape, generator=generator)
        for layer in CONVS[:2]
        for leaf, shape in (("weight", (*SHAPES[layer], 3, 3)), ("bias", SHAPES[layer][:1]))
    }


def torchvision_keys(state: dict[str, Tensor], prefix: str = "features.") -> dict[str, Tensor]:
    return {
        f"{prefix}{TORCHVISION[CONVS.index(key.partition('.')[0])]}.{key.partition('.')[2]}": tensor
        for key, tensor in state.items()
    }


def same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """Whether two states have equal keys, in the same order, and equal values."""
    return list(state) == list(expected) and all(torch.equal(state[key], expected[key]) for key in expected)
