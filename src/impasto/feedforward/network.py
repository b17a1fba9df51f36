"""Instant transfer of tensors: encoder, statistics, maps and decoder together, whole or in tiles.

A picture painted in tiles equals the one painted whole, up to rounding. The statistics of the whole picture
are gathered first, tile by tile. Then each tile is painted with all the surroundings that it depends on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.feedforward.colours import colour_cost
from impasto.feedforward.decoder import RADIUS, Decoder, decoder_of, load_decoder
from impasto.feedforward.maps import (
    MATCH_SHARE,
    NOISE_GAIN,
    Transport,
    evenness,
    nearest,
    smoothed,
    transport,
)
from impasto.feedforward.noise import noise_field
from impasto.feedforward.statistics import (
    BANK_LAYERS,
    BANK_SIZE,
    LEVELS,
    Moments,
    feature_moments,
    layer_weights,
)
from impasto.feedforward.style import InstantStyle
from impasto.losses.statistics import gather_positions, sample_positions
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.pictures.geometry import Size, Tile, tiles
from impasto.scene import Scene

__all__ = ["REACH", "TILE", "InstantNetwork", "StyledRegion", "decoder_inputs", "styled_regions"]

#: Side in pixels of the tiles that larger pictures are painted in.
TILE = 512
#: Pictures are padded to sides that are multiples of the deepest level's stride.
STRIDE = geometry(LEVELS[-1]).stride
#: Pixels on each side that a pixel of the picture depends on: through the encoder, the average of the nearest
#: features, and the decoder.
REACH = geometry(LEVELS[-1]).radius + geometry(BANK_LAYERS[-1]).stride + RADIUS
#: Smallest padded side in pixels: reflection needs two features at the deepest level.
MIN_SIDE = 2 * STRIDE


@dataclass(frozen=True)
class StyledRegion:
    """A style and the mask of where it is painted, (1, 1, H, W) in [0, 1]; None: the whole picture."""

    style: InstantStyle
    mask: Tensor | None = None


def decoder_inputs(
    raw: Mapping[str, Tensor],
    style: InstantStyle,
    maps: Mapping[str, Transport],
    heads: Mapping[str, Tensor | None],
    noise: Mapping[str, Tensor],
    *,
    strength: float = 1.0,
) -> dict[str, Tensor]:
    """The decoder's inputs, layer of ``LEVELS`` → (N, C, h, w), 3·C channels at ``BANK_LAYERS``.

    One picture is computed in the precision of its features, several in float32.

    Args:
        raw: content features before the encoder's heads, layer → (N, C, h, w).
        style: of N pictures, or of one for all.
        maps: by layer of ``LEVELS``, made for the same strength.
        heads: layer of ``BANK_LAYERS`` → head (D, C) that is applied before features are compared, or None.
        noise: layer of ``BANK_LAYERS`` → (N or 1, C, h, w), of unit variance.
        strength: share of the nearest style features in their mixture with the content's, and factor of the
            noise; in [0, 1].
    """
    inputs: dict[str, Tensor] = {}
    for layer in LEVELS:
        features = raw[layer] if len(raw[layer]) == 1 else raw[layer].float()
        transported = maps[layer](features)
        if layer in BANK_LAYERS:
            matches = smoothed(_nearest_features(transported, style, layer, heads[layer]))
            even = evenness(transported, style.moments[layer].mean, maps[layer].style_root)
            even = even.to(features.dtype)
            matches = torch.lerp(transported, matches, MATCH_SHARE * even)
            matches = torch.lerp(features, matches, strength)
            white = noise[layer].to(features.dtype).expand(len(features), -1, -1, -1)
            coloured = strength * (1.0 + NOISE_GAIN * even) * maps[layer].colour(white)
            inputs[layer] = torch.cat([transported, matches, coloured], 1)
        else:
            inputs[layer] = transported
    return inputs


def _nearest_features(features: Tensor, style: InstantStyle, layer: str, head: Tensor | None) -> Tensor:
    """For each transported feature the most similar one of the style, (N, C, h, w)."""
    bank, mean = style.banks[layer].to(features.device), style.moments[layer].mean.float().to(features.device)
    queries = features.permute(0, 2, 3, 1).flatten(1, 2).float()
    index = nearest(queries, bank, mean, None if head is None else head.float())
    n, c, h, w = features.shape
    matches = torch.gather(bank.to(features.dtype).expand(n, -1, -1), 1, index[..., None].expand(-1, -1, c))
    return matches.view(n, h, w, c).permute(0, 3, 1, 2)


class InstantNetwork:
    """The encoder and the decoder: computes the statistics of styles and paints pictures.

    Args:
        encoder: ``compact``, whose features the decoder was trained with.
        decoder: on the same device.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        self.encoder, self.decoder = encoder, decoder
        self.heads = {layer: encoder.head(layer) for layer in BANK_LAYERS}

    @classmethod
    def embedded(cls, encoder: Encoder) -> InstantNetwork:
        """The network with the decoder that comes with the package, on the encoder's device."""
        return cls(encoder, load_decoder(device=encoder.device))

    def learned(self, style: InstantStyle) -> InstantNetwork:
        """The network with the decoder that was trained for this style; itself if there is none."""
        if style.decoder is None:
            return self
        device = next(self.decoder.parameters()).device
        return InstantNetwork(self.encoder, decoder_of(style.decoder, device))

    @torch.no_grad()
    def remember(
        self, picture: Tensor, mask: Tensor | None = None, *, tile: int | None = TILE
    ) -> InstantStyle:
        """Compute the statistics of a style picture (1, 3, H, W), sRGB, [0, 1].

        Args:
            mask: (1, 1, H, W) in [0, 1], how much each pixel counts; None: all equally.
            tile: side of the tiles that a larger picture is encoded in; None: encode it whole.
        """
        picture, mask = _padded(picture), None if mask is None else _padded(mask)
        grids = {layer: _grid(picture, layer) for layer in BANK_LAYERS}
        positions = {
            layer: sample_positions(BANK_SIZE, *grid, layer_weights(mask, geometry(layer).stride))
            for layer, grid in grids.items()
        }
        sums, banks = _MomentSums(), dict.fromkeys(BANK_LAYERS, torch.zeros(()))
        for part, raw in self._tiles(picture, tile, geometry(LEVELS[-1]).radius):
            sums.add(part, raw, mask)
            for layer in BANK_LAYERS:
                stride = geometry(layer).stride
                inner, window = part.inner(stride), part.grid(stride)
                rows = gather_positions(
                    raw[layer][..., inner[0], inner[1]].float(), positions[layer], window, grids[layer][1]
                )
                banks[layer] = banks[layer] + rows[None].cpu()
        return InstantStyle(sums.moments, banks)

    @torch.no_grad()
    def content_moments(self, content: Tensor, *, tile: int | None = TILE) -> Mapping[str, Moments]:
        """The moments of a content (1, 3, H, W) by layer, as :meth:`paint` computes them."""
        padded, sums = _padded(content), _MomentSums()
        for part, raw in self._tiles(padded, tile, geometry(LEVELS[-1]).radius):
            sums.add(part, raw, None)
        return sums.moments

    @torch.no_grad()
    def paint(
        self,
        content: Tensor,
        regions: Sequence[StyledRegion],
        *,
        strength: float = 1.0,
        seed: int = 0,
        tile: int | None = TILE,
        moments: Mapping[str, Moments] | None = None,
    ) -> Tensor:
        """The content (1, 3, H, W), sRGB, [0, 1], in the styles of its regions.

        Args:
            regions: each is painted by itself, with the statistics of its part of the content. Where soft
                masks overlap, the paintings are mixed. Pixels in no region stay as they are.
            strength: 0: the content as the decoder draws it; 1: the style in full.
            seed: of the noise.
            tile: side of the tiles that a larger picture is painted in; None: paint it whole.
            moments: of the content, used for every region; None: those of each region's content.
        """
        size = (int(content.shape[-2]), int(content.shape[-1]))
        padded = _padded(content)
        masks = [None if region.mask is None else _padded(region.mask) for region in regions]
        sums = [_MomentSums(moments) for _ in regions]
        whole: Mapping[str, Tensor] | None = None
        for part, raw in self._tiles(padded, tile, geometry(LEVELS[-1]).radius) if moments is None else ():
            for total, mask in zip(sums, masks, strict=True):
                total.add(part, raw, mask)
            whole = raw if part.is_whole else None
        prepared = [
            _PreparedRegion(region.style, mask, total.maps(region.style, strength))
            for region, mask, total in zip(regions, masks, sums, strict=True)
            if not total.empty
        ]
        result = torch.empty_like(padded)
        parts = self._tiles(padded, tile, REACH)
        if whole is not None:  # A picture of a single tile has been encoded above already.
            parts = iter([(tiles(_size(padded), None, STRIDE, 0)[0], whole)])
        for part, raw in parts:
            painted = self._paint_tile(part, part.cut(padded), raw, prepared, strength, seed)
            rows, columns = part.inner(1)
            result[..., slice(*part.rows), slice(*part.columns)] = painted[..., rows, columns]
        return result[..., : size[0], : size[1]]

    def _tiles(
        self, picture: Tensor, side: int | None, radius: int
    ) -> Iterator[tuple[Tile, Mapping[str, Tensor]]]:
        """Each tile with the raw features of its cut, halo included."""
        for part in tiles(_size(picture), side, STRIDE, radius):
            yield part, self.encoder(part.cut(picture), LEVELS).raw

    def _paint_tile(
        self,
        tile: Tile,
        content: Tensor,
        raw: Mapping[str, Tensor],
        prepared: Sequence[_PreparedRegion],
        strength: float,
        seed: int,
    ) -> Tensor:
        """Paint one tile, halo included: the paintings of all regions, mixed by their masks."""
        noise = {layer: _noise_for(tile, raw[layer], layer, seed) for layer in BANK_LAYERS}
        if len(prepared) == 1 and prepared[0].mask is None:
            return self._drawn(raw, prepared[0], noise, strength)
        total, covered = torch.zeros_like(content), torch.zeros_like(content[:, :1])
        for region in prepared:
            mask = torch.ones_like(covered) if region.mask is None else tile.cut(region.mask)
            if not mask.any():
                continue
            total += mask * self._drawn(raw, region, noise, strength)
            covered += mask
        return torch.where(covered > 1e-4, total / covered.clamp_min(1e-4), content)

    def _drawn(
        self,
        raw: Mapping[str, Tensor],
        region: _PreparedRegion,
        noise: Mapping[str, Tensor],
        strength: float,
    ) -> Tensor:
        """The picture of these features in the style of a region, (1, 3, H, W)."""
        inputs = decoder_inputs(raw, region.style, region.maps, self.heads, noise, strength=strength)
        inputs = {k: v.contiguous(memory_format=torch.channels_last) for k, v in inputs.items()}
        with self._precision(inputs[LEVELS[0]].device):
            drawn: Tensor = self.decoder(inputs)
        return drawn

    def _precision(self, device: torch.device) -> AbstractContextManager[object]:
        """The decoder computes in the encoder's precision."""
        if self.encoder.compute_dtype is torch.bfloat16:
            return torch.autocast(device.type, torch.bfloat16)
        return nullcontext()


def styled_regions(network: InstantNetwork, scene: Scene, *, tile: int | None = TILE) -> list[StyledRegion]:
    """The regions of a prepared scene at its size, with the statistics of their styles."""
    return [
        StyledRegion(
            InstantStyle.blend(
                [network.remember(style.pixels, style.mask, tile=tile) for style in region.styles],
                region.style_shares,
            ),
            region.mask,
        )
        for region in scene.regions
        if region.styles
    ]


@dataclass(frozen=True)
class _PreparedRegion:
    """A region with what is needed to paint it; ``mask`` is as large as the padded picture."""

    style: InstantStyle
    mask: Tensor | None
    maps: Mapping[str, Transport]


class _MomentSums:
    """Moments of a picture or a region of it, gathered tile by tile."""

    def __init__(self, moments: Mapping[str, Moments] | None = None) -> None:
        self.moments = dict(moments or {})
        self._weight = dict.fromkeys(LEVELS, 0.0)

    @property
    def empty(self) -> bool:
        """Whether no part of the region has been seen."""
        return len(self.moments) < len(LEVELS)

    def add(self, tile: Tile, raw: Mapping[str, Tensor], mask: Tensor | None) -> None:
        """Add the features of a tile without its halo.

        Args:
            raw: layer → features of the tile, halo included.
            mask: (1, 1, H, W) of the whole picture; None: all pixels count equally.
        """
        for layer in LEVELS:
            stride = geometry(layer).stride
            rows, columns = tile.inner(stride)
            features = raw[layer][..., rows, columns]
            weights = None
            if mask is not None:
                here = mask[..., slice(*tile.rows), slice(*tile.columns)]
                weights = layer_weights(here, stride)
            weight = float(features[0, 0].numel() if weights is None else weights.double().sum())
            if weight < 1e-6:
                continue
            part = feature_moments(features, weights)
            self._weight[layer] += weight
            before = self.moments.get(layer, part)
            self.moments[layer] = before.blend(part, weight / self._weight[layer])

    def maps(self, style: InstantStyle, strength: float) -> dict[str, Transport]:
        """Transport from these moments to the style's."""
        return {
            k: transport(self.moments[k], style.moments[k], strength, cost=colour_cost(k)) for k in LEVELS
        }


def _noise_for(tile: Tile, features: Tensor, layer: str, seed: int) -> Tensor:
    """The noise at the positions of a tile, halo included; it does not depend on how the picture is tiled."""
    stride = geometry(layer).stride
    top, left = tile.outer_rows[0] // stride, tile.outer_columns[0] // stride
    _, channels, height, width = features.shape
    return noise_field(channels, height, width, top, left, seed=seed).to(features.device)


def _size(picture: Tensor) -> Size:
    return int(picture.shape[-2]), int(picture.shape[-1])


def _grid(picture: Tensor, layer: str) -> Size:
    """(height, width) of a layer's features."""
    height, width = _size(picture)
    return height // geometry(layer).stride, width // geometry(layer).stride


def _padded(picture: Tensor) -> Tensor:
    """The picture with sides that are multiples of ``STRIDE``, reflected below and on the right.

    A picture that is too small for reflection is continued with its last row and column.
    """
    below, right = (max(MIN_SIDE, -(-side // STRIDE) * STRIDE) - side for side in _size(picture))
    if not below and not right:
        return picture
    can_reflect = below < picture.shape[-2] and right < picture.shape[-1]
    return F.pad(picture, (0, right, 0, below), mode="reflect" if can_reflect else "replicate")
