"""The judge: the encoder that measures the results, other than the one that they were painted with.

A picture fits the network that it was optimised under better than any other, because some of the changes
affect the features of that network alone. So results are measured under another one:

- ``vgg19-original`` or ``vgg19`` where their weights are given: the usual reference.
- ``compact`` for pictures painted with a VGG-19.
- ``random`` otherwise: VGG's shape with random weights from a fixed seed. Untrained filters describe texture
  well enough to synthesise it (Ustyuzhaninov et al. 2016, He et al. 2016), and no picture is optimised
  under them. Every filter sums to zero, so that an even grey has features of zero: patterns and
  colours are compared, not brightness. How well it agrees with VGG-19 is measured in docs/studies.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from impasto.errors import RecipeError
from impasto.networks.encoder import CENTRED, Encoder
from impasto.networks.layers import CONVS
from impasto.networks.registry import ENCODERS, load_encoder
from impasto.networks.weights import encoder_digest

__all__ = ["DESCRIPTIONS", "JUDGED", "JUDGES", "Judge", "choose", "load", "random_vgg"]

#: Layers at which is measured: the first of each block, as far as the encoder has them.
JUDGED = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
JUDGES = ("auto", "random", *ENCODERS)
#: Judge → how a report describes it.
DESCRIPTIONS = {
    "random": "an untrained network of VGG's shape, which no picture is optimised under",
    "compact": "Impasto's own small encoder, which these pictures were not optimised under",
    "vgg19": "VGG-19 with PyTorch's weights",
    "vgg19-original": "VGG-19 with Oxford's weights",
}
CHANNELS = (32, 64, 128, 128, 128)


@dataclass(frozen=True)
class Judge:
    """Which encoder measures: its name, and the file of its weights (None: where they usually are)."""

    name: str
    weights: Path | None = None

    @property
    def identity(self) -> str:
        """Name and digest of the weights: two judges with the same identity measure the same."""
        return f"{self.name} {encoder_digest(self.name, self.weights)}".strip()


def choose(judge: str, weights: Path | None, painted_with: set[str]) -> Judge:
    """The judge for pictures painted with these encoders.

    Args:
        judge: a name of :data:`JUDGES`; ``auto``: ``random`` if some were painted with ``compact``, else
            ``compact``.
        weights: file of the judge's weights; None: where they usually are.

    Raises:
        RecipeError: the judge is unknown, or some of the pictures were painted with it.
    """
    if judge not in JUDGES:
        raise RecipeError(f"unknown judge {judge!r}", f"possible are {', '.join(JUDGES)}")
    if judge in painted_with:
        raise RecipeError(
            f"{judge} would judge pictures that were optimised under it",
            "an encoder that was not optimised",
            "leave --judge out to have one chosen",
        )
    if judge == "auto":
        judge = "random" if "compact" in painted_with else "compact"
    return Judge(judge, weights)


@lru_cache(maxsize=2)
def load(judge: Judge) -> Encoder:
    """The judge's network, on the CPU in float32."""
    return random_vgg() if judge.name == "random" else load_encoder(judge.name, weights=judge.weights)


def random_vgg(seed: int = 0) -> Encoder:
    """VGG's shape to relu5_1, a quarter to a half as wide, with random filters that each sum to zero."""
    generator, state, inputs = torch.Generator().manual_seed(seed), {}, 3
    for conv in CONVS[: CONVS.index("conv5_1") + 1]:
        outputs = CHANNELS[int(conv[4]) - 1]
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        weight -= weight.mean(dim=(1, 2, 3), keepdim=True)
        # He et al. 2015: keeps the activations' size from layer to layer.
        state[f"{conv}.weight"] = weight * math.sqrt(2.0 / (9 * inputs))
        state[f"{conv}.bias"] = torch.zeros(outputs)
        inputs = outputs
    return Encoder(state, CENTRED, pooling="average").eval()
