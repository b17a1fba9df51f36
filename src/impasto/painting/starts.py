"""The first canvas of a painting, and the content as instant transfer paints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from impasto.feedforward.network import InstantNetwork, styled_regions
from impasto.losses.statistics import moments
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.pictures.geometry import Size, resample
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

__all__ = ["first_canvas", "instant_picture"]

#: Side in pixels of the tiles of the instant picture. In those of 512 it would take more memory than the
#: painting that follows (630 MB in all instead of 565), and no less time.
TILE = 320


def first_canvas(scene: Scene, recipe: Recipe, plan: Sequence[Size], encoder: Encoder) -> Tensor:
    """The canvas (1, 3, H, W) that painting starts from, at the first size of a plan.

    Random numbers are drawn on the CPU, so that the start is the same on every device.

    Args:
        plan: the sizes of the scales. The instant picture is painted at the second one and reduced: that
            keeps small features, and its memory does not grow with the picture.
        encoder: that of the painting, by which the device and precision of the instant picture are chosen.
    """
    size = plan[0]
    if recipe.init == "instant" and recipe.padding != "circular":  # it does not continue at the opposite edge
        painted = instant_picture(scene, recipe, encoder, plan[:2][-1])
        if painted is not None:
            return resample(painted, size)
    if recipe.init in ("content", "instant") and scene.content is not None:
        return resample(scene.content, size)
    if recipe.init == "picture" and scene.start is not None:
        return resample(scene.start, size)
    generator = torch.Generator().manual_seed(recipe.seed)
    noise = torch.randn(1, 3, *size, generator=generator)
    if recipe.init == "noise":
        return (0.5 + 0.25 * noise).clamp(0.0, 1.0)
    mean, covariance = _colour_moments(scene.styles, recipe)
    root = torch.linalg.cholesky(covariance).float()
    coloured = torch.einsum("ij,njhw->nihw", root, noise) + mean.float().view(1, 3, 1, 1)
    return coloured.clamp(0.0, 1.0)


@torch.no_grad()
def instant_picture(scene: Scene, recipe: Recipe, encoder: Encoder, size: Size) -> Tensor | None:
    """The content in the styles of its regions, (1, 3, H, W) of this size; None: there is nothing to paint.

    A strength of one half and more is the style in full, as it is for the recipe's other settings.

    Args:
        scene: prepared (:func:`~impasto.scene.preparing.preprocess`).
    """
    if scene.content is None or not recipe.wants_style:
        return None
    device = encoder.device
    network = InstantNetwork.embedded(load_encoder(device=device, dtype=encoder.compute_dtype))
    at_size = replace(scene, style_statistics={}).at(size, 0, device)
    regions = styled_regions(network, at_size, tile=TILE)
    if not regions:
        return None
    assert at_size.content is not None
    strength = min(1.0, 2.0 * recipe.transfer_strength)
    painted = network.paint(at_size.content, regions, strength=strength, seed=recipe.seed, tile=TILE)
    return painted.float()


def _colour_moments(styles: tuple[Style, ...], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Mean (3,) and covariance (3, 3) of the styles' opaque colours, blended as the recipe says; float64."""
    shares = torch.tensor(recipe.style_blend or (1.0,) * len(styles), dtype=torch.float64)
    by_style = [
        moments(style.pixels.double().cpu(), None if style.mask is None else style.mask.double().cpu())
        for style in styles
    ]
    means, seconds = (torch.stack(values) for values in zip(*by_style, strict=True))
    mean = torch.einsum("s,si->i", shares / shares.sum(), means)
    second = torch.einsum("s,sij->ij", shares / shares.sum(), seconds)
    return mean, second - torch.outer(mean, mean) + 1e-8 * torch.eye(3, dtype=torch.float64)
