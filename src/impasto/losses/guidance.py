"""Guidance by meaning: finds out which parts of the styles suit which places of the content.

The styles are divided into parts that look alike, by clustering deep features together with lightness,
texture and height in the picture. Each place of the content prefers the part whose features are most like its
own. Preferences are smoothed along the content's edges, so that an object is not divided among parts, and no
part may be preferred at many more places than it covers of the styles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.losses.neighbours import next_prices
from impasto.losses.tiled import size_of
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.pictures.alpha import mask_on_grid
from impasto.pictures.colour import to_oklab
from impasto.pictures.filters import box_mean, guided_filter
from impasto.pictures.geometry import Size, fit, resample, to_multiple
from impasto.scene import Guidance, Region, Scene, Style, product

__all__ = ["GUIDING_LAYERS", "guided"]

#: Layers whose features are compared, with equal shares; those that the encoder does not have are left out.
GUIDING_LAYERS = ("relu3_1", "relu4_1", "relu5_1")
#: Long side in pixels at which they are computed, and pixels between the places that are compared.
LONG_SIDE, STRIDE = 256, 8
#: Parts that the styles of a region are divided into.
PARTS = 8
#: Standard deviations of lightness, height and local contrast, where that of a layer's features is 1.
LIGHTNESS, HEIGHT, CONTRAST = 1.0, 0.35, 0.7
#: Window and regularisation of the guided filter; the guide is lightness in OKLab.
RADIUS, EPSILON = 2, 1e-3
#: A part may be preferred by so many times the places that its share of the styles would give it.
CAPACITY = 2.0
#: Difference of cosines at which a part is preferred less by a factor of e.
SOFTNESS = 0.15
#: Rounds of clustering, and of balancing the preferences.
ROUNDS = 30


@dataclass(frozen=True)
class _Places:
    """The places of one picture.

    Attributes:
        features: (n, C).
        weights: (n,) ≥ 0, how much each place counts; they sum to 1.
        lightness: (1, 1, h, w), n = h · w.
    """

    features: Tensor
    weights: Tensor
    lightness: Tensor


def guided(scene: Scene, encoder: Encoder, strength: float) -> Scene:
    """The scene with regions that know what suits where, and styles that know their parts.

    Parts of a style that suit more places than they cover count more, and the others less.

    Args:
        scene: after :func:`impasto.scene.preparing.preprocess`. Without content or style pictures, and with
            statistics that many pictures share, it is returned as it is.
        strength: factor on the suitability, > 0.
    """
    if scene.content is None or scene.style_statistics or not scene.has_styles:
        return scene
    return replace(
        scene,
        regions=tuple(_guided_region(region, scene, encoder, strength) for region in scene.painted_regions),
    )


def _guided_region(region: Region, scene: Scene, encoder: Encoder, strength: float) -> Region:
    assert scene.content is not None, "checked in guided"
    content = _places(scene.content, product(region.mask, scene.content_mask), encoder)
    if not content.weights.any():  # nothing of the content lies in it
        return region
    shares = {index: share for index, share in enumerate(region.style_shares) if share > 0}
    styles = list(region.styles)
    padding = "reflect" if encoder.padding == "circular" else None  # a style never repeats
    places = {i: _places(styles[i].pixels, styles[i].mask, encoder, padding=padding) for i in shares}
    weights = torch.cat([share * places[index].weights for index, share in shares.items()])
    centres, parts = _clusters(torch.cat([place.features for place in places.values()]), weights)
    areas = torch.zeros(len(centres)).index_add_(0, parts, weights)
    suitability, used = _suitability(content, centres, areas)
    of_each = parts.split([len(place.weights) for place in places.values()])
    for (index, place), part in zip(places.items(), of_each, strict=True):
        grid = part.view_as(place.lightness)
        styles[index] = _with_parts(styles[index], grid, used / areas.clamp_min(1e-6))
    guidance = Guidance(strength * suitability, size_of(scene.content))
    return replace(region, styles=tuple(styles), guidance=guidance)


def _with_parts(style: Style, parts: Tensor, factors: Tensor) -> Style:
    """A style with its parts (1, 1, h, w), each of which counts more or less by a factor (K,)."""
    size = size_of(style.pixels)
    weights = (factors / factors.max())[parts[0, 0]][None, None]
    mask = F.interpolate(weights, size, mode="nearest")
    return replace(style, mask=product(style.mask, mask), parts=parts)


def _places(picture: Tensor, mask: Tensor | None, encoder: Encoder, *, padding: str | None = None) -> _Places:
    """The places of a picture (1, 3, H, W), and their weights by a mask (1, 1, H, W)."""
    layers = [layer for layer in GUIDING_LAYERS if layer in encoder.layers] or [encoder.layers[-1]]
    deepest = max(geometry(layer).stride for layer in layers)
    size = to_multiple(fit(*size_of(picture), LONG_SIDE), deepest)
    grid = (size[0] // STRIDE, size[1] // STRIDE)
    device = encoder.device
    small = resample(picture, size)
    weights = (
        torch.ones(grid) if mask is None else mask_on_grid(resample(mask, size), grid)[0, 0].cpu().float()
    )
    weights = weights.flatten() / weights.sum().clamp_min(1e-12)
    with torch.no_grad():
        features = encoder(small.to(device), tuple(layers), padding=padding)
    columns = [_standardised(_on_grid(features[layer].cpu(), grid), weights) for layer in layers]
    lightness = F.adaptive_avg_pool2d(to_oklab(small.cpu().float())[:, :1], grid)
    contrast = (box_mean((lightness - box_mean(lightness, 1)).square(), 1) + 1e-6).log()
    height = torch.linspace(-1.0, 1.0, grid[0]).view(1, 1, -1, 1).expand(1, 1, *grid)
    for plane, deviation in ((lightness, LIGHTNESS), (height, HEIGHT), (contrast, CONTRAST)):
        columns.append(deviation * _standardised(plane, weights))
    return _Places(torch.cat(columns, 1), weights, lightness)


def _on_grid(features: Tensor, grid: Size) -> Tensor:
    if features.shape[-2] > grid[0]:
        return F.adaptive_avg_pool2d(features, grid)
    return F.interpolate(features, grid, mode="bilinear", align_corners=False)


def _standardised(planes: Tensor, weights: Tensor) -> Tensor:
    """Planes (1, C, h, w) as rows (n, C), of mean 0 and mean square length 1."""
    rows = planes[0].flatten(1).T.float()
    rows = rows - weights @ rows
    return rows / (weights @ rows.square().sum(1)).sqrt().clamp_min(1e-3)


def _clusters(rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted k-means (Arthur & Vassilvitskii 2007): centres (K, C), and the cluster of each row (n,).

    Args:
        rows: (n, C).
        weights: (n,) ≥ 0.
    """
    generator = torch.Generator().manual_seed(0)
    centres = rows[weights.multinomial(1, generator=generator)]
    for _ in range(min(PARTS, len(rows)) - 1):
        nearest = torch.cdist(rows, centres).amin(1).square() * weights
        centres = torch.cat([centres, rows[nearest.clamp_min(1e-12).multinomial(1, generator=generator)]])
    for _ in range(ROUNDS):
        labels = torch.cdist(rows, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, labels, rows * weights[:, None])
        totals = torch.zeros(len(centres)).index_add_(0, labels, weights)
        centres = torch.where(totals[:, None] > 0, sums / totals[:, None].clamp_min(1e-12), centres)
    return centres, torch.cdist(rows, centres).argmin(1)


def _suitability(content: _Places, centres: Tensor, areas: Tensor) -> tuple[Tensor, Tensor]:
    """What suits where, (1, K, h, w), and the share of places that prefers each part, (K,).

    Args:
        centres: (K, C) of the parts.
        areas: (K,), the share of the styles that each covers; parts that cover more are preferred.
    """
    cosines = F.normalize(content.features, dim=1) @ F.normalize(centres, dim=1).T
    planes = cosines.T.reshape(1, -1, *content.lightness.shape[-2:])
    smooth = guided_filter(content.lightness, planes, RADIUS, EPSILON)[0].flatten(1).T / SOFTNESS
    offers = smooth + areas.clamp_min(1e-6).log()
    prices, used = torch.zeros_like(areas), areas
    for _ in range(ROUNDS):
        used = content.weights @ (offers - prices).softmax(1)
        prices = next_prices(prices, used, CAPACITY * areas)
    net = offers - prices
    return SOFTNESS * (net - net.amax(1, keepdim=True)).T.reshape(planes.shape), used
