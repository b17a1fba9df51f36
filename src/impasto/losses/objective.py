"""The objective at one scale: immutable targets, and a total with its named terms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from impasto.losses.comparisons import COMPARISONS, blend
from impasto.losses.functions import (
    content_from_sums,
    content_sums,
    self_similarity_loss,
    temporal_loss,
    total_variation,
)
from impasto.losses.matching import Pull, assign, cell_of, hypercolumn, remember_cells
from impasto.losses.statistics import rows
from impasto.losses.terms import Grid, Term, View
from impasto.networks.encoder import Encoder, Features
from impasto.networks.layers import Geometry, geometry
from impasto.pictures.geometry import Size, Tile, tiles
from impasto.recipe import Recipe
from impasto.scene.pictures import Past, Region, StyleSource

__all__ = ["HELD", "Objective", "Past", "Region", "StyleSource"]


#: Bytes a pixel up to which the content's features are held for a picture in tiles.
HELD = 64
#: Content against style at a strength of one half, each on its own scale: about what the defaults give.
BALANCE = 1 / 20


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
        start: (1, 3, H, W), the canvas as it is now: with the content, what style features are matched to.
        regions: parts with styles of their own, instead of ``styles`` for all of the picture.
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
        start: Tensor | None = None,
        regions: Sequence[Region] = (),
    ) -> None:
        self.encoder, self.recipe, self.content, self.content_mask = encoder, recipe, content, content_mask
        self.regions = tuple(regions) or (Region("", content_mask, tuple(styles), 1.0, recipe.style_blend),)
        known = bool(grams) or any(one.styles for one in self.regions)
        self.content_terms = recipe.content_terms() if content is not None and recipe.wants_content else {}
        self.style_terms = recipe.style_terms() if known and recipe.wants_style else {}
        self.layers = tuple(dict.fromkeys((*self.content_terms, *self.style_terms)))
        self.past, self.tile = tuple(past), tile
        self.cell = cell_of(self.style_terms) if self.style_terms else 1
        self._grids: dict[tuple[Size, int, str], Grid] = {}
        self._pulls: dict[str, Pull] = {}
        with torch.no_grad():
            self.targets: Mapping[str, Tensor] = self._remember_all() if grams is None else grams
            self.contents = self._remember_content()
            self.structure = self._structure()
            self.matches = self._match_all(start)
            self.content_weight, self.style_weight = recipe.content_weight, recipe.style_weight
            if recipe.strength is not None:
                self._calibrate(recipe.strength)

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
            return (
                float(total.detach()),
                gradient.contiguous(),
                {name: float(v.detach()) for name, v in terms.items()},
            )
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

    def _view(self, tile: Tile, cut: Tensor, layers: Iterable[str], **options: str) -> View:
        features: Features = self.encoder(cut, tuple(layers), **options)
        return View(tile, cut, features.cut({k: tile.inner(geometry(k).stride) for k in features}))

    def _gather(self, size: Size, tile: Tile, cut: Tensor) -> dict[str, Tensor]:
        view = self._view(tile, cut, self.layers)
        content = self._content_features(tile)
        return {term.name: term.gather(view) for term in self._terms(size, content)}

    def _judge(self, size: Size, sums: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        terms = {term.name: term.judge(sums[term.name]) for term in self._terms(size, {})}
        return torch.stack(list(terms.values())).sum(), terms

    # -- targets -------------------------------------------------------------------------------------------
    def _remember_content(self) -> Features | None:
        """The content's features, worked out once, in tiles if need be; None: too many to be held."""
        if self.content is None or self.encoder.bytes_per_pixel(self.content_terms) > HELD:
            return None
        size = (self.content.shape[-2], self.content.shape[-1])
        found: dict[str, Tensor] = {}
        for tile in self._tiles(size, self.content_terms, self.recipe.padding == "circular"):
            own = self._view(tile, tile.cut(self.content), self.content_terms).features
            if tile.is_whole:
                return own
            for layer, value in own.raw.items():
                stride = geometry(layer).stride
                if layer not in found:
                    found[layer] = value.new_empty(1, value.shape[1], size[0] // stride, size[1] // stride)
                found[layer][(..., *tile.grid(stride))] = value
        return Features(found, self.encoder.head)

    def _content_features(self, tile: Tile) -> Mapping[str, Tensor]:
        """The content's own part of each layer; computed anew per tile where it is not held."""
        if self.content is None or not self.content_terms:
            return {}
        if self.contents is not None:
            return self.contents.cut({k: tile.grid(geometry(k).stride) for k in self.contents})
        with torch.no_grad():
            return self._view(tile, tile.cut(self.content), tuple(self.content_terms)).features

    def _remember_all(self) -> dict[str, Tensor]:
        """What the styles ask for: ``relu1_1``, ``relu3_1/nearest``, ``relu1_1/sky`` → memory."""
        found: dict[str, Tensor] = {}
        for region in self.regions if self.style_terms else ():
            memories = [self._remember(style) for style in region.styles]
            given = region.blend or (1.0,) * len(memories)
            shares = [one / sum(given) for one in given]
            linear = {key: name != "nearest" and COMPARISONS[name].averages for key, _, name in self._keys()}
            mixed = blend(memories, shares, linear)
            found |= {f"{key}{region.suffix}": value for key, value in mixed.items()}
        return found

    def _keys(self) -> Iterator[tuple[str, str, str]]:
        """(key, layer, comparison) of each style term, regions apart."""
        for name in self.recipe.style_losses():
            for layer in self.style_terms:
                yield layer if name == "gram" else f"{layer}/{name}", layer, name

    def _remember(self, style: StyleSource) -> dict[str, Tensor]:
        size = (style.pixels.shape[-2], style.pixels.shape[-1])
        # The result may tile; the style picture does not, and must show no seam of its own.
        own = {"padding": "reflect"} if self.recipe.padding == "circular" else {}
        strides = {geometry(layer).stride for layer in self.style_terms} | {self.cell}
        grids = {stride: Grid.on(size, stride, style.mask) for stride in strides}
        found: dict[str, Tensor] = {}
        for tile in self._tiles(size, self.style_terms, wrap=False):
            features = self._view(tile, tile.cut(style.pixels), self.style_terms, **own).features
            for key, layer, name in self._keys():
                if name == "nearest":
                    part = remember_cells(features[layer], layer, grids[self.cell], tile, size)
                else:
                    grid = grids[geometry(layer).stride]
                    part = COMPARISONS[name].remember(features, layer, grid, tile)
                found[key] = found[key] + part if key in found else part
        return found

    # -- what goes where -------------------------------------------------------------------------------------
    def _grid(self, size: Size, stride: int, region: Region, radius: int = 0) -> Grid:
        """A layer's grid on the picture, with the weights of a region; worked out once."""
        key = (size, stride * 4096 + radius, region.name)
        if key not in self._grids:
            self._grids[key] = Grid.on(size, stride, region.mask, radius)
        return self._grids[key]

    def _calibrate(self, strength: float) -> None:
        """Set both weights so that ``strength`` means the same in every unit, loss and encoder.

        Each side is measured on its own scale: the style's is its loss for the content as it is; the
        content's, its loss for the content turned upside down, which has the same features, all elsewhere.
        Layers count by their geometric mean: one of them may be a thousand times off, which is soon mended.
        """
        self.content_weight = self.style_weight = 1.0
        if self.content is None or not (self.content_terms and self.style_terms):
            return
        size = (self.content.shape[-2], self.content.shape[-1])
        parts = self._tiles(size, self.layers, self.recipe.padding == "circular")
        scales = []
        for kind, image in (("content/", self.content.flip((-2, -1))), ("style/", self.content)):
            terms = self._judge(size, self._add_up(size, image, parts))[1]
            found = [float(v) for name, v in terms.items() if name.startswith(kind)]
            scales.append(
                len(found) * math.exp(math.fsum(math.log(max(v, 1e-9)) for v in found) / len(found))
            )
        self.content_weight = BALANCE * ((1.0 - strength) / strength) ** 3 / scales[0]
        self.style_weight = 1.0 / scales[1]

    def _structure(self) -> dict[str, Tensor]:
        """Sampled rows of the content's features, for the self-similarity."""
        if self.recipe.content_loss != "self-similarity" or self.content is None or not self.content_terms:
            return {}
        size = (self.content.shape[-2], self.content.shape[-1])
        found: dict[str, Tensor] = {}
        for tile in self._tiles(size, self.layers, wrap=self.recipe.padding == "circular"):
            for layer, value in self._content_features(tile).items():
                part = self._rows(size, layer, value, tile)
                found[layer] = found[layer] + part if layer in found else part
        return found

    def _rows(self, size: Size, layer: str, features: Tensor, tile: Tile) -> Tensor:
        grid = self._grid(size, geometry(layer).stride, Region("/content", self.content_mask, ()))
        return rows(features, grid.spots[:1024], tile.grid(grid.stride), grid.width)

    def _match_all(self, start: Tensor | None) -> list[Tensor]:
        """For each region: (a, b) of the picture's cells, each the row of the bank it shall look like."""
        if "nearest" not in self.recipe.style_losses() or not self.style_terms:
            return []
        given = [] if self.content is None else [(self.content, self.recipe.match_content)]
        if start is not None:
            given.append((start, 1.0 - self.recipe.match_content if given else 1.0))
        if not given:
            return []
        size = (given[0][0].shape[-2], given[0][0].shape[-1])
        parts = self._tiles(size, self.style_terms, wrap=self.recipe.padding == "circular")
        return [
            assign(
                parts,
                self._grid(size, self.cell, region),
                {layer: self.targets[f"{layer}/nearest{region.suffix}"] for layer in self.style_terms},
                self.style_terms,
                lambda tile: self._columns(tile, given),
                self.recipe.seed,
            )
            for region in self.regions
        ]

    def _columns(self, tile: Tile, pictures: Sequence[tuple[Tensor, float]]) -> dict[str, Tensor]:
        """Hypercolumns of a tile's cells, blended from several pictures."""
        found: dict[str, Tensor] = {}
        own = tile.grid(self.cell)
        shape = (own[0].stop - own[0].start, own[1].stop - own[1].start)
        for picture, share in pictures:
            features = self._view(tile, tile.cut(picture), self.style_terms).features
            for layer, value in hypercolumn(features, self.cell, shape).items():
                found[layer] = found[layer] + share * value if layer in found else share * value
        return found

    # -- the terms -------------------------------------------------------------------------------------------
    def _terms(self, size: Size, content: Mapping[str, Tensor]) -> Iterator[Term]:
        """All terms at ``size``; ``content`` holds the content's features where they are to be gathered."""
        recipe = self.recipe
        for layer, share in self.content_terms.items():
            yield self._content_term(size, layer, self.content_weight * share, content)
        covered = sum(region.area for region in self.regions) or 1.0
        for index, region in enumerate(self.regions if self.style_terms else ()):
            # By area, so that a small region's pixels are moved as strongly as a large one's.
            weight = self.style_weight * region.weight * region.area / covered
            for key, layer, name in self._keys():
                own = weight * self.style_terms[layer] * recipe.style_losses()[name]
                make = self._nearest_term if name == "nearest" else self._style_term
                yield make(size, key, layer, name, own, index)
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
        normalisation, name = self.recipe.normalisation, f"content/{layer}"
        if self.recipe.content_loss == "self-similarity":
            return Term(
                name,
                lambda view: self._rows(size, layer, view.features[layer], view.tile),
                lambda own: weight * self_similarity_loss(own, self.structure[layer]),
            )
        grid = self._grid(size, geometry(layer).stride, Region("/content", self.content_mask, ()))

        def gather(view: View) -> Tensor:
            return content_sums(view.features[layer], content[layer], grid.part(view.tile))

        return Term(name, gather, lambda sums: weight * content_from_sums(sums, normalisation))

    def _style_term(self, size: Size, key: str, layer: str, name: str, weight: float, index: int) -> Term:
        region, comparison = self.regions[index], COMPARISONS[name]
        shape = geometry(layer)
        radius = shape.radius if self.recipe.mask_spread == "inside" and region.mask is not None else 0
        grid, target = self._grid(size, shape.stride, region, radius), self.targets[key + region.suffix]
        return Term(
            f"style/{key}{region.suffix}",
            lambda view: comparison.remember(view.features, layer, grid, view.tile),
            lambda own: weight * comparison.judge(own, target, self.recipe.normalisation),
        )

    def _nearest_term(self, size: Size, key: str, layer: str, name: str, weight: float, index: int) -> Term:
        region, own = self.regions[index], key + self.regions[index].suffix
        grid = self._grid(size, geometry(layer).stride, region)
        if own not in self._pulls:
            self._pulls[own] = Pull(layer, self.targets[own], self.matches[index], self.cell)

        def gather(view: View) -> Tensor:
            return self._pulls[own](view.features[layer], view.tile, grid.part(view.tile))

        return Term(f"style/{own}", gather, lambda total: weight * total[0] / grid.count)

    def _departure(self, view: View) -> Tensor:
        """Weighted squared departure from the past frames, summed: (1,)."""
        own, total = view.own(view.image), torch.zeros(1, dtype=view.image.dtype, device=view.image.device)
        for one in self.past:
            pixels, certainty = (view.own(view.tile.cut(x)) for x in (one.pixels, one.certainty))
            total = total + one.weight * temporal_loss(own, pixels, certainty) * own.numel()
        return total


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
