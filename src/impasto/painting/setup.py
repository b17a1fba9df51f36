"""The encoder that a recipe asks for."""

from __future__ import annotations

import torch

from impasto.machine import choose_dtype
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.recipe import Recipe

__all__ = ["encoder_for"]


def encoder_for(recipe: Recipe, device: torch.device) -> Encoder:
    """The recipe's encoder on ``device``, computing in the recipe's precision.

    Raises:
        RecipeError: a pooling that the encoder cannot work with.
        WeightsError: weights missing, damaged or of another network.
    """
    return load_encoder(
        recipe.encoder,
        weights=recipe.weights,
        pooling=recipe.pooling,
        padding=recipe.padding,
        device=device,
        dtype=choose_dtype(recipe.precision, device),
    )
