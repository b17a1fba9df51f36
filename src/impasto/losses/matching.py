"""Matching: every cell of the canvas is told which cell of the style to look like.

After Neural Neighbor Style Transfer (Kolkin et al. 2022). A *cell* is a square of a few pixels, with the
features of every style layer in it: those of shallow layers as a patch, those of deep ones as they lie
there. A *bank* holds sampled cells of the style. Cells are matched by all layers together (a hypercolumn,
centred, cosine), once per scale, by the content's features and the canvas' own at the scale's start; then
every layer is pulled towards the features of its matched cells. Fixed matches make the term a sum over
positions: cheap, smooth for L-BFGS, exact in tiles.

Differs from Kolkin: layers are pulled to patches of the style at full resolution, not to features averaged
over 4×4 pixels, so that fine strokes come along; no last pass that matches anew at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.losses.functions import directions, nearest_loss
from impasto.losses.grids import Grid
from impasto.losses.statistics import gather_positions
from impasto.networks.layers import geometry
from impasto.pictures.geometry import Size, Tile

__all__ = ["CELL_PIXELS", "Matcher", "Pull", "assign", "bank_rows", "cell_side", "hypercolumn"]

#: Pixels a side of a cell, unless the deepest layer is finer.
CELL_PIXELS = 4
#: A match is drawn among at most so many cells, which lie at most this share farther than the nearest.
MAX_CANDIDATES, CANDIDATE_TOLERANCE = 16, 0.2


def cell_side(layers: Iterable[str]) -> int:
    """Side of a cell in pixels: 4, or the deepest layer's stride if that is less."""
    return min(CELL_PIXELS, max(geometry(layer).stride for layer in layers))


def bank_rows(features: Tensor, layer: str, cells: Grid, tile: Tile, size: Size) -> Tensor:
    """A layer's part of the bank, (m, C·k²), additive over tiles; k² positions of the layer lie in a cell.

    Args:
        features: (1, C, h, w) of a tile of the style picture.
        cells: the grid of cells on the whole style picture, whose size is ``size``.
    """
    stride, indices = geometry(layer).stride, cells.sample_indices
    if stride <= cells.stride:
        patches = _patches(features, cells.stride // stride)
        return gather_positions(patches, indices, tile.grid(cells.stride), cells.width)
    ratio, width = stride // cells.stride, size[1] // stride
    y = (indices // cells.width // ratio).clamp_max(size[0] // stride - 1)
    x = (indices % cells.width // ratio).clamp_max(width - 1)
    return gather_positions(features, y * width + x, tile.grid(stride), width)


def _patches(features: Tensor, k: int) -> Tensor:
    """(1, C, h, w) → (1, C·k², h/k, w/k); a remainder at the end is dropped."""
    height, width = (side // k * k for side in features.shape[-2:])
    return F.pixel_unshuffle(features[..., :height, :width], k)


def hypercolumn(features: Mapping[str, Tensor], cell: int, shape: Size) -> dict[str, Tensor]:
    """Layer → (n, C), one row for each of the ``shape`` cells of a part of the picture."""
    columns = {}
    for layer, value in features.items():
        stride = geometry(layer).stride
        if stride <= cell:
            k = cell // stride
            value = F.avg_pool2d(value, k) if k > 1 else value
        else:
            value = F.interpolate(value, scale_factor=stride // cell, mode="nearest")
        # A picture's last cells may have no deep feature of their own: the last one's stands in.
        value = F.pad(
            value, (0, max(0, shape[1] - value.shape[-1]), 0, max(0, shape[0] - value.shape[-2])), "replicate"
        )
        columns[layer] = value[0, :, : shape[0], : shape[1]].flatten(1).T
    return columns


class Matcher:
    """Finds for hypercolumns of the canvas the nearest cells of the bank.

    Args:
        bank: layer → (m, C·k²), of all style layers; a row is the same cell in every layer.
        channels: layer → C.
        layer_weights: layer → its share of the likeness.
        mean, energy: layer → the canvas' mean (C,) and mean square distance from it. Both sides are centred
            on their own means: otherwise all of an unlike content is nearest to the same few cells.
    """

    def __init__(
        self,
        bank: Mapping[str, Tensor],
        channels: Mapping[str, int],
        layer_weights: Mapping[str, float],
        mean: Mapping[str, Tensor],
        energy: Mapping[str, Tensor],
    ) -> None:
        self.mean, self.energy, self.layer_weights = mean, energy, layer_weights
        flat = {layer: rows.unflatten(1, (channels[layer], -1)).mean(2) for layer, rows in bank.items()}
        centred = {layer: rows - rows.mean(0) for layer, rows in flat.items()}
        parts = [self._scaled(layer, rows, rows.square().sum(1).mean()) for layer, rows in centred.items()]
        self.keys = F.normalize(torch.cat(parts, 1), dim=1)  # (m, Σ C)

    def _scaled(self, layer: str, rows: Tensor, energy: Tensor) -> Tensor:
        return rows * (self.layer_weights[layer] / (energy + 1e-12)) ** 0.5

    def __call__(self, columns: Mapping[str, Tensor], uniform_draws: Tensor, chunk: int = 2048) -> Tensor:
        """(n,) index of a row of the bank for each row of the columns: one of the most similar.

        Where the content is even, all cells would be given the same cell of the style, and its 4×4 pixels
        would show as a grid. So a match is drawn among those nearly as near as the nearest.

        Args:
            uniform_draws: (n,) in [0, 1), one for each row; a cell has the same in whichever tile it lies.
        """
        parts = [self._scaled(k, rows - self.mean[k], self.energy[k]) for k, rows in columns.items()]
        queries = F.normalize(torch.cat(parts, 1), dim=1)
        matches = []
        for query, draws in zip(queries.split(chunk), uniform_draws.split(chunk), strict=True):
            likeness, rows = (query @ self.keys.T).topk(min(MAX_CANDIDATES, len(self.keys)), dim=1)
            limit = (1.0 + CANDIDATE_TOLERANCE) * (1.0 - likeness[:, :1])
            candidates = (1.0 - likeness <= limit).sum(1)
            matches.append(rows.gather(1, (draws * candidates).long()[:, None])[:, 0])
        return torch.cat(matches)


def assign(
    parts: Sequence[Tile],
    cells: Grid,
    bank: Mapping[str, Tensor],
    layer_weights: Mapping[str, float],
    columns: Callable[[Tile], Mapping[str, Tensor]],
    seed: int,
) -> Tensor:
    """(a, b), for each of a picture's cells the row of the bank that it shall look like.

    Args:
        parts: the picture's tiles.
        cells: the grid of cells, with the weights of a region: their mean is what all are centred on.
        bank, layer_weights: see :class:`Matcher`.
        columns: hypercolumns of a tile's cells.
        seed: of the draw among equally good matches.
    """
    if len(parts) == 1:  # both rounds below look at the same single tile
        whole = columns(parts[0])
        columns = lambda tile: whole  # noqa: E731
    mean, energy = _mean_and_energy(parts, cells, columns)
    matcher = Matcher(bank, {k: len(v) for k, v in mean.items()}, layer_weights, mean, energy)
    device = next(iter(bank.values())).device
    matches = torch.empty(cells.height, cells.width, dtype=torch.long, device=device)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(cells.height, cells.width, generator=generator).to(device)
    for tile in parts:
        window = tile.grid(cells.stride)
        matches[window] = matcher(columns(tile), draws[window].flatten()).view_as(matches[window])
    return matches


def _mean_and_energy(
    parts: Sequence[Tile], cells: Grid, columns: Callable[[Tile], Mapping[str, Tensor]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Layer → mean (C,) of a picture's hypercolumns, and mean square distance from it."""
    sums: dict[str, Tensor] = {}
    for tile in parts:
        weights = cells.weights_in(tile)
        t = 1.0 if weights is None else weights.flatten()[:, None]
        for layer, x in columns(tile).items():
            part = torch.cat([(x * t).sum(0), (x.square() * t).sum().reshape(1)])
            sums[layer] = sums[layer] + part if layer in sums else part
    mean = {layer: value[:-1] / cells.total_weight for layer, value in sums.items()}
    energy = {layer: _energy(float(v[-1]) / cells.total_weight, mean[layer]) for layer, v in sums.items()}
    return mean, energy


def _energy(square: float, mean: Tensor) -> Tensor:
    """Mean square distance from the mean. Of a flat picture only rounding is left, and may be negative."""
    return (square - mean.square().sum()).clamp_min(1e-6 * square)


class Pull:
    """One layer's pull towards the features of the matched cells.

    Args:
        bank: (m, C·k²) of the layer.
        matches: (a, b) of the picture's cells, indices into the bank.
        cell: side of a cell in pixels.
    """

    def __init__(self, layer: str, bank: Tensor, matches: Tensor, cell: int) -> None:
        self.stride, self.cell, self.bank, self.matches = geometry(layer).stride, cell, bank, matches
        k = max(1, cell // self.stride)
        self.centre = bank.unflatten(1, (bank.shape[1] // (k * k), -1)).mean((0, 2))  # (C,)
        self._whole: Tensor | None = None

    def __call__(self, features: Tensor, tile: Tile, weights: Tensor | None) -> Tensor:
        """Σ of the distances of a tile's features (1, C, h, w) to those of their matched cells, (1,).

        Args:
            weights: (1, 1, h, w); None: all alike.
        """
        target = self._target(tile, (int(features.shape[-2]), int(features.shape[-1])))
        height, width = target.shape[-2:]
        if (height, width) != features.shape[-2:]:  # a remainder smaller than a cell has no match
            features = features[..., :height, :width]
            weights = None if weights is None else weights[..., :height, :width]
        return nearest_loss(features, target, self.centre, weights)

    def _target(self, tile: Tile, size: Size) -> Tensor:
        """The directions that a tile's features of ``size`` should have; a whole picture's are kept, as they
        are asked for again at each evaluation."""
        if self._whole is not None:
            return self._whole
        matches = self.matches[tile.grid(self.cell)]
        if self.stride > self.cell:
            ratio = self.stride // self.cell
            matches = matches[ratio // 2 :: ratio, ratio // 2 :: ratio][: size[0], : size[1]]
        patches = self.bank[matches].movedim(-1, 0)[None]  # (1, C·k², a, b)
        k = max(1, self.cell // self.stride)
        features = (F.pixel_shuffle(patches, k) if k > 1 else patches)[..., : size[0], : size[1]]
        # In the layout of the encoder's features, the channels last.
        target = directions(features, self.centre).contiguous(memory_format=torch.channels_last)
        if tile.is_whole:
            self._whole = target
        return target
