"""The method of 2015 with Impasto's parts: python examples/minimal.py CONTENT STYLE OUT.

An image is changed by gradient descent until its features in a network match the features of one picture (the
content) and the Gram matrices of another (the style): Gatys, Ecker & Bethge 2015, "A neural algorithm of
artistic style".
"""

from __future__ import annotations

import sys

import torch

from impasto import pictures
from impasto.losses.functions import gram_loss
from impasto.losses.statistics import gram
from impasto.networks.registry import load_encoder
from impasto.pictures.geometry import fit, resample

SIZE, STEPS = 384, 60
CONTENT_LAYER = "relu3_2"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_WEIGHT, STYLE_WEIGHT = 0.05, 1.0


def load(path: str) -> torch.Tensor:
    """A picture (1, 3, H, W) in [0, 1] whose longer side is SIZE."""
    pixels = pictures.load(path).pixels
    return resample(pixels, fit(pixels.shape[-2], pixels.shape[-1], SIZE))


def paint(content: torch.Tensor, style: torch.Tensor, steps: int = STEPS) -> torch.Tensor:
    """The content (1, 3, H, W) in the manner of the style."""
    encoder = load_encoder("compact")
    with torch.no_grad():
        content_target = encoder(content, (CONTENT_LAYER,))[CONTENT_LAYER]
        style_targets = {k: gram(f) for k, f in encoder(style, STYLE_LAYERS).items()}

    image = content.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([image], max_iter=1, history_size=20)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        features = encoder(image, (CONTENT_LAYER, *STYLE_LAYERS))
        distance = (features[CONTENT_LAYER] - content_target).square().sum()
        style_loss = torch.stack(
            [gram_loss(gram(features[layer]), target) for layer, target in style_targets.items()]
        ).mean()
        loss = CONTENT_WEIGHT * distance / content_target.square().sum() + STYLE_WEIGHT * style_loss
        loss.backward()
        return loss

    for step in range(steps):
        loss = optimiser.step(closure).item()
        with torch.no_grad():
            image.clamp_(0.0, 1.0)
        print(f"\rstep {step + 1} of {steps}: loss {loss:.4f}", end="", flush=True)
    print()
    return image.detach()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/minimal.py CONTENT STYLE OUT")
    print(pictures.save(sys.argv[3], paint(load(sys.argv[1]), load(sys.argv[2]))))
