"""Stand-ins for large things: a VGG-shaped network of a few random channels, and small pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from impasto.losses.build import objective_of
from impasto.losses.objective import Objective
from impasto.networks.encoder import CENTRED, Encoder, Features, Normalisation
from impasto.networks.layers import CONVS
from impasto.recipe import Recipe
from impasto.scene import Past, Region, Scene, Style

#: Channels of each block of the tiny encoder: few, and different, so that mixing up layers fails.
TINY_CHANNELS = (4, 5, 6, 7, 8)
TINY_CONVS = CONVS[: CONVS.index("conv5_1") + 1]
#: Flags of a picture of few pixels, painted at one scale.
SMALL = ("--size", "40", "--paint-size", "40", "--coarsest", "40")


def tiny_state(seed: int = 0) -> dict[str, Tensor]:
    """conv1_1 … conv5_1 with few channels; He's scale keeps the activations from vanishing in deep layers."""
    # NumPy guarantees RandomState's stream, so that the golden pictures stay valid with later versions.
    random = np.random.RandomState(seed)
    state, inputs = {}, 3
    for conv in TINY_CONVS:
        outputs = TINY_CHANNELS[int(conv[4]) - 1]
        weight = random.standard_normal((outputs, inputs, 3, 3)) * np.sqrt(2.0 / (9 * inputs))
        state[f"{conv}.weight"] = torch.from_numpy(weight).float()
        state[f"{conv}.bias"] = torch.from_numpy(random.uniform(0.0, 0.2, outputs)).float()
        inputs = outputs
    return state


def tiny_encoder(
    seed: int = 0,
    *,
    pooling: str = "average",
    padding: str = "reflect",
    dtype: torch.dtype = torch.float32,
    normalisation: Normalisation = CENTRED,
) -> Encoder:
    """A real ``Encoder`` with :func:`tiny_state`'s weights; an evaluation takes milliseconds."""
    return Encoder(tiny_state(seed), normalisation, pooling=pooling, padding=padding).eval().compute_in(dtype)


class Faulty(Encoder):
    """The tiny encoder, which returns wrong features at chosen evaluations.

    Args:
        fault: number of the evaluation (forward pass with gradient, from 1) → whether it is faulty.
        value: factor of the features in a faulty evaluation.
        backwards: multiply the gradient instead, and leave the features as they are.
    """

    def __init__(self, fault: Callable[[int], bool], value: float, *, backwards: bool = False) -> None:
        super().__init__(tiny_state(), CENTRED, pooling="average")
        self.fault, self.value, self.backwards, self.calls = fault, value, backwards, 0

    def forward(
        self, image: Tensor, layers: Iterable[str], *, padding: str | None = None, sparing: bool = False
    ) -> Features:
        del sparing  # derivatives that wait would not pass through the features
        features = super().forward(image, layers, padding=padding)
        if not image.requires_grad:
            return features
        self.calls += 1
        if self.fault(self.calls) and self.backwards:
            for value in features.values():
                value.register_hook(lambda gradient: gradient * self.value)
        elif self.fault(self.calls):
            features = Features({layer: value * self.value for layer, value in features.items()})
        return features


def picture(height: int = 32, width: int = 40, seed: int = 0) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1]: soft waves with a hard edge, never saturated."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width] / 16.0
    planes = []
    for _ in range(3):
        angle, phase, rate = *random.uniform(0, 2 * np.pi, 2), random.uniform(1.0, 4.0)
        wave = np.sin(rate * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        edge = (x * np.cos(phase) + y * np.sin(phase) > random.uniform(0, 1)) * random.uniform(-0.2, 0.2)
        planes.append(random.uniform(0.4, 0.6) + 0.15 * wave + edge)
    noise = random.uniform(-0.02, 0.02, (3, height, width))
    return torch.from_numpy(np.clip(np.stack(planes) + noise, 0.0, 1.0)[None]).float()


def checks(height: int = 32, width: int = 32, cell: int = 4) -> Tensor:
    """(1, 3, H, W): a red and blue checkerboard, as a style that differs much from :func:`picture`."""
    y, x = np.mgrid[0:height, 0:width] // cell
    parity = ((x + y) % 2).astype(np.float32)
    return torch.from_numpy(
        np.stack([0.9 * parity + 0.05, 0.2 + 0 * parity, 0.9 - 0.8 * parity])[None].astype(np.float32)
    )


def objective(
    encoder: Encoder,
    recipe: Recipe,
    content: Tensor | None,
    styles: Sequence[Style] = (),
    content_mask: Tensor | None = None,
    past: tuple[Past, ...] = (),
    *,
    size: tuple[int, int] | None = None,
    start: Tensor | None = None,
    tile: int | None = None,
) -> Objective:
    """The objective of a recipe for pictures, which are not resized.

    Args:
        size: (height, width) of the canvas, where there is neither content nor start; None: that of the first
            style.
    """
    shapes = [image.shape[-2:] for image in (content, start) if image is not None]
    height, width = shapes[0] if shapes else size or styles[0].pixels.shape[-2:]
    scene = Scene(
        content,
        content_mask=content_mask,
        start=start,
        aspect=(int(height), int(width)),
        past=past,
        regions=(Region("", content_mask, tuple(styles), 1.0, recipe.style_blend),),
    )
    return objective_of(encoder, scene, recipe, tile=tile)


def values(*shape: int, seed: int = 0, positive: bool = False) -> Tensor:
    """Normally distributed numbers in float64, or their absolute values."""
    drawn = np.random.RandomState(seed).standard_normal(shape)
    return torch.from_numpy(np.abs(drawn) if positive else drawn)


def array(tensor: Tensor) -> np.ndarray:
    """The tensor for NumPy, float64."""
    return tensor.detach().double().numpy()
