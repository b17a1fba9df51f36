"""The objective at one scale: immutable targets, and a total with its named terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.descriptors import gram_sum
from impasto.encoders import Encoder
from impasto.guidance import to_grid
from impasto.layers import Geometry, geometry
from impasto.losses import content_from_sums, content_sums, gram_loss, temporal_loss, total_variation
from impasto.recipe import Recipe
from impasto.scales import Size, Tile, resample, tiles

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

    def resized(self, size: Size) -> StyleSource:
        """The same at another size, (height, width)."""
        return StyleSource(
            resample(self.pixels, size), None if self.mask is None else resample(self.mask, size)
        )

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


@dataclass(frozen=True)
class Term:
    """One comparison, at one place, times one weight.

    Attributes:
        name: ``content/relu3_2``, ``style/relu1_1``, ``tv``, ``temporal``.
        gather: what the comparison needs to know of a part of the picture; additive over parts.
        judge: from the sum over all parts to a loss, weight included.
    """

    name: str
    gather: Callable[[View], Tensor]
    judge: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class View:
    """A part of the picture, or all of it.

    Attributes:
        tile: where it lies.
        image: (1, 3, h, w), with the tile's halo.
        features: layer → (1, C, h, w), the tile's own part alone.
    """

    tile: Tile
    image: Tensor
    features: Mapping[str, Tensor]

    def own(self, image: Tensor, *, further: int = 0) -> Tensor:
        """The tile's own part of ``image`` as cut; ``further`` pixels more to the right and below, if any."""
        rows, columns = self.tile.inner(1)
        return image[..., rows.start : rows.stop + further, columns.start : columns.stop + further]


class Objective:
    """What a picture of one size is judged by.

    Every term rests on a statistic that adds up over the parts of the picture. So it can be judged whole,
    or exactly the same in tiles: the first pass adds up the statistics without gradients, the second runs
    over the tiles again and sends back through each the derivative of the total with respect to the
    *global* statistics. Memory then does not grow with the picture (beyond the picture itself), and there
    are no seams, which per-tile Gram matrices leave.

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
        tile: side of the tiles in pixels; None: the whole picture at once.
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
        tile: int | None = None,
    ) -> None:
        self.encoder, self.recipe, self.content, self.content_mask = encoder, recipe, content, content_mask
        self.content_terms = recipe.content_terms() if content is not None and recipe.content_weight else {}
        self.style_terms = recipe.style_terms() if (styles or grams) and recipe.style_weight else {}
        self.layers = tuple(dict.fromkeys((*self.content_terms, *self.style_terms)))
        self.past, self.tile = tuple(past), tile
        with torch.no_grad():
            self.grams: Mapping[str, Tensor] = self._blend(styles) if grams is None else grams
            whole = content is not None and (tile is None or max(content.shape[-2:]) <= tile)
            self.contents: Mapping[str, Tensor] | None = (
                encoder(content, tuple(self.content_terms)) if whole and content is not None else None
            )

    # -- the picture, whole ------------------------------------------------------------------------------
    def __call__(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Judge a picture at once, differentiably.

        Args:
            image: (1, 3, H, W), [0, 1].

        Returns:
            The total, and its terms by name, each already times its weights: the terms sum to the total.
        """
        size = (image.shape[-2], image.shape[-1])
        (whole,) = tiles(size, None, 1, 0)
        return self._judge(size, self._gather(size, whole, image))

    # -- the picture, in tiles if need be ----------------------------------------------------------------
    def evaluate(self, image: Tensor) -> tuple[float, Tensor, dict[str, float]]:
        """Total, gradient (1, 3, H, W) and terms of a picture (1, 3, H, W), in tiles if it is large."""
        size = (image.shape[-2], image.shape[-1])
        parts = self._tiles(size, self.layers, self.recipe.padding == "circular")
        if len(parts) == 1:
            leaf = image.detach().requires_grad_(True)
            total, terms = self(leaf)
            (gradient,) = torch.autograd.grad(total, leaf)
            return float(total.detach()), gradient, {name: float(v.detach()) for name, v in terms.items()}
        with torch.no_grad():
            sums = self._add_up(size, image, parts)
        leaves = {name: value.requires_grad_(True) for name, value in sums.items()}
        total, terms = self._judge(size, leaves)
        slopes = torch.autograd.grad(total, list(leaves.values()))
        gradient = torch.zeros_like(image)
        for part in parts:
            leaf = part.cut(image).detach().requires_grad_(True)
            gathered = self._gather(size, part, leaf)
            inner = [(gathered[n] * slope).sum() for n, slope in zip(leaves, slopes, strict=True)]
            (piece,) = torch.autograd.grad(torch.stack(inner).sum(), leaf)
            part.add(gradient, piece)
        return float(total.detach()), gradient, {name: float(v.detach()) for name, v in terms.items()}

    def _tiles(self, size: Size, layers: Iterable[str], wrap: bool) -> list[Tile]:
        shapes = [geometry(layer) for layer in layers] or [Geometry(1, 1)]
        stride, radius = max(g.stride for g in shapes), max(g.radius for g in shapes)
        return tiles(size, self.tile, stride, radius, wrap=wrap)

    def _add_up(self, size: Size, image: Tensor, parts: Sequence[Tile]) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        for part in parts:
            for name, value in self._gather(size, part, part.cut(image)).items():
                sums[name] = sums[name] + value if name in sums else value
        return sums

    def _view(self, tile: Tile, cut: Tensor, layers: Iterable[str]) -> View:
        features = {
            layer: value[(..., *tile.inner(geometry(layer).stride))]
            for layer, value in (self.encoder(cut, tuple(layers)) if layers else {}).items()
        }
        return View(tile, cut, features)

    def _gather(self, size: Size, tile: Tile, cut: Tensor) -> dict[str, Tensor]:
        view = self._view(tile, cut, self.layers)
        content = self._content_features(tile)
        return {term.name: term.gather(view) for term in self._terms(size, content)}

    def _judge(self, size: Size, sums: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        terms = {term.name: term.judge(sums[term.name]) for term in self._terms(size, {})}
        return torch.stack(list(terms.values())).sum(), terms

    # -- targets -------------------------------------------------------------------------------------------
    def _content_features(self, tile: Tile) -> Mapping[str, Tensor]:
        """The content's own part of each layer; computed anew per tile where it is not held whole."""
        if self.contents is not None:
            return {k: v[(..., *tile.grid(geometry(k).stride))] for k, v in self.contents.items()}
        if self.content is None or not self.content_terms:
            return {}
        with torch.no_grad():
            return self._view(tile, tile.cut(self.content), tuple(self.content_terms)).features

    def _blend(self, styles: Sequence[StyleSource]) -> dict[str, Tensor]:
        """Gram matrices of the styles, averaged with the recipe's blend (they average linearly)."""
        shares = self.recipe.style_blend or (1.0,) * len(styles)
        total, blended = sum(shares), dict[str, Tensor]()
        for style, share in zip(styles, shares, strict=True):
            for layer, value in self._style_grams(style).items():
                part = value * (share / total)
                blended[layer] = blended[layer] + part if layer in blended else part
        return blended

    def _style_grams(self, style: StyleSource) -> dict[str, Tensor]:
        size = (style.pixels.shape[-2], style.pixels.shape[-1])
        # The result may tile; the style picture does not, and must show no seam of its own.
        own = {"padding": "reflect"} if self.recipe.padding == "circular" else {}
        found: dict[str, Tensor] = {}
        for tile in self._tiles(size, self.style_terms, wrap=False):
            for layer, value in self.encoder(tile.cut(style.pixels), tuple(self.style_terms), **own).items():
                stride = geometry(layer).stride
                weights, count = _share(style.mask, size, stride)
                inner = value[(..., *tile.inner(stride))]
                part = (
                    gram_sum(inner, weights[(..., *tile.grid(stride))] if weights is not None else None)
                    / count
                )
                found[layer] = found[layer] + part if layer in found else part
        return found

    # -- the terms -------------------------------------------------------------------------------------------
    def _terms(self, size: Size, content: Mapping[str, Tensor]) -> Iterator[Term]:
        """All terms at ``size``; ``content`` holds the content's features where they are to be gathered."""
        recipe = self.recipe
        for layer, share in self.content_terms.items():
            yield self._content_term(size, layer, recipe.content_weight * share, content)
        for layer, share in self.style_terms.items():
            yield self._style_term(size, layer, recipe.style_weight * share)
        pixels = 3 * size[0] * size[1]
        if recipe.tv_weight:
            wrap = recipe.padding == "circular"
            yield Term(
                "tv",
                lambda view: _variation(view, wrap).reshape(1),
                lambda total: recipe.tv_weight * total[0] / pixels,
            )
        if self.past:
            yield Term("temporal", self._departure, lambda total: total[0] / pixels)

    def _content_term(self, size: Size, layer: str, weight: float, content: Mapping[str, Tensor]) -> Term:
        stride, normalisation = geometry(layer).stride, self.recipe.normalisation

        def gather(view: View) -> Tensor:
            weights, _ = _share(self.content_mask, size, stride)
            part = None if weights is None else weights[(..., *view.tile.grid(stride))]
            return content_sums(view.features[layer], content[layer], part)

        return Term(f"content/{layer}", gather, lambda sums: weight * content_from_sums(sums, normalisation))

    def _style_term(self, size: Size, layer: str, weight: float) -> Term:
        stride, normalisation = geometry(layer).stride, self.recipe.normalisation
        weights, count = _share(self.content_mask, size, stride)

        def gather(view: View) -> Tensor:
            part = None if weights is None else weights[(..., *view.tile.grid(stride))]
            return gram_sum(view.features[layer], part) / count

        return Term(
            f"style/{layer}", gather, lambda gram: weight * gram_loss(gram, self.grams[layer], normalisation)
        )

    def _departure(self, view: View) -> Tensor:
        """Weighted squared departure from the past frames, summed: (1,)."""
        own, total = view.own(view.image), torch.zeros(1, dtype=view.image.dtype, device=view.image.device)
        for one in self.past:
            pixels, certainty = (view.own(view.tile.cut(x)) for x in (one.pixels, one.certainty))
            total = total + one.weight * temporal_loss(own, pixels, certainty) * own.numel()
        return total


def _share(mask: Tensor | None, size: Size, stride: int) -> tuple[Tensor | None, float]:
    """A mask on a layer's whole grid, and the sum of its weights there (of ones, without a mask)."""
    grid = (size[0] // stride, size[1] // stride)
    if mask is None:
        return None, float(grid[0] * grid[1])
    weights = to_grid(mask, grid)
    return weights, float(weights.sum())


def _variation(view: View, wrap: bool) -> Tensor:
    """Total variation of the tile's own pixels with their right and lower neighbours, summed."""
    if view.tile.is_whole:
        return total_variation(view.image, wrap=wrap) * view.image.numel()
    rows, columns = view.tile.inner(1)
    # Differences belong to the pixel on their left or above: one more pixel there, none counted twice.
    across = view.own(view.image, further=1)[..., : rows.stop - rows.start, :]
    down = view.own(view.image, further=1)[..., : columns.stop - columns.start]
    horizontal = (across[..., 1:] - across[..., :-1]).square().sum()
    return horizontal + (down[..., 1:, :] - down[..., :-1, :]).square().sum()
