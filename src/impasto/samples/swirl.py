"""A night sky in motion, in the manner of Van Gogh's nights at Saint-Rémy.

The sky is a flow field: a wind from left to right, two large vortices (Lamb-Oseen), rotation around each
star, and curl noise (Bridson et al. 2007), so that no stroke is straight. Four layers of strokes follow
it, wide to narrow (Hertzmann 1998). On the hills strokes follow the slopes, and on cypresses they rise
like flames. The colour of the sky is noise smeared along the flow, so that light and dark paint run in
streams.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from impasto.samples import brush
from impasto.samples.brush import Array, Mask

__all__ = ["swirl"]

RATIO = 0.8
SKY = brush.palette("121d4a 1c3478 27509f 3d78b8 6fa8cc a9cfd6 dfe9d2")
LIGHT = brush.palette("fff8d2 fbe37a f3c132 dca02c 9fb878 5c9ac0")
WHEAT = brush.palette("27452f 52703a 98933a cfa63a ecc755 f7e79a")
WALLS = brush.palette("2b3f6b 55719a 8fa5b0")
ROOFS = brush.palette("22253f 4a3038 8a4a35")
HILL = brush.palette("0f1c3c 17365c 245a78 3f8188 7fa67c b5b45c")
CYPRESS = brush.palette("0b1416 13281f 23452a 4a5c2c 5a3a1f")
STARS = (  # x, y, radius of the halo, in spans
    (0.865, 0.135, 0.125),
    (0.09, 0.10, 0.055),
    (0.30, 0.065, 0.05),
    (0.47, 0.13, 0.045),
    (0.655, 0.075, 0.055),
    (0.70, 0.255, 0.042),
    (0.345, 0.44, 0.05),
    (0.93, 0.36, 0.05),
    (0.075, 0.335, 0.045),
    (0.60, 0.435, 0.035),
)
VORTICES = ((0.43, 0.275, 0.115, 1.0), (0.665, 0.365, 0.07, -0.8))  # x, y, core, circulation


class PaintMaps(NamedTuple):
    """Maps on a small raster that determine the strokes: (H, W, 3) for colours, else (H, W)."""

    colour: Array
    second: Array  # the other paint on the brush
    light: Array  # the colour of halos
    share: Array  # of the strokes that have the colour of the halo
    angle: Array  # direction of the strokes in radians
    detail: Array  # 0 to 1; narrow strokes are painted only where it is high


def swirl(size: int, rng: np.random.Generator) -> Array:
    """Paint layers of strokes, wide to narrow; (H, W, 3)."""
    shape = brush.picture_size(size, RATIO)
    big = (shape[0] * 2, shape[1] * 2)
    scene, mark = night(rng), brush.bristles(rng)
    canvas = np.empty((*big, 3), np.float32)
    canvas[:] = SKY[1]
    height = np.zeros(big, np.float32)
    for count, length, width, min_detail in (
        (1500, 0.10, 0.026, 0.0),
        (4200, 0.062, 0.0135, 0.0),
        (6500, 0.045, 0.0085, 0.12),
        (5000, 0.026, 0.0052, 0.45),
    ):
        x, y = brush.scatter(rng, RATIO, count)
        chosen = brush.sample_at(scene.detail, x, y) + 0.25 * rng.uniform(-1, 1, x.size) >= min_detail
        x, y = x[chosen], y[chosen]
        strokes = dabs(rng, scene, x, y, length, width)
        brush.paint_strokes(canvas, height, strokes, mark, dry=0.35, streak=0.035)
    canvas = brush.light_relief(canvas, height, strength=0.55, blur=0.8)
    return brush.downsample(canvas, shape)


def dabs(
    rng: np.random.Generator, scene: PaintMaps, x: Array, y: Array, length: float, width: float
) -> brush.Strokes:
    """Strokes at (x, y) with the colours of the scene, varied a little so that neighbours differ."""
    n = x.size
    jitter = rng.normal(0, 0.035, (n, 1)) + rng.normal(0, 0.018, (n, 3))
    light = brush.sample_at(scene.light, x, y)
    taken = (rng.uniform(0, 1, n) < brush.sample_at(scene.share, x, y)).astype(np.float32)
    colour = brush.mix(brush.sample_at(scene.colour, x, y), light, taken) + jitter
    second = brush.mix(brush.sample_at(scene.second, x, y), light + 0.12, taken) + jitter

    def angle(px: Array, py: Array) -> Array:
        c, d = (
            brush.sample_at(np.cos(2 * scene.angle), px, py),
            brush.sample_at(np.sin(2 * scene.angle), px, py),
        )
        return np.asarray(np.arctan2(d, c) / 2, np.float32)

    spread = rng.lognormal(0, 0.28, (2, n))
    return brush.strokes_along(
        x,
        y,
        angle,
        (length * spread[0]).astype(np.float32),
        (width * np.clip(spread[1], 0.6, 1.5)).astype(np.float32),
        colour.astype(np.float32),
        second.astype(np.float32),
    )


def night(rng: np.random.Generator) -> PaintMaps:
    """The scene: sky, hills and cypresses, each with its colours and its flow."""
    shape = brush.picture_size(480, RATIO)
    x, y = brush.pixel_centres(shape)
    sky = heavens(rng, x, y)
    scene = hills(rng, x, y, sky)
    return cypress(x, y, scene)


def heavens(rng: np.random.Generator, x: Array, y: Array) -> PaintMaps:
    """The sky: its flow, its streams of colour, and the stars."""
    drift = brush.noise(rng, (x.shape[0], x.shape[1]), 5)
    gy, gx = np.gradient(ndimage.gaussian_filter(drift, 6), 1 / 480)
    u, v = 1.0 + 0.035 * gy, 0.35 * np.sin(7 * x + 2 * y) - 0.035 * gx
    for cx, cy, core, turn in VORTICES:
        r2 = (x - cx) ** 2 + (y - cy) ** 2
        push = turn * 4.2 * core * (1 - np.exp(-r2 / core**2)) / (r2 + 1e-5) * np.exp(-r2 / (2.2 * core) ** 2)
        # A little inflow makes rings into spirals.
        u = u - push * (y - cy) - 0.22 * push * (x - cx)
        v = v + push * (x - cx) - 0.22 * push * (y - cy)
    glow = np.zeros_like(x)
    for cx, cy, radius in STARS:
        dx, dy = x - cx, y - cy
        r = np.hypot(dx, dy)
        near = np.exp(-((r / (radius * 1.15)) ** 4)) * 9
        u, v = u - near * dy / (r + 1e-4), v + near * dx / (r + 1e-4)
    angle = np.arctan2(v, u).astype(np.float32)
    grain = brush.noise(rng, (x.shape[0], x.shape[1]), 34) + 0.6 * brush.noise(
        rng, (x.shape[0], x.shape[1]), 80
    )
    stream = brush.smear_along_flow(grain.astype(np.float32), angle, 0.13)
    tone = 0.40 + 0.19 * stream - 0.16 * (0.3 - y)
    for cx, cy, core, _ in VORTICES:
        tone += 0.16 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (1.5 * core) ** 2)
    colour = brush.ramp(SKY, tone)
    second = brush.ramp(SKY, tone + 0.22)
    light, share = np.zeros_like(colour), np.zeros_like(x)
    for cx, cy, radius in STARS:
        r = np.hypot(x - cx, y - cy) / radius
        ring = 0.5 + 0.5 * np.cos(r * (19 if radius > 0.1 else 12))
        near = np.clip(1.9 - 1.35 * r, 0, 1) * np.where(r < 0.4, 1, 0.45 + 0.55 * ring)
        light = np.where((near > share)[..., None], brush.ramp(LIGHT, r * 0.68), light)
        share = np.maximum(share, near)
        glow = np.maximum(glow, np.exp(-((r / 1.2) ** 4)))
    light = crescent(x, y, light)
    colour = brush.mix(colour, SKY[5], 0.5 * glow)
    second = brush.mix(second, LIGHT[1], 0.35 * glow)
    return PaintMaps(colour, second, light, share, angle, 0.10 + 0.75 * glow + 0.1 * np.abs(stream))


def crescent(x: Array, y: Array, colour: Array) -> Array:
    """The moon in the largest halo: an orange crescent around a pale disc."""
    cx, cy, radius = STARS[0]
    disc = np.hypot(x - cx, y - cy) < radius * 0.40
    inner = np.hypot(x - cx + 0.021, y - cy + 0.008) < radius * 0.30
    out = np.where((disc & ~inner)[..., None], brush.palette("ee9a2c")[0], colour)
    return np.asarray(np.where((disc & inner)[..., None], brush.palette("f6e59a")[0], out))


def hills(rng: np.random.Generator, x: Array, y: Array, scene: PaintMaps) -> PaintMaps:
    """Two blue ridges, a village, and a field of wheat; strokes run along the slopes."""
    for level, base in enumerate((0.545, 0.605, 0.685)):
        phase = rng.uniform(0, 0.15)
        ridge = base - 0.045 * np.sin(5.2 * (x + phase + 0.2)) - 0.015 * np.sin(13 * x + level)
        ridge = ridge - 0.06 * (x - 0.5) * (1 - level)
        slope = np.gradient(ridge, 1 / 480, axis=1)
        depth = (y - ridge) / 0.16
        folds = 0.5 + 0.5 * np.sin(34 * depth + 9 * np.sin(6 * x + 2 * level))
        tone = 0.14 + 0.10 * level + 0.38 * folds * np.exp(-depth * 0.8) + 0.25 * np.exp(-depth * 9)
        sway = np.arctan(slope + 0.9 * np.cos(6 * x + 2 * level) * np.clip(depth, 0, 1))
        if level == 2:
            scene = village(rng, x, y, scene)
            sway = sway + 0.5 * np.sin(40 * x + 20 * y)
        scene = over(
            scene, y > ridge, WHEAT if level == 2 else HILL, tone, sway, 0.25 + 0.5 * np.exp(-depth * 9)
        )
    return scene


def over(
    scene: PaintMaps, inside: Mask, colours: Array, tone: Array, angle: Array, detail: Array
) -> PaintMaps:
    """The scene with an object in front of it."""
    at = inside[..., None]
    return PaintMaps(
        np.where(at, brush.ramp(colours, tone), scene.colour),
        np.where(at, brush.ramp(colours, tone + 0.24), scene.second),
        scene.light,
        np.where(inside, 0, scene.share),
        np.where(inside, angle, scene.angle),
        np.where(inside, detail, scene.detail),
    )


def village(rng: np.random.Generator, x: Array, y: Array, scene: PaintMaps) -> PaintMaps:
    """Houses with lit windows below the ridge."""
    for place in (0.36, 0.42, 0.475, 0.53, 0.585, 0.66, 0.72, 0.79, 0.86):
        left, wide = place + rng.uniform(-0.006, 0.006), rng.uniform(0.034, 0.046)
        foot = 0.685 + 0.03 * np.sin(8 * place) + rng.uniform(-0.01, 0.01)
        high, roof = 0.026, 0.026
        across = (x - left) / wide
        wall = (np.abs(across) < 0.5) & (y < foot + 0.03) & (y > foot - high)
        pitch = (np.abs(across) < 0.58 * np.clip((y - foot + high + roof) / roof, 0, 1)) & (y <= foot - high)
        scene = over(scene, wall, WALLS, 0.5 + across, np.full_like(x, np.pi / 2), np.ones_like(x))
        scene = over(scene, pitch, ROOFS, 0.4 + across, np.sign(across) * 0.7, np.ones_like(x))
        lit = (np.abs(across - 0.12) < 0.2) & (np.abs(y - foot + 0.4 * high) < 0.0065)
        scene = over(scene, lit, LIGHT[1:3], 0.5 + across, np.zeros_like(x), np.full_like(x, 1.5))
    return scene


def cypress(x: Array, y: Array, scene: PaintMaps) -> PaintMaps:
    """Two dark cypresses on the left, taller than the hills."""
    for foot, top, wide in ((0.175, 0.16, 0.062), (0.235, 0.36, 0.04)):
        t = np.clip((y - top) / (RATIO - top), 0, 1)
        middle = foot + 0.014 * np.sin(9 * y + foot * 30)
        half = wide * t**0.75 * (1 - 0.25 * t) * (1 + 0.22 * np.sin(26 * y + 40 * foot) * (1 - t))
        inside = (np.abs(x - middle) < half) & (y > top)
        lean = (x - middle) / (half + 1e-4)
        tone = 0.3 + 0.3 * np.sin(lean * 9 + 22 * y) - 0.2 * lean**2
        upward = -np.pi / 2 + 0.36 * lean * (0.4 + t) + 0.5 * np.sin(22 * y + 6 * lean)
        scene = over(scene, inside, CYPRESS, tone, upward, np.full_like(x, 0.75))
    return scene
