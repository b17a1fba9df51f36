"""A peacock as a mosaic, after the floors and apses of Ravenna.

As in antiquity, stones are laid in rows along the contours of what they depict ("andamento"): the level lines
of each region's distance transform, one stone apart, are divided into stones (compare Hausner 2001,
"Simulating decorative mosaics"). Every stone has its own colour, tilt and wear, with mortar in between.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import feature, measure

from impasto.samples import brush
from impasto.samples.brush import Array, Mask

__all__ = ["mosaic"]

GRID = 640  # cells per span of the raster on which the rows are planned
STONE = 0.0118  # width of a stone in spans
NEAR = 0.04  # how far around a capsule distances to it are asked for, in spans
MORTAR = brush.palette("8d7c66")[0]
IVORY, GOLD, OCHRE, TERRACOTTA, OXBLOOD = brush.palette("e9dbb8 dcaa3e c08434 b3532f 6a2319")
TEAL, TURQUOISE, COBALT, NAVY, OLIVE = brush.palette("22706f 68a99c 2b529c 17244a 61753a")


class Area(NamedTuple):
    """A part of the picture: its mask (H, W), its colours (H, W, 3), and the width of its stones in spans."""

    mask: Mask
    colour: Array
    stone: float


class Stones(NamedTuple):
    """Stones: centre and size in spans, direction in radians, (N,) each, and colour (N, 3)."""

    x: Array
    y: Array
    angle: Array
    length: Array
    width: Array
    colour: Array


def mosaic(size: int, rng: np.random.Generator) -> Array:
    """Plan the stones, and render them in mortar; (H, W, 3)."""
    shape = brush.picture_size(size, 1.0)
    big = (shape[0] * 2, shape[1] * 2)
    plan = peacock()
    stones = [row for region in plan for row in rows(rng, region)]
    whole = Stones(*(np.concatenate(parts).astype(np.float32) for parts in zip(*stones, strict=True)))
    whole = fill_gaps(rng, whole, plan)
    return brush.downsample(render(rng, whole, big), shape)


def peacock() -> list[Area]:
    """The areas of the picture from back to front, each without what covers it."""
    x, y = brush.pixel_centres((GRID, GRID))
    layers: list[Area] = [*background(x, y), *fan(x, y), *bird(x, y)]
    free = np.ones((GRID, GRID), bool)
    visible = []
    for layer in reversed(layers):
        visible.append(layer._replace(mask=layer.mask & free))
        free &= ~layer.mask
    return visible[::-1]


def flat(colour: Array) -> Array:
    """One colour over the whole raster, (GRID, GRID, 3)."""
    return np.broadcast_to(colour, (GRID, GRID, 3))


def capsule(
    x: Array, y: Array, a: tuple[float, float], b: tuple[float, float], ra: float, rb: float
) -> Array:
    """Signed distance to a rounded cone from a to b with radii ra and rb; negative inside, 1 if far away."""
    distance, reach = np.ones(x.shape, np.float32), max(ra, rb) + NEAR
    near = [
        (axis > min(ends) - reach) & (axis < max(ends) + reach)
        for axis, *ends in ((y[:, 0], a[1], b[1]), (x[0], a[0], b[0]))
    ]
    box = np.ix_(*near)
    x, y = x[box], y[box]
    dx, dy = b[0] - a[0], b[1] - a[1]
    t = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    distance[box] = np.hypot(x - a[0] - t * dx, y - a[1] - t * dy) - (ra + (rb - ra) * t)
    return distance


def background(x: Array, y: Array) -> list[Area]:
    """Ivory ground with rosettes in its corners, and a frame of beads and lozenges."""
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    regions = [
        Area(edge >= 0, flat(IVORY), STONE * 1.1),
        *plants(x, y),
        Area(edge < 0.098, flat(GOLD), STONE),
        Area(edge < 0.085, flat(OXBLOOD), STONE),
    ]
    spots = [(0.0485 + k * 0.9030 / 11, k % 2) for k in range(12)]
    for t, odd in spots:
        for cx, cy in {(t, 0.0485), (t, 0.9515), (0.0485, t), (0.9515, t)}:
            reach = np.hypot(x - cx, y - cy)
            if odd:
                reach = (np.abs(x - cx) + np.abs(y - cy)) * 0.8
            rings = ((0.032, TERRACOTTA), (0.021, IVORY), (0.0095, NAVY))
            if not odd:
                rings = ((0.035, OCHRE), (0.0235, TURQUOISE), (0.0115, COBALT))
            regions += [Area(reach < r, flat(ink), STONE * 0.92) for r, ink in rings]
    for cx in (0.185, 0.815):
        regions += rosette(x - cx, y - 0.185)
    return [*regions, Area(edge < 0.012, flat(NAVY), STONE)]


def rosette(x: Array, y: Array) -> list[Area]:
    """A flower of six petals."""
    regions = []
    for turn in np.arange(6) * np.pi / 3 + np.pi / 6:
        a, b = np.cos(turn), np.sin(turn)
        petal = capsule(x, y, (a * 0.02, b * 0.02), (a * 0.05, b * 0.05), 0.007, 0.016)
        regions.append(Area(petal < 0, flat(TERRACOTTA if turn % 2 < 1 else OCHRE), STONE * 0.85))
    return [
        *regions,
        Area(np.hypot(x, y) < 0.021, flat(NAVY), STONE * 0.85),
        Area(np.hypot(x, y) < 0.01, flat(GOLD), STONE),
    ]


def plants(x: Array, y: Array) -> list[Area]:
    """A strip of meadow, and a sprig with berries on each side."""
    regions = [
        Area(
            y > 0.845 + 0.012 * np.sin(14 * x),
            brush.ramp(np.stack([OLIVE, TEAL, NAVY]), (y - 0.84) * 9),
            STONE,
        )
    ]
    for side in (-1, 1):
        foot = 0.5 + side * 0.30
        for k, (reach, rise) in enumerate(((0.0, 0.17), (0.05, 0.13), (-0.05, 0.13))):
            tip = (foot + side * reach, 0.86 - rise)
            stem = capsule(x, y, (foot, 0.86), tip, 0.007, 0.007)
            leaf = np.hypot((x - tip[0]), (y - tip[1])) - 0.024
            regions += [
                Area(stem < 0, flat(OLIVE), STONE * 0.9),
                Area(leaf < 0, flat(TERRACOTTA if k else OXBLOOD), STONE * 0.85),
                Area(leaf < -0.013, flat(GOLD), STONE * 0.8),
            ]
    return regions


def fan(x: Array, y: Array) -> list[Area]:
    """The spread tail: green barbs and two rings of eyes."""
    cx, cy = 0.5, 0.60
    r, turn = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
    scallop = 0.395 + 0.014 * np.abs(np.sin((turn + np.pi / 2) * 7.5))
    open_ = (r < scallop) & (np.abs((turn + np.pi / 2 + np.pi) % (2 * np.pi) - np.pi) < 1.83)
    greens = np.stack([NAVY, TEAL, OLIVE, TEAL, OLIVE, TURQUOISE])
    tone = r / 0.42 + 0.10 * np.sign(np.sin(turn * 44))
    regions = [Area(open_, brush.ramp(greens, tone), STONE * 0.92)]
    for ring, (distance, count, size) in enumerate(((0.33, 14, 0.046), (0.232, 11, 0.040))):
        for place in np.linspace(-1.66 + 0.06 * ring, 1.66 - 0.06 * ring, count):
            a = place - np.pi / 2
            root = (cx + (distance - size * 1.6) * np.cos(a), cy + (distance - size * 1.6) * np.sin(a))
            tip = (cx + distance * np.cos(a), cy + distance * np.sin(a))
            drop = capsule(x, y, root, tip, size * 0.25, size)
            iris = np.hypot(x - tip[0], y - tip[1])
            regions += [
                Area(drop < 0, flat(OCHRE if ring % 2 else GOLD), STONE * 0.95),
                Area(iris < size * 0.74, flat(TURQUOISE), STONE * 0.9),
                Area(iris < size * 0.46, flat(COBALT), STONE * 0.8),
                Area(iris < size * 0.2, flat(OXBLOOD), STONE * 0.8),
            ]
    return regions


def bird(x: Array, y: Array) -> list[Area]:
    """Body, neck, head with beak and crest, legs."""
    body = np.minimum(
        capsule(x, y, (0.5, 0.71), (0.5, 0.62), 0.078, 0.098),
        capsule(x, y, (0.5, 0.60), (0.505, 0.44), 0.07, 0.034),
    )
    head = np.hypot(x - 0.515, y - 0.405) - 0.041
    beak = capsule(x, y, (0.548, 0.406), (0.612, 0.428), 0.019, 0.004)
    shade = np.clip((x - 0.5) / 0.2 + 0.5, 0, 1) * 0.5 + np.clip((y - 0.42) / 0.4, 0, 1) * 0.5
    blues = brush.ramp(np.stack([TURQUOISE, COBALT, COBALT, NAVY]), shade + 0.12 * np.sign(np.sin(y * 170)))
    skin = [
        Area(np.minimum(body, head) < 0.03, flat(TEAL), STONE * 0.9),
        Area(body < 0.013, flat(NAVY), STONE * 0.9),
        Area(body < 0, blues, STONE * 0.92),
    ]
    for row in range(5):
        for k in range(row % 2 + 2):
            cx, cy = 0.5 + (k - (row % 2 + 1) / 2) * 0.052, 0.585 + 0.042 * row
            drop = np.hypot(x - cx, y - cy)
            skin += [
                Area(drop < 0.0185, flat(TURQUOISE), STONE * 0.8),
                Area(drop < 0.008, flat(GOLD), STONE),
            ]
    legs = []
    for side in (-1, 1):
        knee, foot = (0.5 + side * 0.035, 0.77), (0.5 + side * 0.045, 0.86)
        legs.append(Area(capsule(x, y, knee, foot, 0.011, 0.008) < 0, flat(TERRACOTTA), STONE * 0.9))
        toes = capsule(x, y, (foot[0] - 0.025, 0.868), (foot[0] + 0.03, 0.868), 0.007, 0.007)
        legs.append(Area(toes < 0, flat(TERRACOTTA), STONE * 0.9))
    crest = []
    for turn in (-1.0, -0.5, 0.0, 0.5, 1.0):
        tip = (0.512 + 0.092 * np.sin(turn), 0.405 - 0.092 * np.cos(turn) - 0.006)
        crest.append(Area(capsule(x, y, (0.512, 0.38), tip, 0.004, 0.004) < 0, flat(NAVY), STONE * 0.7))
        crest.append(Area(np.hypot(x - tip[0], y - tip[1]) < 0.0155, flat(IVORY), STONE * 0.75))
    face = [
        Area(head < 0.011, flat(NAVY), STONE * 0.8),
        Area(beak < 0.011, flat(NAVY), STONE * 0.8),
        Area(beak < 0, flat(GOLD), STONE * 0.8),
        Area(head < 0, flat(COBALT), STONE * 0.8),
        Area(np.hypot(x - 0.523, y - 0.40) < 0.02, flat(IVORY), STONE * 0.75),
        Area(np.hypot(x - 0.525, y - 0.40) < 0.0085, flat(NAVY), STONE * 0.9),
    ]
    return [*legs, *crest, *skin, *face]


def rows(rng: np.random.Generator, region: Area) -> list[Stones]:
    """Rows of stones in a region, parallel to its edge, from the edge inwards."""
    if not region.mask.any():
        return []
    taken = [np.flatnonzero(region.mask.any(axis)) for axis in (1, 0)]  # its rows and columns
    first = np.array([max(0, side[0] - 3) for side in taken])
    around = tuple(slice(a, side[-1] + 4) for a, side in zip(first, taken, strict=True))
    pad = np.pad(region.mask[around], 3, mode="edge")
    depth = ndimage.distance_transform_edt(pad)[3:-3, 3:-3] / GRID
    stones = []
    for level in np.arange(0.5, 400) * region.stone:
        if level > depth.max():
            break
        for line in measure.find_contours(depth, level):  # type: ignore[no-untyped-call,unused-ignore]
            distances = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))]) / GRID
            count = round(distances[-1] / (region.stone * 1.08))
            if count:
                at = (np.arange(count) + rng.uniform(0, 1) + rng.uniform(-0.1, 0.1, count)) / count % 1
                stones.append(
                    cut(rng, region, line + first, distances, at * distances[-1], distances[-1] / count)
                )
    return stones


def cut(
    rng: np.random.Generator, region: Area, line: Array, distances: Array, at: Array, length: float
) -> Stones:
    """The stones of one row along a line of (row, column) points, centred at the distances `at` in spans."""
    n = at.size

    def where(distance: Array) -> tuple[Array, Array]:
        y, x = (np.interp(distance, distances, line[:, axis]) + 0.5 for axis in (0, 1))
        return x / GRID, y / GRID

    x, y = where(at)
    (x1, y1), (x0, y0) = where(at + 0.4 * length), where(at - 0.4 * length)
    cell = np.clip((np.stack([y, x]) * GRID).astype(int), 0, GRID - 1)
    colour = region.colour[cell[0], cell[1]]
    angle = np.arctan2(y1 - y0, x1 - x0) + rng.normal(0, 0.05, n)
    sizes = rng.uniform(0.88, 1.06, (2, n))
    return Stones(x, y, angle, length * sizes[0], region.stone * sizes[1], colour)


def fill_gaps(rng: np.random.Generator, stones: Stones, plan: list[Area]) -> Stones:
    """Add small stones in the gaps where rows meet."""
    laid = brush.fill_polygons((GRID, GRID), corners(rng, stones, GRID, 0.0))
    gap = ndimage.distance_transform_edt(laid == 0)
    spots = feature.peak_local_max(gap, min_distance=2, threshold_abs=1.8, exclude_border=False)  # type: ignore[no-untyped-call,unused-ignore]
    y, x = ((spots[:, axis] + 0.5) / GRID for axis in (0, 1))
    width = np.minimum(gap[spots[:, 0], spots[:, 1]] * 2.0 / GRID, STONE)
    colour = np.empty((len(spots), 3))
    for region in plan:
        inside = region.mask[spots[:, 0], spots[:, 1]]
        colour[inside] = region.colour[spots[inside, 0], spots[inside, 1]]
    angle = rng.uniform(0, np.pi, len(spots))
    extra = Stones(x, y, angle, width * 1.1, width, colour)
    return Stones(*(np.concatenate([e, s]).astype(np.float32) for s, e in zip(stones, extra, strict=True)))


def corners(rng: np.random.Generator, stones: Stones, span: int, margin: float) -> list[list[float]]:
    """The four irregular corners of each stone in pixels, moved outwards by `margin` spans."""
    n = len(stones.x)
    irregularity = 1 + rng.normal(0, 0.07, (n, 4, 2))
    u = np.array([-0.5, 0.5, 0.5, -0.5]) * stones.length[:, None] * irregularity[..., 0]
    v = np.array([-0.5, -0.5, 0.5, 0.5]) * stones.width[:, None] * irregularity[..., 1]
    u, v = u + np.sign(u) * margin, v + np.sign(v) * margin
    cos, sin = np.cos(stones.angle)[:, None], np.sin(stones.angle)[:, None]
    xy = np.stack([stones.x[:, None] + cos * u - sin * v, stones.y[:, None] + sin * u + cos * v], -1) * span
    polygons: list[list[float]] = xy.reshape(n, 8).tolist()
    return polygons


def render(rng: np.random.Generator, stones: Stones, shape: tuple[int, int]) -> Array:
    """Stones in mortar, each with its own colour and tilt, lit from the side."""
    n, span = len(stones.x), max(shape)
    state = rng.bit_generator.state
    joint = corners(rng, stones, span, 0.0006)
    rng.bit_generator.state = state  # the same irregularities, so that the joint follows the stone
    stone = corners(rng, stones, span, -0.0011)
    polygons = [polygon for pair in zip(joint, stone, strict=True) for polygon in pair]
    numbers = np.stack([np.zeros(n), np.arange(1, n + 1)], 1).astype(np.int32).ravel()
    top = brush.fill_polygons(shape, polygons, numbers)
    batch = brush.sample_at(brush.noise(rng, (96, 96), 9), stones.x, stones.y)[:, None] * np.array(
        [0.02, 0.0, -0.035]
    )
    shade = rng.normal(0, 0.055, (n, 1)) + rng.normal(0, 0.026, (n, 3)) + batch
    paint = np.vstack([MORTAR[None], np.clip(stones.colour + shade, 0.02, 1)]).astype(np.float32)
    canvas = paint[top]
    wear = brush.noise(rng, shape, 260) * 0.5 + brush.noise(rng, shape, 90) * 0.5
    canvas *= (1 + 0.045 * wear)[..., None]
    x, y = brush.pixel_centres(shape)
    tilt = np.vstack([np.zeros((1, 2)), rng.normal(0, 0.16, (n, 2))]).astype(np.float32)
    centre = np.vstack([np.zeros((1, 2)), np.stack([stones.x, stones.y], 1)]).astype(np.float32)
    lean = tilt[top, 0] * (x - centre[top, 0]) + tilt[top, 1] * (y - centre[top, 1])
    raised = ndimage.gaussian_filter((top > 0).astype(np.float32), span / 1100) * span / 330
    return brush.light_relief(canvas, raised + lean * span + 0.35 * wear, strength=0.75, blur=0.6, gloss=0.2)
