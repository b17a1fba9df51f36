"""The decoder: a network that turns stylised features at four levels into a picture."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.errors import WeightsError
from impasto.feedforward.statistics import BANK_LAYERS, LEVELS
from impasto.networks.layers import geometry

__all__ = ["CHANNELS", "RADIUS", "Block", "Decoder", "decoder_of", "load_decoder", "reflect"]

#: Channels of the encoder ``compact`` at each level, before its heads.
CHANNELS = {"relu1_1": 16, "relu2_1": 64, "relu3_1": 96, "relu4_1": 80}
#: Channels of the decoder at each level.
WIDTHS = {"relu1_1": 16, "relu2_1": 32, "relu3_1": 64, "relu4_1": 96}
#: Inputs at the layers with a bank, each with all channels: transported features, nearest features of the
#: style, and noise with the style's covariance.
INPUTS_WITH_BANK = 3
#: Pixels on each side that a pixel of the picture depends on through the decoder: two convolutions at each
#: level, two more at the coarsest, one at the finest, and one position for each bilinear enlargement.
RADIUS = sum(2 * geometry(layer).stride for layer in LEVELS) + 16 + 1 + (8 + 4 + 2)


class _Reflect(torch.autograd.Function):
    """Reflection padding by one pixel on each side, in the memory layout channels_last.

    The gradient of ``F.pad`` does not keep channels_last, and takes several times as long in bfloat16 on a
    CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        y = x.new_empty((n, c, h + 2, w + 2)).to(memory_format=torch.channels_last)
        y[..., 1:-1, 1:-1] = x
        y[..., 1:-1, 0], y[..., 1:-1, -1] = x[..., 1], x[..., -2]
        y[..., 0, :], y[..., -1, :] = y[..., 2, :], y[..., -3, :]
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        rows = gradient[..., 1:-1, :].clone(memory_format=torch.channels_last)
        rows[..., 1, :] += gradient[..., 0, :]
        rows[..., -2, :] += gradient[..., -1, :]
        inner = rows[..., 1:-1].contiguous(memory_format=torch.channels_last)
        inner[..., 1] += rows[..., 0]
        inner[..., -2] += rows[..., -1]
        return inner


def reflect(x: Tensor) -> Tensor:
    """Pad (N, C, H, W) by reflection to (N, C, H + 2, W + 2); H and W must be at least 2."""
    if not x.requires_grad:
        return F.pad(x, (1, 1, 1, 1), mode="reflect")
    padded: Tensor = _Reflect.apply(x)  # type: ignore[no-untyped-call]
    return padded


class Block(nn.Module):
    """Two 3×3 convolutions and a 1×1 shortcut: (N, C, H, W) → (N, K, H, W), edges reflected."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3)
        self.second = nn.Conv2d(outputs, outputs, 3)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both branches, then a leaky ReLU."""
        y = F.leaky_relu(self.first(reflect(x)), 0.1)
        return F.leaky_relu(self.second(reflect(y)) + self.skip(x), 0.1)


class Decoder(nn.Module):
    """Features at ``LEVELS`` → picture (N, 3, H, W) in (0, 1); 0.57 million parameters.

    From coarse to fine: a block at each level, bilinear enlargement, and concatenation with the features of
    the next level. Bilinear enlargement and a convolution replace a transposed convolution, which would leave
    a pattern of dots. In a flat area, such as a sky, the features are the same everywhere. Without the noise
    among its inputs a network could draw nothing but a regular grid there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read, self.block, self.narrow = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for layer, count in CHANNELS.items():
            self.register_buffer(f"scale_{layer}", torch.ones(()))
            if layer in BANK_LAYERS:
                self.read[layer] = nn.Conv2d(INPUTS_WITH_BANK * count, count, 1)
        from_coarser = 0
        for layer in reversed(LEVELS):
            self.block[layer] = Block(from_coarser + CHANNELS[layer], WIDTHS[layer])
            from_coarser = WIDTHS[layer] // 2
            if layer != LEVELS[0]:
                # Channels are reduced before the enlargement, because a quarter of the positions cost less.
                self.narrow[layer] = nn.Conv2d(WIDTHS[layer], from_coarser, 1)
        self.deep = Block(WIDTHS["relu4_1"], WIDTHS["relu4_1"])
        self.picture = nn.Conv2d(WIDTHS["relu1_1"], 3, 3)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Draw the picture.

        Args:
            features: layer → (N, C, H/stride, W/stride); 3·C channels at the layers with a bank, see
                :func:`impasto.feedforward.network.decoder_inputs`.
        """
        x: Tensor | None = None
        for layer in reversed(LEVELS):
            f = features[layer] * self.get_buffer(f"scale_{layer}")
            if layer in self.read:
                f = self.read[layer](f)
            if x is not None:
                x = F.interpolate(x, f.shape[-2:], mode="bilinear", align_corners=False)
                f = torch.cat([x, f.to(x.dtype)], 1)
            x = self.block[layer](f)
            if layer == "relu4_1":
                x = self.deep(x)
            if layer in self.narrow:
                x = self.narrow[layer](x)
        assert x is not None
        return torch.sigmoid(self.picture(reflect(x)).float())


def load_decoder(path: Path | None = None, device: torch.device | str = "cpu") -> Decoder:
    """The trained decoder, ready for use.

    Args:
        path: a file that ``python -m impasto.training instant`` wrote; None: the one embedded in the package.

    Raises:
        WeightsError: the file is missing or not a decoder.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path or Path(str(resources.files("impasto") / "data" / "instant.safetensors"))
    try:
        return decoder_of(load_file(file), device)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(
            f"'{file}' is not a decoder for instant transfer ({str(error).splitlines()[0]})",
            "the file that `python -m impasto.training instant` writes",
            "leave it out for the embedded one" if path else "install Impasto again",
        ) from None


def decoder_of(state: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Decoder:
    """The decoder with these weights, of any float type, ready for use.

    Raises:
        RuntimeError: they are not a decoder's.
    """
    decoder = Decoder()
    decoder.load_state_dict({name: value.float() for name, value in state.items()})
    decoder.to(device).eval().requires_grad_(False)
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return decoder
