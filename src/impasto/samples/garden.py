"""A tree of spirals over a flower garden on gold leaf, in the manner of Klimt's golden friezes.

A bough is a path whose curvature grows along its length until it coils; smaller boughs grow from larger
ones. Leaves and eyes hang on them. Rosettes fill the ground by dart throwing (Cook 1986). The gold leaf is
laid in squares, with fine spirals pressed into it, and lit from the side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from impasto.samples import brush
from impasto.samples.brush import Array

__all__ = ["garden"]

RATIO = 1.0
GOLD = brush.palette("8a5f1e b98428 d9a93c ecc866 f8e3a0")
BARK = brush.palette("2a1a12 5a371a 8a5a24")
JEWELS = brush.palette("b23a2c 1f6f6a 2f4a94 e8dcc0 5a2f63 4f7a3a d9713a 7fb5a8")
BLACK, WHITE, BRONZE, PALE = brush.palette("1c1512 f2e8d0 9a6a22 f6dc90")


Bough = tuple[Array, Array]  # path (N, 2) and width (N,)


class Panel(NamedTuple):
    """Two drawings of the same size: the colours, and the relief. `span` is the long side in pixels."""

    colour: ImageDraw.ImageDraw
    relief: ImageDraw.ImageDraw
    span: int

    def area(self, outline: Array, colour: Array, raised: int) -> None:
        """Fill an outline (N, 2) in spans; `raised` 0 to 255 is its height."""
        flat = (outline * self.span).ravel().tolist()
        self.colour.polygon(flat, fill=tuple(int(255 * c + 0.5) for c in colour))
        self.relief.polygon(flat, fill=raised)


def garden(size: int, rng: np.random.Generator) -> Array:
    """Draw a tree and a garden on gold leaf; (H, W, 3)."""
    shape = brush.picture_size(size, RATIO)
    big = (shape[0] * 2, shape[1] * 2)
    ground = (np.clip(gold_leaf(rng, big), 0, 1) * 255).astype(np.uint8)
    picture, height = Image.fromarray(ground), Image.new("L", (big[1], big[0]), 90)
    panel = Panel(ImageDraw.Draw(picture), ImageDraw.Draw(height), max(big))
    press_spirals(rng, panel)
    tree(rng, panel)
    flowers(rng, panel)
    canvas = np.asarray(picture, np.float32) / 255
    return brush.downsample(light_and_wear(rng, canvas, np.asarray(height, np.float32) / 255), shape)


def gold_leaf(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Gold leaf in squares, mottled, and darker towards the edges of the picture."""
    x, y = brush.pixel_centres(shape)
    across, down = (
        np.floor(x * 13 + 0.02 * brush.noise(rng, shape, 40)),
        np.floor(y * 13 + 0.02 * brush.noise(rng, shape, 40)),
    )
    leaf_tone = rng.normal(0, 1, (32, 32))[down.astype(int) % 32, across.astype(int) % 32]
    seam = np.minimum(np.abs((x * 13) % 1 - 0.5), np.abs((y * 13) % 1 - 0.5))
    cloud = (
        0.6 * brush.noise(rng, shape, 7)
        + 0.35 * brush.noise(rng, shape, 60)
        + 0.35 * brush.noise(rng, shape, 260)
    )
    vignette = ((x - 0.5) ** 2 + (y - 0.45) ** 2) * 0.55
    tone = 0.56 + 0.05 * leaf_tone + 0.075 * cloud - vignette + 0.05 * (seam > 0.485)
    return brush.ramp(GOLD, tone)


def coil(start: Array, heading: float, length: float, whorl: float, count: int = 90) -> Array:
    """A path (count, 2) that begins straight and coils; the sign of `whorl` is the direction of the coil.

    Its curvature grows as in a logarithmic spiral of finite length.
    """
    t = np.linspace(0, 1, count)
    theta = heading + whorl * np.cumsum(t**0.8 / (1 - 0.94 * t)) / count
    step = np.stack([np.cos(theta), np.sin(theta)], -1) * length / count
    return np.asarray(start + np.cumsum(step, 0))


def press_spirals(rng: np.random.Generator, panel: Panel) -> None:
    """Small spirals pressed into the gold, all over the picture."""
    xs, ys = brush.scatter(rng, RATIO, 330)
    for x, y in zip(xs, ys, strict=True):
        size, sense = rng.uniform(0.14, 0.22), rng.choice([-1, 1])
        path = coil(np.array([x, y]), rng.uniform(0, 6.28), size, sense * rng.uniform(8, 9.5), 64)
        width = np.linspace(0.0042, 0.0016, len(path))
        panel.area(brush.ribbon(path + 0.0012, width), BRONZE if rng.uniform() < 0.7 else BARK[2], 50)
        panel.area(brush.ribbon(path, width * 0.7), PALE if rng.uniform() < 0.5 else GOLD[2], 150)


def tree(rng: np.random.Generator, panel: Panel) -> None:
    """The trunk and its boughs, widest first, then what hangs on them."""
    trunk = brush.smooth_curve([(0.46, 0.95), (0.485, 0.80), (0.503, 0.68), (0.497, 0.60), (0.50, 0.53)], 80)
    boughs: list[Bough] = [(trunk, np.linspace(0.10, 0.06, 80) + 0.04 * np.linspace(1, 0, 80) ** 6)]
    for at, heading, length, whorl in (
        (78, -1.95, 0.92, -7.8),
        (78, -1.15, 0.92, 7.8),
        (74, -2.62, 1.06, 7.2),
        (74, -0.52, 1.06, -7.2),
        (66, -2.90, 1.02, -7.4),
        (66, -0.24, 1.02, 7.4),
        (46, 3.05, 0.84, 7.4),
        (48, 0.10, 0.84, -7.4),
        (79, -1.57, 0.66, 7.8),
    ):
        boughs += bough(rng, trunk[at], heading, length, whorl, 2)
    boughs.sort(key=lambda b: -float(b[1][0]))
    for path, width in boughs:
        panel.area(brush.ribbon(path, width + 0.007), BARK[0], 130)
    for path, width in boughs:
        panel.area(brush.ribbon(path, width), BARK[1], 190)
        panel.area(brush.ribbon(path, width * 0.62), GOLD[1], 215)
    for path, width in boughs:
        inlay(rng, panel, path, width)
    for path, width in boughs[1:]:
        hang(rng, panel, path, width)


def bough(
    rng: np.random.Generator, start: Array, heading: float, length: float, whorl: float, depth: int
) -> list[Bough]:
    """A coiling bough, with smaller ones on its outer side down to `depth` levels."""
    whorl *= rng.uniform(0.95, 1.05)
    path = coil(start, heading, length * rng.uniform(0.95, 1.05), whorl, 150)
    width = length * 0.030 * np.linspace(1, 0.22, 150) ** 0.9 + 0.0015
    boughs: list[Bough] = [(path, width)]
    if depth:
        for at in (26, 44, 60, 76) if depth == 2 else (34, 58):
            step = path[at + 1] - path[at - 1]
            away = np.arctan2(step[1], step[0]) - np.sign(whorl) * rng.uniform(0.3, 0.55)
            boughs += bough(rng, path[at], away, length * (0.56 - 0.0014 * at), -whorl, depth - 1)
    return boughs


def inlay(rng: np.random.Generator, panel: Panel, path: Array, width: Array) -> None:
    """Short bars along a bough, in black, white, brown and gold."""
    if width[0] < 0.008:
        return
    distances = np.cumsum(np.hypot(*np.gradient(path, axis=0).T))
    spots = np.arange(0.006, distances[-1] * 0.93, 0.0105)
    step = np.gradient(path, axis=0)
    for d in spots:
        i = int(np.searchsorted(distances, d))
        ahead = step[i] / np.hypot(*step[i])
        side = np.array([-ahead[1], ahead[0]])
        half = width[i] * 0.26
        ink = (BLACK, BARK[0], GOLD[4], BARK[1], JEWELS[3], GOLD[0])[rng.integers(6)]
        lean = rng.uniform(-0.4, 0.4)
        line = path[i] + np.outer(
            np.linspace(-1, 1, 5), side * half * rng.uniform(0.5, 1) + ahead * half * lean
        )
        panel.area(brush.ribbon(line, np.full(5, rng.uniform(0.002, 0.0052))), ink, 240)


def hang(rng: np.random.Generator, panel: Panel, path: Array, width: Array) -> None:
    """Hang leaves beside a bough, and now and then an eye."""
    size = float(np.clip(width[0] * 0.55, 0.008, 0.016))
    for at in rng.choice(np.arange(20, 92), 3 if width[0] > 0.01 else 2, replace=False):
        step = path[at + 1] - path[at - 1]
        ahead = step / np.hypot(*step)
        side = np.array([-ahead[1], ahead[0]]) * rng.choice([-1, 1])
        spot = path[at] + side * (width[at] * 0.5 + size * 0.8)
        jewel = JEWELS[rng.integers(len(JEWELS))]
        if rng.uniform() < 0.12:
            eye(panel, spot, ahead, size * 0.85, jewel)
        else:
            tip, half = spot + side * size * 1.4, ahead * size * 0.62
            base = spot - side * size * 0.8
            panel.area(np.stack([base + half * 1.35, tip + side * 0.004, base - half * 1.35]), BARK[0], 150)
            panel.area(np.stack([base + half, tip, base - half]), jewel, 220)
            panel.area(
                np.stack([base + half * 0.4, spot + side * size * 0.5, base - half * 0.4]), GOLD[3], 250
            )


def ring(centre: Array, radius: float) -> Array:
    """The outline of a circle, (28, 2)."""
    a = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.asarray(centre + radius * np.stack([np.cos(a), np.sin(a)], -1))


def eye(panel: Panel, centre: Array, ahead: Array, size: float, iris: Array) -> None:
    """An eye of Horus, reduced to an almond and two rings, along its bough."""
    t = np.linspace(-1, 1, 14)
    side = np.array([-ahead[1], ahead[0]])
    for share, colour, raised in ((1.25, BARK[0], 150), (1.0, GOLD[3], 235), (0.76, WHITE, 215)):
        lid = np.outer(t, ahead) * 1.9, np.outer((1 - t**2) ** 0.8, side) * 0.95
        panel.area(
            centre + size * share * np.vstack([lid[0] + lid[1], (lid[0] - lid[1])[::-1]]), colour, raised
        )
    panel.area(ring(centre, size * 0.55), iris, 225)
    panel.area(ring(centre, size * 0.25), BLACK, 250)


def flowers(rng: np.random.Generator, panel: Panel) -> None:
    """The garden: rosettes at random positions on a mound, large ones first, without overlaps."""
    count = 9000
    x = rng.uniform(-0.02, 1.02, count)
    y = rng.uniform(0.66, 1.03, count)
    top = 0.775 - 0.06 * np.cos((x - 0.5) * 5.6) + 0.035 * np.sin(9 * x + 1)
    x, y = x[y > top], y[y > top]
    bank = np.linspace(-0.05, 1.05, 90)
    edge = 0.77 - 0.06 * np.cos((bank - 0.5) * 5.6) + 0.035 * np.sin(9 * bank + 1)
    mound = np.vstack([np.stack([bank, edge], -1), [[1.05, 1.1], [-0.05, 1.1]]])
    panel.area(mound - np.array([0, 0.006]), BARK[0], 120)
    panel.area(mound, JEWELS[5] * 0.55 + BARK[0] * 0.25, 130)
    placed = np.zeros((0, 3))
    for i, (px, py) in enumerate(zip(x, y, strict=True)):
        share = i / len(x)
        radius = 0.034 - 0.029 * share**0.30 + 0.004 * rng.uniform()
        room = np.hypot(placed[:, 0] - px, placed[:, 1] - py) - placed[:, 2]
        radius = min(radius, float(room.min()) - 0.001) if len(placed) else radius
        if radius > 0.0036:
            placed = np.vstack([placed, [px, py, radius]])
    for px, py, radius in placed:
        rosette(rng, panel, np.array([px, py]), radius)


def rosette(rng: np.random.Generator, panel: Panel, centre: Array, radius: float) -> None:
    """A flower from above: petals or rings, in three jewel colours."""
    first, second, third = JEWELS[rng.choice(len(JEWELS), 3, replace=False)]
    panel.area(ring(centre, radius), BARK[0], 110)
    if radius > 0.013 and rng.uniform() < 0.6:
        petals = int(rng.integers(6, 10))
        for a in np.arange(petals) * 2 * np.pi / petals + rng.uniform(0, 1):
            away = np.array([np.cos(a), np.sin(a)])
            panel.area(ring(centre + away * radius * 0.60, radius * 0.34), first, 205)
            panel.area(ring(centre + away * radius * 0.62, radius * 0.17), second, 230)
        panel.area(ring(centre, radius * 0.36), BARK[0], 150)
        panel.area(ring(centre, radius * 0.30), GOLD[3], 245)
        panel.area(ring(centre, radius * 0.14), third, 250)
        return
    for share, colour, raised in (
        (0.90, first, 190),
        (0.66, GOLD[3], 230),
        (0.52, second, 205),
        (0.26, WHITE if rng.uniform() < 0.5 else third, 245),
    ):
        panel.area(ring(centre, radius * share), colour, raised)


def light_and_wear(rng: np.random.Generator, canvas: Array, relief: Array) -> Array:
    """Light the relief, with a hammered surface and uneven paint."""
    shape = (canvas.shape[0], canvas.shape[1])
    span = max(shape)
    height = ndimage.gaussian_filter(relief, span / 1400) * span / 150
    hammered = 0.10 * brush.noise(rng, shape, 170) + 0.06 * brush.noise(rng, shape, 420)
    uneven = (
        0.05 * brush.noise(rng, shape, 110)
        + 0.05 * brush.noise(rng, shape, 380)
        + 0.03 * brush.noise(rng, shape, 30)
    )
    return brush.light_relief(
        canvas * (1 + uneven)[..., None], height + hammered * span / 200, strength=0.55, gloss=0.35, blur=0.7
    )
