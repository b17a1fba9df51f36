"""Matching: every cell of the canvas is assigned the cell of the style that it should look like.

After Neural Neighbor Style Transfer (Kolkin et al. 2022). A *cell* is a square of a picture, usually 4 pixels
wide. Its features at a layer are those at the k×k positions in it, k = width / stride, or, at a layer with a
larger stride, those of the one position that it lies in. A *bank* holds sampled cells of the style. The
*hypercolumn* of a cell is its mean feature at every layer, concatenated.

Cells are matched by the cosine distance of their centred hypercolumns, once for each round of iterations. The
canvas' hypercolumns are a blend of the content's and of those of the canvas at the start of the round. Each
layer is then pulled towards the features of its matched cells. Because the matches stay fixed during a round,
the loss is a sum over positions: cheap, smooth for L-BFGS, and exact in tiles.

Differs from Kolkin: layers are pulled to patches of the style at full resolution, not to features averaged
over 4×4 pixels, so that fine strokes are transferred; there is no last pass that matches anew at each step.
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

#: Side of a cell in pixels, unless the deepest layer has a smaller stride.
CELL_PIXELS = 4
#: A match is drawn among at most so many cells, none of which is farther away than the nearest by more than
#: this share of its distance.
MAX_CANDIDATES, CANDIDATE_TOLERANCE = 16, 0.2


def cell_side(layers: Iterable[str]) -> int:
    """Side of a cell in pixels: 4, or the deepest layer's stride if that is less."""
    return min(CELL_PIXELS, max(geometry(layer).stride for layer in layers))


def bank_rows(features: Tensor, layer: str, cells: Grid, tile: Tile, size: Size) -> Tensor:
    """A layer's features in the sampled cells of a style picture, (m, C·k²); zero for cells outside the tile.

    The rows of all tiles therefore add up to those of the whole picture.

    Args:
        features: (1, C, h, w) of a tile of the style picture, without its halo.
        cells: the grid of cells on the whole style picture.
        size: (height, width) of the style picture.
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
    """(1, C, h, w) → (1, C·k², h/k, w/k); rows and columns that do not fill a patch are dropped."""
    height, width = (side // k * k for side in features.shape[-2:])
    return F.pixel_unshuffle(features[..., :height, :width], k)


def hypercolumn(features: Mapping[str, Tensor], cell: int, shape: Size) -> dict[str, Tensor]:
    """The mean feature of each cell in a part of a picture, layer → (n, C), cells in row-major order.

    Args:
        features: layer → (1, C, h, w) of the part.
        cell: side of a cell in pixels.
        shape: (rows, columns) of cells in the part; n is their product.
    """
    columns = {}
    for layer, value in features.items():
        stride = geometry(layer).stride
        if stride <= cell:
            k = cell // stride
            value = F.avg_pool2d(value, k) if k > 1 else value
        else:
            value = F.interpolate(value, scale_factor=stride // cell, mode="nearest")
        # Poolings drop an odd last row or column, so a deep feature may be missing there: repeat the last.
        value = F.pad(
            value, (0, max(0, shape[1] - value.shape[-1]), 0, max(0, shape[0] - value.shape[-2])), "replicate"
        )
        columns[layer] = value[0, :, : shape[0], : shape[1]].flatten(1).T
    return columns


class Matcher:
    """Finds, for hypercolumns of the canvas, cells of the bank that are among the nearest.

    Hypercolumns of the canvas are centred on the canvas' mean and those of the style on the style's. With a
    common centre, a content with other colours than the style would be nearest to the same few cells
    everywhere.

    Args:
        bank: layer → (m, C·k²), of all style layers; a row is the same cell in every layer.
        channels: layer → C.
        layer_weights: layer → its share of the squared length of a hypercolumn.
        mean: layer → mean (C,) of the canvas' hypercolumns.
        energy: layer → their mean square distance from it, a scalar.
        membership: (m, K), 1 for the part of the style that a cell belongs to, else 0; None: there are no
            parts.
    """

    def __init__(
        self,
        bank: Mapping[str, Tensor],
        channels: Mapping[str, int],
        layer_weights: Mapping[str, float],
        mean: Mapping[str, Tensor],
        energy: Mapping[str, Tensor],
        membership: Tensor | None = None,
    ) -> None:
        self.mean, self.energy, self.layer_weights = mean, energy, layer_weights
        columns = {layer: rows.unflatten(1, (channels[layer], -1)).mean(2) for layer, rows in bank.items()}
        centred = {layer: rows - rows.mean(0) for layer, rows in columns.items()}
        scaled = [self._scaled(layer, rows, rows.square().sum(1).mean()) for layer, rows in centred.items()]
        self.keys = F.normalize(torch.cat(scaled, 1), dim=1)  # (m, Σ C)
        if membership is not None:  # (m, Σ C + K), see __call__
            self.keys = torch.cat([self.keys, membership.to(self.keys)], 1)

    def _scaled(self, layer: str, rows: Tensor, energy: Tensor) -> Tensor:
        """Centred rows (n, C) whose mean square length becomes the layer's weight."""
        return rows * (self.layer_weights[layer] / (energy + 1e-12)) ** 0.5

    def __call__(
        self,
        columns: Mapping[str, Tensor],
        uniform_draws: Tensor,
        suitability: Tensor | None = None,
        chunk: int = 2048,
    ) -> Tensor:
        """The row of the bank that matches each hypercolumn, (n,).

        A match is drawn at random among the cells that are nearly as near as the nearest. Otherwise a flat
        area would be matched to one cell of the style throughout, and its few pixels would show as a grid.

        Args:
            columns: layer → (n, C), see :func:`hypercolumn`.
            uniform_draws: (n,) in [0, 1), one for each cell of the canvas, the same however it is tiled.
            suitability: (n, K), how well each part suits each cell, added to its cosine; None: no parts.
            chunk: hypercolumns compared at once; bounds the memory and does not change the result.
        """
        scaled = [
            self._scaled(layer, rows - self.mean[layer], self.energy[layer])
            for layer, rows in columns.items()
        ]
        queries = F.normalize(torch.cat(scaled, 1), dim=1)
        if suitability is not None:
            queries = torch.cat([queries, suitability.to(queries)], 1)
        matches = []
        for query, draws in zip(queries.split(chunk), uniform_draws.split(chunk), strict=True):
            similarity, rows = (query @ self.keys.T).topk(min(MAX_CANDIDATES, len(self.keys)), dim=1)
            limit = (1.0 + CANDIDATE_TOLERANCE) * (1.0 - similarity[:, :1])
            candidates = (1.0 - similarity <= limit).sum(1)
            matches.append(rows.gather(1, (draws * candidates).long()[:, None])[:, 0])
        return torch.cat(matches)


def assign(
    parts: Sequence[Tile],
    cells: Grid,
    bank: Mapping[str, Tensor],
    layer_weights: Mapping[str, float],
    columns: Callable[[Tile], Mapping[str, Tensor]],
    seed: int,
    guidance: tuple[Tensor, Callable[[Tile], Tensor]] | None = None,
) -> Tensor:
    """The row of the bank that matches each cell of the canvas, (rows, columns) of cells.

    Args:
        parts: the canvas' tiles.
        cells: the grid of cells on the canvas, weighted by a region's mask: hypercolumns are centred on the
            region's mean.
        bank, layer_weights: see :class:`Matcher`.
        columns: tile → hypercolumns of its cells; called twice for each tile if there are several.
        seed: of the draw among matches that are nearly as good.
        guidance: membership of the bank's rows, and tile → suitability of its cells, see :class:`Matcher`;
            None: all suits everywhere.
    """
    if len(parts) == 1:  # both loops below need the same hypercolumns
        whole = columns(parts[0])
        columns = lambda tile: whole  # noqa: E731
    mean, energy = _mean_and_energy(parts, cells, columns)
    channels = {layer: len(value) for layer, value in mean.items()}
    matcher = Matcher(bank, channels, layer_weights, mean, energy, None if guidance is None else guidance[0])
    device = next(iter(bank.values())).device
    matches = torch.empty(cells.height, cells.width, dtype=torch.long, device=device)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(cells.height, cells.width, generator=generator).to(device)
    for tile in parts:
        window = tile.grid(cells.stride)
        suitability = None if guidance is None else guidance[1](tile)
        found = matcher(columns(tile), draws[window].flatten(), suitability)
        matches[window] = found.view_as(matches[window])
    return matches


def _mean_and_energy(
    parts: Sequence[Tile], cells: Grid, columns: Callable[[Tile], Mapping[str, Tensor]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Mean (C,) of a canvas' hypercolumns, and their mean square distance from it, by layer."""
    sums: dict[str, Tensor] = {}  # layer → (C + 1,), the sum of the hypercolumns and that of their squares
    for tile in parts:
        weights = cells.weights_in(tile)
        cell_weights = 1.0 if weights is None else weights.flatten()[:, None]
        for layer, rows in columns(tile).items():
            part = torch.cat([(rows * cell_weights).sum(0), (rows.square() * cell_weights).sum().reshape(1)])
            sums[layer] = sums[layer] + part if layer in sums else part
    mean = {layer: total[:-1] / cells.total_weight for layer, total in sums.items()}
    energy = {
        layer: _energy(float(total[-1]) / cells.total_weight, mean[layer]) for layer, total in sums.items()
    }
    return mean, energy


def _energy(square: float, mean: Tensor) -> Tensor:
    """Mean square distance from ``mean`` (C,), a scalar, for a mean square length ``square``.

    It is at least a millionth of ``square``, because the difference of two equal numbers, as in a flat
    picture, is only their rounding error and may be negative.
    """
    return (square - mean.square().sum()).clamp_min(1e-6 * square)


class Pull:
    """The loss of one layer: the distance of its features to those of the matched cells.

    Args:
        bank: (m, C·k²) of the layer.
        matches: (rows, columns) of the canvas' cells, indices into the bank.
        cell: side of a cell in pixels.
    """

    def __init__(self, layer: str, bank: Tensor, matches: Tensor, cell: int) -> None:
        self.stride, self.cell, self.bank, self.matches = geometry(layer).stride, cell, bank, matches
        k = max(1, cell // self.stride)
        self.centre = bank.unflatten(1, (bank.shape[1] // (k * k), -1)).mean((0, 2))  # (C,)
        self._whole: Tensor | None = None

    def __call__(self, features: Tensor, tile: Tile, weights: Tensor | None) -> Tensor:
        """Sum of the distances of a tile's features to those of their matched cells, (1,).

        Args:
            features: (1, C, h, w) of the tile without its halo.
            weights: (1, 1, h, w), how much each position counts; None: all equally.
        """
        target = self._target(tile, (int(features.shape[-2]), int(features.shape[-1])))
        height, width = target.shape[-2:]
        if (height, width) != features.shape[-2:]:  # rows and columns that do not fill a cell have no match
            features = features[..., :height, :width]
            weights = None if weights is None else weights[..., :height, :width]
        return nearest_loss(features, target, self.centre, weights)

    def _target(self, tile: Tile, size: Size) -> Tensor:
        """The directions that a tile's features should have, (1, C, h, w).

        Those of a whole picture are kept, because every evaluation needs them again.

        Args:
            size: (h, w) of the tile's features; the result is smaller by what does not fill a cell.
        """
        if self._whole is not None and tile.is_whole:
            return self._whole
        matches = self.matches[tile.grid(self.cell)]
        if self.stride > self.cell:
            ratio = self.stride // self.cell
            matches = matches[ratio // 2 :: ratio, ratio // 2 :: ratio][: size[0], : size[1]]
        patches = self.bank[matches].movedim(-1, 0)[None]  # (1, C·k², a, b)
        k = max(1, self.cell // self.stride)
        features = (F.pixel_shuffle(patches, k) if k > 1 else patches)[..., : size[0], : size[1]]
        # The memory layout of the encoder's features, which are compared with it at every evaluation.
        target = directions(features, self.centre).contiguous(memory_format=torch.channels_last)
        if tile.is_whole:
            self._whole = target
        return target
