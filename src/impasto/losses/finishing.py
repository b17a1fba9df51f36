"""The finishing pass: every feature is pulled to the style's feature that is nearest to it at that moment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from impasto.losses.details import without_details, without_subjects
from impasto.losses.functions import finishing_distance
from impasto.losses.grids import Grid, layer_grid
from impasto.losses.neighbours import CAPACITY, StyleDirections, next_prices, unit_rows
from impasto.losses.statistics import gather_positions, sample_positions
from impasto.losses.style import known_statistics, region_shares, statistics_by_region, statistics_key
from impasto.losses.terms import Term
from impasto.losses.tiled import Gathered, Part, TiledEncoder, add_up, size_of
from impasto.networks.encoder import Features
from impasto.networks.layers import geometry
from impasto.networks.operations import Slopes
from impasto.pictures.chroma import finest_lightness
from impasto.pictures.geometry import Tile
from impasto.scene import Guidance, Scene, Style

__all__ = ["FINISHING_LAYERS", "FinishingTerm"]

#: Layers that are compared, with equal shares. They are fixed: deeper ones would place motifs anew.
FINISHING_LAYERS = ("relu1_1", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu4_1", "relu4_2")
#: Features that are kept of the style and of each of its turned copies, at each layer.
SAMPLES_PER_TURN = 1024
#: Positions of the canvas that are compared in one evaluation, at each layer, at least, approximately.
POSITIONS = 1024
#: Pixels between these positions, at most. Farther apart, the few evaluations of a preset leave coloured
#: grain in even areas of a large picture.
SPACING = 16
#: Features of layers beyond this stride are motifs of the style, such as a blossom. They make strokes long in
#: a sky, but do not belong on a face, so they count only where the content has no forms of its own. Their use
#: has no bound, because that would place motifs in even areas.
MOTIF_STRIDE = 4
#: How often the use is balanced before the first evaluation; each evaluation balances it once more.
FIRST_ROUNDS = 5
#: Standard deviation of the noise that the canvas is seen under, at most; otherwise it is as large as the
#: finest band of the quietest style's lightness. Louder noise makes dark styles lighter, and is answered by a
#: weave of its own.
MAX_NOISE = 0.06
#: Roberts 2018, the R2 sequence: its points fill a square evenly, so that all positions get their turn soon.
R2 = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True)
class Compared:
    """What is compared of a part of the canvas.

    Attributes:
        features: (n, C).
        weights: (n,) ≥ 0, how much each of them counts; None: all equally.
        suitability: (n, K), how well each of the style's parts suits each of them; None: there are no parts.
        payments: (n,) in [0, 1], the share of the prices that each of them pays; None: all pay in full.
    """

    features: Tensor
    weights: Tensor | None
    suitability: Tensor | None
    payments: Tensor | None


@dataclass(frozen=True)
class Finished:
    """One layer in one region.

    Attributes:
        layer: its name.
        share: the region's share of the loss.
        grid: the layer's grid, weighted by the region's mask.
        style: m features of the style and of its turned copies.
        prices: (m,), by how much each of them is avoided, because it was used much; None: never.
        payments: the layer's grid, weighted by the share of the prices that is paid there; None: all of them.
        guidance: which parts of the style suit which places; None: all suit everywhere.
    """

    layer: str
    share: float
    grid: Grid
    style: StyleDirections
    prices: Tensor | None
    payments: Grid | None = None
    guidance: Guidance | None = None

    def after(self, use: Tensor) -> Finished:
        """The same after an evaluation that used the style's features so much, (m,)."""
        if self.prices is None:
            return self
        return replace(self, prices=next_prices(self.prices, use, CAPACITY * use.mean()))


@dataclass(frozen=True)
class FinishingMemory:
    """What :class:`FinishingTerm` remembers of a scene.

    Attributes:
        finished: :func:`~impasto.losses.style.statistics_key` → one layer in one region.
        noise: standard deviation of the noise that the canvas is seen under, (1, 1, H, W) or (1, 1, 1, 1).
    """

    finished: Mapping[str, Finished]
    noise: Tensor


@dataclass(frozen=True, kw_only=True)
class FinishingTerm(Term):
    """Distance to the nearest style feature, layer by layer (Kolkin et al. 2022, the final pass).

    Each layer is matched on its own, by what is painted now and not by the content, and the style is also
    turned by 90°, 180° and 270°. So strokes and contours grow along the forms that are already there.

    Differs from Kolkin: a feature of the style that is used too often becomes dearer, evaluation by
    evaluation, because otherwise all even areas are matched to one flat patch of the style, which floods
    them, but faces pay nothing, or parts of a cheek would be pulled to other features; a sample of
    positions is compared in each evaluation, another one every time, and the canvas is seen under noise, or
    even areas would be covered by dots that please the features; the term counts less on small features
    of the content, and its deepest layers less on everything that has outlines; a little of the Gram loss
    beside it holds contrast and saturation, which a cosine distance does not see.

    Attributes:
        keep_details: in [0, 1], how much less the term counts where the content's outlines are strongest; its
            deepest layers, wherever they are near. Also how much less than the price faces pay.
    """

    name: str = "style"
    layers: tuple[str, ...] = FINISHING_LAYERS
    keep_details: float = 0.0

    def applies(self, scene: Scene) -> bool:
        return scene.has_styles

    def style_statistics(self, scene: Scene, encoder: TiledEncoder) -> dict[str, Tensor]:
        return statistics_by_region(
            scene,
            (*self.layers, "noise"),
            "finishing",
            lambda style: self._bank(style, encoder),
            averages=False,
        )

    def _bank(self, style: Style, encoder: TiledEncoder) -> Gathered:
        """Layer → (m, C), sampled features of one style picture and of its three turned copies.

        If the style has parts, a last column holds the index of each feature's part. And "noise" → (1,), see
        :data:`MAX_NOISE`.
        """
        banks = [self._sampled(turned, encoder) for turned in _turns(style)]
        # In random order, because a share of several styles takes the first rows.
        order = sample_positions(4 * SAMPLES_PER_TURN, 1, sum(len(bank[self.layers[0]]) for bank in banks))
        joined = {layer: torch.cat([bank[layer] for bank in banks]) for layer in self.layers}
        bank = {layer: rows[order[order < len(rows)]] for layer, rows in joined.items()}
        noise = min(MAX_NOISE, finest_lightness(style.pixels, style.mask))
        return bank | {"noise": style.pixels.new_tensor([noise])}

    def _sampled(self, style: Style, encoder: TiledEncoder) -> Gathered:
        """Layer → (m, C), features of one picture at sampled positions."""
        size = size_of(style.pixels)
        grids = {layer: layer_grid(layer, size, style.mask) for layer in self.layers}
        places = {
            layer: sample_positions(SAMPLES_PER_TURN, grid.height, grid.width, grid.weights)
            for layer, grid in grids.items()
        }
        sampled = add_up(
            encoder.style_parts(style.pixels, self.layers),
            lambda part: {
                layer: _projected(
                    gather_positions(
                        part.features.raw[layer], places[layer], part.tile.grid(grid.stride), grid.width
                    ),
                    part.features.head(layer),
                )
                for layer, grid in grids.items()
            },
        )
        if style.parts is None:
            return sampled
        return {
            layer: torch.cat([rows, style.parts_at(places[layer], (grid.height, grid.width)).to(rows)], 1)
            for (layer, rows), grid in zip(sampled.items(), grids.values(), strict=True)
        }

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> FinishingMemory:
        banks = known_statistics(self, scene, encoder)
        short = encoder.encoder.compute_dtype is torch.bfloat16
        paying = None if scene.faces is None else 1.0 - self.keep_details * scene.faces
        finished: dict[str, Finished] = {}
        for region, share in region_shares(scene):
            strokes = without_details(region.mask, scene, self.keep_details)
            motifs = without_subjects(region.mask, scene, self.keep_details)
            for layer in self.layers:
                key = statistics_key(layer, "finishing", region)
                bank, membership, deep = banks[key], None, geometry(layer).stride > MOTIF_STRIDE
                if region.guidance is not None:
                    bank, membership = bank[:, :-1], region.guidance.membership(bank[:, -1:])
                finished[key] = Finished(
                    layer,
                    share * _kept(region.mask, motifs) if deep else share,
                    layer_grid(layer, scene.size, motifs if deep else strokes),
                    StyleDirections(bank, membership, short=short),
                    None if deep else bank.new_zeros(len(bank)),
                    None if deep or paying is None else layer_grid(layer, scene.size, paying),
                    region.guidance,
                )
        if scene.start is not None:
            finished = _priced(finished, encoder.parts(scene.start, self.layers))
        of_styles = [banks[statistics_key("noise", "finishing", region)] for region in scene.regions]
        quietest = torch.cat(of_styles).min().reshape(1, 1, 1, 1)
        # Who pays no prices is seen without noise: faces.
        return FinishingMemory(finished, quietest if paying is None else quietest * paying)

    def noise(self, memory: FinishingMemory) -> Tensor:
        return memory.noise

    def gather(self, part: Part, memory: FinishingMemory) -> Gathered:
        gathered: Gathered = {}
        for key, finished in memory.finished.items():
            one = _compared(part, finished)
            gathered[key], gathered[f"{key}/use"] = finishing_distance(
                one.features, finished.style, finished.prices, one.weights, one.suitability, one.payments
            )
        return gathered

    def judge(self, gathered: Gathered, memory: FinishingMemory) -> Gathered:
        return {
            key: finished.share / len(self.layers) * gathered[key][0] / gathered[key][1].clamp_min(1e-6)
            for key, finished in memory.finished.items()
        }

    def advance(self, gathered: Gathered, memory: FinishingMemory) -> FinishingMemory:
        after = {key: finished.after(gathered[f"{key}/use"]) for key, finished in memory.finished.items()}
        return replace(memory, finished=after)


def _kept(mask: Tensor | None, lowered: Tensor | None) -> float:
    """What is left of a mask's weight: with less of it, what remains is not to be pulled more."""
    if lowered is None:
        return 1.0
    return float(lowered.mean() / (1.0 if mask is None else mask.mean().clamp_min(1e-6)))


def _priced(finished: Mapping[str, Finished], parts: Iterable[Part]) -> dict[str, Finished]:
    """The same with prices for the canvas at the start, given its parts."""
    compared: dict[str, list[Compared]] = {key: [] for key in finished}
    for part in parts:
        for key, one in finished.items():
            compared[key].append(_compared(part, one))
    return {key: _settled(one, compared[key]) for key, one in finished.items()}


def _settled(finished: Finished, compared: Sequence[Compared]) -> Finished:
    """One layer with prices that have settled for what is compared of the parts of a canvas."""
    if finished.prices is None:
        return finished
    style = finished.style
    queries = [style.queries(unit_rows(one.features - style.centre), one.suitability) for one in compared]
    for _ in range(FIRST_ROUNDS):
        uses = [
            style.matches(rows, finished.prices, one.weights, one.payments)[1]
            for rows, one in zip(queries, compared, strict=True)
        ]
        finished = finished.after(torch.stack(uses).sum(0))
    return finished


def _turns(style: Style) -> Iterator[Style]:
    """A style, and the same turned by 90°, 180° and 270°."""
    for quarter in range(4):
        mask, parts = (
            None if plane is None else torch.rot90(plane, quarter, (-2, -1))
            for plane in (style.mask, style.parts)
        )
        yield replace(style, pixels=torch.rot90(style.pixels, quarter, (-2, -1)), mask=mask, parts=parts)


def _compared(part: Part, finished: Finished) -> Compared:
    """What this evaluation compares of a part of the canvas."""
    grid = finished.grid
    window = sampled_window(grid, part.tile, part.evaluation)
    guidance = finished.guidance
    return Compared(
        _features_at(part.features, finished.layer, window),
        _weights_at(grid, part.tile, window),
        None if guidance is None else guidance.in_tile(part.tile, grid.stride, window),
        None if finished.payments is None else _weights_at(finished.payments, part.tile, window),
    )


def _weights_at(grid: Grid, tile: Tile, window: tuple[slice, slice]) -> Tensor | None:
    """(n,), a grid's weights in a tile at some positions only; None: all equal."""
    weights = grid.weights_in(tile)
    return None if weights is None else weights[(..., *window)].flatten()


def sampled_window(grid: Grid, tile: Tile, evaluation: int) -> tuple[slice, slice]:
    """Rows and columns of a tile's features that are compared in an evaluation: a regular grid of positions.

    The positions on the whole picture do not depend on how it is tiled.
    """
    step = max(1, round(min(math.sqrt(grid.height * grid.width / POSITIONS), SPACING / grid.stride)))
    rows, columns = (
        slice((int(step * ((evaluation + 0.5) * ratio % 1.0)) - part.start) % step, None, step)
        for ratio, part in zip(R2, tile.grid(grid.stride), strict=True)
    )
    return rows, columns


def _features_at(features: Features, layer: str, window: tuple[slice, slice]) -> Tensor:
    """(n, C), a layer's features after its head at some positions only."""
    projected = features.is_projected(layer)
    sampled: Tensor = _Window.apply(  # type: ignore[no-untyped-call]
        features[layer] if projected else features.raw[layer],
        window,
        None if projected else features.slopes.get(layer),
    )
    return _projected(sampled[0].flatten(1).T, None if projected else features.head(layer))


def _projected(rows: Tensor, head: Tensor | None) -> Tensor:
    """Features (n, c) in full precision and after a layer's head (C, c), (n, C).

    Of a whole layer they would take several times the memory of the features themselves.
    """
    rows = rows if rows.dtype is torch.float64 else rows.float()
    return rows if head is None else rows @ head.to(rows).T


class _Window(torch.autograd.Function):
    """Features (1, C, H, W) at the rows and columns of a window; the gradient keeps their memory layout."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, window: tuple[slice, slice], slopes: Slopes | None) -> Tensor:
        ctx.save_for_backward(features)
        ctx.window, ctx.slopes = window, slopes
        return features[(..., *window)].contiguous()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, None]:
        if ctx.slopes is not None:
            ctx.slopes.add_at(ctx.window, slope)
            return None, None, None
        (features,) = ctx.saved_tensors
        gradient = torch.zeros_like(features)
        gradient[(..., *ctx.window)] = slope
        return gradient, None, None
