"""The first canvas of a painting."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.losses.statistics import moments
from impasto.pictures.geometry import Size, resample
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

__all__ = ["first_canvas"]


def first_canvas(scene: Scene, recipe: Recipe, size: Size) -> Tensor:
    """The canvas (1, 3, H, W) that painting starts from.

    Random numbers are drawn on the CPU, so that the start is the same on every device.
    """
    if recipe.init == "content" and scene.content is not None:
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
