"""The program that Impasto is compared with: style transfer as in the PyTorch tutorial.

float32, NCHW, one scale, the whole picture at once, `torch.optim.LBFGS`, clamping inside the closure. The
losses are Impasto's relative ones, so that both minimise the same function and one objective can judge their
pictures; nothing else is shared with the package.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 512)
COUNTS = (2, 2, 4, 4, 1)


def random_vgg19(seed: int = 0) -> dict[str, Tensor]:
    """Full-width weights through conv5_1 at He's scale, for timing without the real ones."""
    generator = torch.Generator().manual_seed(seed)
    state, inputs = {}, 3
    for block, (count, width) in enumerate(zip(COUNTS, WIDTHS, strict=True), 1):
        for index in range(1, count + 1):
            weight = torch.randn(width, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
            state[f"conv{block}_{index}.weight"] = weight
            state[f"conv{block}_{index}.bias"] = torch.zeros(width)
            inputs = width
    return state


class TutorialNetwork(nn.Module):
    """VGG-19 as a plain sequence of modules with zero padding and max pooling."""

    def __init__(self, state: Mapping[str, Tensor], layers: tuple[str, ...]) -> None:
        super().__init__()
        self.mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
        self.steps = nn.ModuleList()
        self.names: list[str] = []
        missing = set(layers)
        block = "1"
        for name in (key[:-7] for key in state if key.endswith(".weight")):
            if not missing:
                break
            if name[4] != block:
                block = name[4]
                self._add("pool", nn.MaxPool2d(2))
            weight = state[f"{name}.weight"]
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            conv.weight.data.copy_(weight)
            conv.bias.data.copy_(state[f"{name}.bias"])  # type: ignore[union-attr]
            self._add(name, conv)
            self._add(f"relu{name[4:]}", nn.ReLU(inplace=False))
            missing -= {f"relu{name[4:]}"}
        self.requires_grad_(False)

    def _add(self, name: str, module: nn.Module) -> None:
        self.names.append(name)
        self.steps.append(module)

    def forward(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        x, features = image[:, [2, 1, 0]] * 255.0 - self.mean, {}
        for name, step in zip(self.names, self.steps, strict=True):
            x = step(x)
            if name in layers:
                features[name] = x
        return features


@dataclass
class Tutorial:
    """The tutorial's loop with relative losses."""

    network: TutorialNetwork
    content: Tensor
    style: Tensor
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    content_weight: float

    def __post_init__(self) -> None:
        with torch.no_grad():
            self.targets = self.network(self.content, self.content_layers)
            styles = self.network(self.style, self.style_layers)
            self.grams = {layer: self._gram(value) for layer, value in styles.items()}

    @staticmethod
    def _gram(features: Tensor) -> Tensor:
        f = features.flatten(2)[0]
        return f @ f.T / f.shape[1]

    def loss(self, image: Tensor) -> Tensor:
        """The total loss, a scalar, of a picture (1, 3, H, W) in [0, 1]."""
        features = self.network(image, (*self.style_layers, *self.content_layers))
        total = torch.zeros(())
        for layer, target in self.grams.items():
            error = (self._gram(features[layer]) - target).square().sum() / target.square().sum()
            total = total + error / len(self.grams)
        for layer, target in self.targets.items():
            error = (features[layer] - target).square().sum() / target.square().sum()
            total = total + self.content_weight * error / len(self.targets)
        return total

    def evaluate(self, image: Tensor) -> None:
        """One evaluation, forward and backward."""
        leaf = image.clone().requires_grad_(True)
        self.loss(leaf).backward()

    def run(self, iterations: int, on_evaluation: Callable[[int, float, Tensor], None]) -> Tensor:
        """Paint, starting from the content, for at least ``iterations`` evaluations.

        Args:
            on_evaluation: called after each with its number from 1, the seconds so far, and the picture.
        """
        image = self.content.clone().requires_grad_(True)
        optimiser = torch.optim.LBFGS([image])
        begin, count = time.perf_counter(), 0

        def closure() -> Tensor:
            nonlocal count
            with torch.no_grad():
                image.clamp_(0, 1)
            optimiser.zero_grad()
            total = self.loss(image)
            total.backward()
            count += 1
            on_evaluation(count, time.perf_counter() - begin, image.detach())
            return total

        while count < iterations:
            optimiser.step(closure)
        return image.detach().clamp(0, 1)
