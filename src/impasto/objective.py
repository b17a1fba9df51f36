"""The objective at one scale: immutable targets, and a total with its named terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.descriptors import gram
from impasto.encoders import Encoder
from impasto.guidance import to_grid
from impasto.losses import content_loss, gram_loss, temporal_loss, total_variation
from impasto.recipe import Recipe

__all__ = ["Objective", "Past", "StyleSource"]


@dataclass(frozen=True)
class StyleSource:
    """A style picture at the size it is looked at.

    Attributes:
        pixels: (1, 3, H, W), sRGB, [0, 1].
        mask: (1, 1, H, W) in [0, 1], how much each pixel counts (its alpha); None: all alike.
    """

    pixels: Tensor
    mask: Tensor | None = None

    def to(self, device: torch.device) -> StyleSource:
        """The same on ``device``."""
        return StyleSource(self.pixels.to(device), None if self.mask is None else self.mask.to(device))


@dataclass(frozen=True)
class Past:
    """An earlier stylised frame, warped to where its parts are now: what a frame of a video should look like.

    Attributes:
        pixels: (1, 3, H, W), sRGB, [0, 1].
        certainty: (1, 1, H, W) in [0, 1], 0 where the past saw something else.
        weight: of its term in the total.
    """

    pixels: Tensor
    certainty: Tensor
    weight: float


class Objective:
    """What a picture of one size is judged by.

    Args:
        encoder: computes the features.
        recipe: which layers, weights and normalisation.
        content: (1, 3, H, W) or None if the content weight is 0.
        styles: the style pictures; may be empty if the style weight is 0.
        content_mask: (1, 1, H, W) in [0, 1], where the content counts; also where the result's own
            style statistics are taken, so that transparent pixels neither give nor receive style.
        past: earlier frames of a video that this picture should agree with.
        grams: the styles' Gram matrices (layer → (C, C)) where they are known already, as from frame to
            frame; ``styles`` is not looked at then.
    """

    def __init__(
        self,
        encoder: Encoder,
        recipe: Recipe,
        content: Tensor | None,
        styles: Sequence[StyleSource],
        content_mask: Tensor | None = None,
        past: Sequence[Past] = (),
        grams: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.encoder, self.recipe, self.content_mask = encoder, recipe, content_mask
        self.content_terms = recipe.content_terms() if content is not None and recipe.content_weight else {}
        self.style_terms = recipe.style_terms() if (styles or grams) and recipe.style_weight else {}
        self.layers = tuple(dict.fromkeys((*self.content_terms, *self.style_terms)))
        self.past = tuple(past)
        with torch.no_grad():
            self.contents: Mapping[str, Tensor] = (
                encoder(content, tuple(self.content_terms)) if content is not None else {}
            )
            self.grams: Mapping[str, Tensor] = self._blend(styles) if grams is None else grams

    def _blend(self, styles: Sequence[StyleSource]) -> dict[str, Tensor]:
        """Gram matrices of the styles, averaged with the recipe's blend (they average linearly)."""
        shares = self.recipe.style_blend or (1.0,) * len(styles)
        total, blended = sum(shares), dict[str, Tensor]()
        for style, share in zip(styles, shares, strict=True):
            # The result may tile; the style picture does not, and must show no seam of its own.
            own = {"padding": "reflect"} if self.recipe.padding == "circular" else {}
            features = self.encoder(style.pixels, tuple(self.style_terms), **own)
            for layer, value in features.items():
                part = gram(value, self._on_grid(style.mask, value)) * (share / total)
                blended[layer] = blended[layer] + part if layer in blended else part
        return blended

    @staticmethod
    def _on_grid(mask: Tensor | None, features: Tensor) -> Tensor | None:
        return None if mask is None else to_grid(mask, (features.shape[-2], features.shape[-1]))

    def __call__(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Judge a picture.

        Args:
            image: (1, 3, H, W), [0, 1].

        Returns:
            The total, and its terms by name (``content/relu3_2``, ``style/relu1_1``, ``tv``,
            ``temporal``), each already times its weights: the terms sum to the total.
        """
        recipe, terms = self.recipe, dict[str, Tensor]()
        features = self.encoder(image, self.layers) if self.layers else {}
        for layer, share in self.content_terms.items():
            loss = content_loss(
                features[layer], self.contents[layer], recipe.normalisation, self.content_mask
            )
            terms[f"content/{layer}"] = recipe.content_weight * share * loss
        for layer, share in self.style_terms.items():
            own = gram(features[layer], self._on_grid(self.content_mask, features[layer]))
            loss = gram_loss(own, self.grams[layer], recipe.normalisation)
            terms[f"style/{layer}"] = recipe.style_weight * share * loss
        if recipe.tv_weight:
            terms["tv"] = recipe.tv_weight * total_variation(image, wrap=recipe.padding == "circular")
        if self.past:
            parts = [one.weight * temporal_loss(image, one.pixels, one.certainty) for one in self.past]
            terms["temporal"] = torch.stack(parts).sum()
        return torch.stack(list(terms.values())).sum(), terms
