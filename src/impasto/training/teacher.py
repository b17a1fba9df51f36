"""The teacher that the compact encoder learns from: a VGG-19, complete or not.

A complete VGG-19 supplies every target. If only its first blocks are available, a compressed network with
published heads can supply the deeper layers (:class:`Compressed`); :class:`Teacher` combines the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.errors import WeightsError
from impasto.networks.encoder import OXFORD, Encoder, Normalisation
from impasto.networks.layers import CONVS, LAYERS, activation_of, block_of
from impasto.networks.weights import read_state

__all__ = ["STYLE_TARGETS", "TARGETS", "Compressed", "Teacher"]

STYLE_TARGETS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
#: All layers that the student learns, shallow to deep: those for the style, and the usual content layers.
TARGETS = ("relu1_1", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu4_1", "relu4_2", "relu5_1")


class Compressed(nn.Module):
    """A 16-times smaller VGG-19 (Wang et al., CVPR 2020) with its heads to VGG's channels.

    It has a 1×1 convolution ``preprocess`` at first, reflection padding before each 3×3 convolution, and max
    pooling. 1×1 heads with a ReLU after conv1_1, 2_1, 3_1, 4_1 and 5_1 lead to the features of the
    *normalised* VGG-19.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.convs = tuple(conv for conv in CONVS if f"{conv}.weight" in state)
        for key, value in state.items():
            self.register_buffer(key.replace(".", "__"), value.clone(), persistent=False)

    def _conv(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.get_buffer(f"{name}__weight"), self.get_buffer(f"{name}__bias")
        return F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype))

    def forward(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Features by layer: relu1_1 to relu5_1 after their heads, other layers as this network has them."""
        features: dict[str, Tensor] = {}
        x = self._conv(image, "preprocess")
        for index, conv in enumerate(self.convs):
            if index and block_of(conv) != block_of(self.convs[index - 1]):
                x = F.max_pool2d(x, 2)
            x = self._conv(F.pad(x, (1, 1, 1, 1), mode="reflect"), conv)
            if conv in layers:
                features[conv] = x
            x = F.relu(x)
            layer = activation_of(conv)
            if layer in layers:
                head = conv.replace("conv", "head")
                features[layer] = F.relu(self._conv(x, head)) if conv.endswith("_1") else x
        return features


class Teacher(nn.Module):
    """Supplies the features at every layer of :data:`TARGETS`, divided by their RMS (:meth:`calibrate`).

    Raw features differ by orders of magnitude between layers; without scaling, the student would not learn.

    Args:
        lower: weights of a VGG-19, or of its first blocks.
        upper: weights of a compressed network; None: ``lower`` has all layers.
        normalisation: of the input of ``lower``.

    Raises:
        WeightsError: ``lower`` lacks layers, and there is no ``upper``.
    """

    def __init__(
        self,
        lower: Mapping[str, Tensor],
        upper: Mapping[str, Tensor] | None = None,
        normalisation: Normalisation = OXFORD,
    ) -> None:
        super().__init__()
        self.lower = Encoder(lower, normalisation)
        self.upper = None if upper is None else Compressed(upper)
        self.from_lower = tuple(t for t in TARGETS if t in self.lower.layers)
        self.from_upper = tuple(t for t in TARGETS if t not in self.lower.layers)
        if self.from_upper and self.upper is None:
            raise WeightsError(
                f"the teacher ends at {self.lower.layers[-1]}",
                f"the student is taught {', '.join(TARGETS)}",
                "give a complete VGG-19, or a compressed network with heads as --upper",
            )
        self.rms = dict.fromkeys(TARGETS, 1.0)

    @classmethod
    def from_files(cls, lower: Path, upper: Path | None = None) -> Teacher:
        """From Oxford's VGG-19, in any format that ``read_state`` reads, and a compressed network's file."""
        from safetensors.torch import load_file

        return cls(read_state(lower), None if upper is None else load_file(upper))

    @property
    def channels(self) -> dict[str, int]:
        """Channels of each target."""
        with torch.no_grad():
            return {k: v.shape[1] for k, v in self.raw(torch.zeros(1, 3, 64, 64)).items()}

    def raw(self, image: Tensor, layers: tuple[str, ...] = TARGETS) -> dict[str, Tensor]:
        """Unscaled features, (N, C, H, W) in the teacher's precision and units."""
        features = dict(self.lower(image, tuple(t for t in layers if t in self.from_lower)))
        upper = tuple(t for t in layers if t in self.from_upper)
        if upper and self.upper is not None:
            features |= self.upper(image, upper)
        return {layer: features[layer] for layer in LAYERS if layer in features}

    def forward(self, image: Tensor, layers: tuple[str, ...] = TARGETS) -> dict[str, Tensor]:
        """Features by layer, (N, C, H, W), scaled to an RMS of 1."""
        return {layer: value / self.rms[layer] for layer, value in self.raw(image, layers).items()}

    @torch.no_grad()
    def pre_activation(self, image: Tensor, conv: str) -> Tensor:
        """A convolution's output before its ReLU, from the lower network if that has it, else the upper."""
        network = self.lower if conv in self.lower.convs or self.upper is None else self.upper
        value: Tensor = network(image, (conv,))[conv]
        return value

    @torch.no_grad()
    def calibrate(self, image: Tensor) -> None:
        """Measure each target's RMS on a batch of crops (N, 3, H, W)."""
        self.rms = {k: float(v.float().square().mean().sqrt()) for k, v in self.raw(image).items()}
