"""A great wave as a colour woodblock print, in the manner of Hokusai's sea pieces.

A breaker is a family of curves between its back and its hollow face, with tapering ribs of paler blue along
them to the crest. The crest breaks into foam: scallops with recursive claws. The nearer swells are covered
with scales (the pattern "seigaiha"). Each colour has its own block, printed a little out of register, with
wood grain and mottled ink.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from impasto.samples import brush
from impasto.samples.brush import Array

__all__ = ["wave"]

RATIO = 0.68
INKS = brush.palette("efe2c2 a8c4c8 5d8fae 2a5a88 16294c d8bd8e b9452e 8a9a9c e3cfa6")
PAPER, PALE, MIDDLE, PRUSSIAN, INDIGO, SAND, VERMILION, GREY, CLOUD = range(9)

Claw = tuple[Array, Array]  # the path of a claw (N, 2) and its width (N,)
Points = list[tuple[float, float]]


class Blocks:
    """The printing blocks: the index in `INKS` of each pixel, drawn in spans."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.span = max(shape)
        self.ink = Image.new("L", (shape[1], shape[0]), SAND)
        self.draw = ImageDraw.Draw(self.ink)

    def area(self, outline: Array, ink: int) -> None:
        """Fill an outline (N, 2)."""
        self.draw.polygon((outline * self.span).ravel().tolist(), fill=ink)

    def line(self, path: Array, width: float, ink: int = INDIGO, swell: float = 0.5) -> None:
        """Draw a line (N, 2) that is widest in the middle; `swell`, 0 to 1, is how much it tapers."""
        t = np.linspace(0, 1, len(path))
        press = (1 - swell) + swell * np.sin(np.pi * t) ** 0.7
        self.area(brush.ribbon(path, width * press), ink)

    def disc(self, x: float, y: float, radius: float, ink: int) -> None:
        """Fill a disc."""
        box = [
            (x - radius) * self.span,
            (y - radius) * self.span,
            (x + radius) * self.span,
            (y + radius) * self.span,
        ]
        self.draw.ellipse(box, fill=ink)


def wave(size: int, rng: np.random.Generator) -> Array:
    """Draw the blocks and print them; (H, W, 3)."""
    shape = brush.picture_size(size, RATIO)
    big = (shape[0] * 2, shape[1] * 2)
    blocks = Blocks(big)
    sky(rng, blocks)
    swells(rng, blocks)
    breaker(
        rng,
        blocks,
        back=[
            (-0.12, 0.66),
            (-0.02, 0.42),
            (0.06, 0.25),
            (0.17, 0.115),
            (0.31, 0.055),
            (0.45, 0.075),
            (0.555, 0.16),
            (0.595, 0.265),
        ],
        face=[
            (0.66, 0.70),
            (0.50, 0.635),
            (0.385, 0.545),
            (0.325, 0.44),
            (0.325, 0.34),
            (0.385, 0.265),
            (0.48, 0.245),
            (0.578, 0.285),
        ],
        ribs=13,
        claw=0.10,
    )
    breaker(
        rng,
        blocks,
        back=[(1.16, 0.66), (1.08, 0.50), (1.0, 0.40), (0.925, 0.365), (0.865, 0.39), (0.835, 0.435)],
        face=[(0.62, 0.70), (0.76, 0.655), (0.86, 0.60), (0.905, 0.54), (0.90, 0.48), (0.845, 0.452)],
        ribs=9,
        claw=0.05,
    )
    foreground(rng, blocks)
    return brush.downsample(print_blocks(rng, np.array(blocks.ink), big), shape)


def sky(rng: np.random.Generator, blocks: Blocks) -> None:
    """Banks of cloud, a low red sun and a far mountain."""
    blocks.disc(0.735, 0.255, 0.062, VERMILION)
    for x, y, wide in (
        (0.80, 0.13, 0.20),
        (0.62, 0.07, 0.16),
        (0.93, 0.22, 0.16),
        (0.70, 0.34, 0.24),
        (0.98, 0.33, 0.14),
        (0.02, 0.12, 0.12),
    ):
        t = np.linspace(0, 1, 50)
        bumps = np.abs(np.sin(t * np.pi * rng.integers(3, 6) + rng.uniform(0, 3)))
        top = y - 0.028 * np.sin(np.pi * t) ** 0.6 * (0.55 + 0.45 * bumps)
        low = y + 0.008 * np.sin(np.pi * t) ** 0.6
        across = x + (t - 0.5) * 2 * wide
        shape = np.vstack([np.stack([across, top], -1), np.stack([across, low], -1)[::-1]])
        blocks.area(shape, CLOUD)
    slope = brush.smooth_curve(
        [
            (0.50, 0.51),
            (0.60, 0.465),
            (0.665, 0.405),
            (0.68, 0.402),
            (0.695, 0.407),
            (0.76, 0.463),
            (0.87, 0.51),
        ]
    )
    blocks.area(slope, MIDDLE)
    snow = np.vstack(
        [
            slope[22:40],
            [
                [0.722, 0.452],
                [0.708, 0.437],
                [0.697, 0.458],
                [0.682, 0.438],
                [0.668, 0.46],
                [0.655, 0.437],
                [0.640, 0.452],
            ],
        ]
    )
    blocks.area(snow, PAPER)
    blocks.line(slope, 0.0035)


def swells(rng: np.random.Generator, blocks: Blocks) -> None:
    """Distant swells with broken stripes along their crests."""
    for level, base in enumerate((0.485, 0.53, 0.585)):
        x = np.linspace(-0.05, 1.05, 120)
        crest = base - (0.018 + 0.012 * level) * np.abs(np.sin(x * (9 - 2 * level) + 1.7 * level)) ** 1.5
        blocks.area(
            np.vstack([np.stack([x, crest], -1), [[1.05, 0.8], [-0.05, 0.8]]]),
            (MIDDLE, PRUSSIAN, PRUSSIAN)[level],
        )
        for k in range(1, 9):
            path = np.stack([x, crest + k * 0.011 * (1 + 0.3 * level) + 0.003 * np.sin(20 * x + k)], -1)
            start = rng.integers(0, 40)
            for begin in range(int(start), 110, 26):
                piece = path[begin : begin + int(rng.integers(16, 32))]
                if len(piece) > 4:
                    blocks.line(piece, 0.0045, (PALE, MIDDLE, PAPER)[k % 3], swell=1.0)
        blocks.line(np.stack([x, crest], -1), 0.0032, swell=0.0)


def breaker(
    rng: np.random.Generator, blocks: Blocks, back: Points, face: Points, ribs: int, claw: float
) -> None:
    """A curling wave between its back and its hollow face, which both run from the foot to the tip.

    `ribs` is the number of stripes, `claw` the length of the largest claws of foam in spans.
    """
    outer, inner = brush.smooth_curve(back, 160), brush.smooth_curve(face, 160)
    body = np.vstack([outer, inner[::-1]])
    blocks.area(body, PRUSSIAN)
    t = np.linspace(0, 1, 160)
    for k in range(ribs):
        at = (k + 0.75) / (ribs + 0.3)
        begin, end = int(rng.integers(0, 22)), int(rng.integers(118, 150))
        half = 0.34 / ribs * np.sin(np.pi * (t[begin:end] - t[begin]) / (t[end] - t[begin])) ** 0.55
        half = half * (1.0 if k % 2 else 0.62)
        low, high = (
            outer[begin:end] * (1 - at - s * half)[:, None] + inner[begin:end] * (at + s * half)[:, None]
            for s in (-1, 1)
        )
        ink = (PALE, MIDDLE, PAPER, MIDDLE)[k % 4]
        blocks.area(np.vstack([low, high[::-1]]), ink)
        middle = (low + high) / 2
        blocks.line(low, claw * 0.035, INDIGO, swell=0.8)
        if ink == PALE:
            blocks.line(middle[18:-12], claw * 0.03, MIDDLE, swell=1.0)
    blocks.line(outer, claw * 0.075)
    blocks.line(inner, claw * 0.075)
    foam(rng, blocks, outer, inner, claw)


def foam(rng: np.random.Generator, blocks: Blocks, outer: Array, inner: Array, claw: float) -> None:
    """The breaking crest: scallops along the lip, claws growing out of them, and spray."""
    t = np.linspace(0, 1, len(outer))
    (ax, ay), (bx, by) = outer[-1] - outer[len(outer) // 2], inner[-40] - outer[-40]
    turn = float(np.sign(ax * by - ay * bx))
    depth = np.clip((t - 0.34) / 0.5, 0, 1) ** 0.8 * 0.40
    lip = outer * (1 - depth)[:, None] + inner * depth[:, None]
    start = int(0.36 * len(t))
    discs: list[tuple[float, float, float]] = []
    claws: list[Claw] = []
    for i in range(start, len(t), 2):
        grow = 0.15 + 0.85 * (t[i] - 0.36) / 0.64
        for share in (0.0, 0.5, 0.95):
            x, y = outer[i] * (1 - share) + lip[i] * share
            discs.append((float(x), float(y), claw * grow * rng.uniform(0.13, 0.24)))
    for i in range(start + 4, len(t) - 1, 6):
        grow = 0.30 + 0.70 * (t[i] - 0.36) / 0.64
        along = outer[i + 1] - outer[i - 1]
        inward = inner[i] - outer[i]
        heading = np.arctan2(inward[1], inward[0]) - turn * 0.55 + rng.normal(0, 0.16)
        claws += hook(rng, lip[i], heading, claw * grow * rng.uniform(0.8, 1.2), turn, 2)
        heading = np.arctan2(along[1], along[0]) - turn * rng.uniform(0.25, 0.7)
        claws += hook(rng, outer[i], heading, claw * grow * rng.uniform(0.5, 0.85), turn, 1)
    ahead = outer[-1] - outer[-8]
    for spread in (-0.75, -0.35, 0.05, 0.45):
        claws += hook(
            rng, outer[-1], np.arctan2(ahead[1], ahead[0]) + spread, claw * rng.uniform(0.95, 1.25), turn, 2
        )
    edge = claw * 0.045
    mass = np.vstack([outer[start:], lip[start:][::-1]])
    for x, y, r in discs:
        blocks.disc(x, y, r + edge, INDIGO)
    for path, width in claws:
        blocks.area(brush.ribbon(path, width + 2 * edge), INDIGO)
    blocks.area(mass, PAPER)
    for x, y, r in discs:
        blocks.disc(x, y, r, PAPER)
    for path, width in claws:
        blocks.area(brush.ribbon(path, width), PAPER)
    for x, y, r in discs[::2]:
        a = np.linspace(0.2, 2.4, 9) + rng.uniform(0, 6)
        blocks.line(
            np.stack([x + 0.8 * r * np.cos(a), y + 0.8 * r * np.sin(a)], -1), claw * 0.035, PALE, swell=1.0
        )
    for path, width in claws:
        if width[0] > claw * 0.13:
            blocks.line(path[1:-4], claw * 0.055, PALE, swell=0.9)
    spray(rng, blocks, outer, claw, turn)


def hook(
    rng: np.random.Generator, root: Array, heading: float, length: float, turn: float, depth: int
) -> list[Claw]:
    """A curling claw of foam, with smaller claws on its back down to `depth` levels."""
    s = np.linspace(0, 1, 16)
    bend = turn * rng.uniform(1.5, 2.3)
    theta = heading + bend * (s**1.4 - 0.22)
    step = length / 15
    path = root + np.cumsum(np.stack([np.cos(theta), np.sin(theta)], -1) * step, 0)
    width = length * 0.30 * np.clip(1 - s, 0.02, 1) ** 0.75
    claws: list[Claw] = [(path, width)]
    if depth:
        for at in (4, 7, 10):
            for side in (-1.0, 1.0) if at == 7 else (-1.0,):
                out = theta[at] + side * turn * rng.uniform(0.7, 1.1)
                claws += hook(rng, path[at], out, length * (0.5 - 0.022 * at), turn, depth - 1)
    return claws


def spray(rng: np.random.Generator, blocks: Blocks, outer: Array, claw: float, turn: float) -> None:
    """Drops of spray around the crest."""
    for _ in range(230):
        i = int(len(outer) * (1 - 0.6 * rng.uniform() ** 1.6)) - 1
        away = np.abs(rng.normal(0, 1.0)) * claw * 1.7 + claw * 0.2
        a = rng.uniform(0, 2 * np.pi)
        x, y = outer[i] + away * np.array([np.cos(a), np.sin(a)])
        r = claw * (0.011 + 0.036 * rng.uniform() ** 3)
        blocks.disc(x, y, r + claw * 0.012, INDIGO)
        blocks.disc(x, y, r, PAPER)


def foreground(rng: np.random.Generator, blocks: Blocks) -> None:
    """The nearest swells, covered with scales and edged with foam."""
    x = np.linspace(-0.05, 1.05, 160)
    for level, (base, lift) in enumerate(((0.585, 0.10), (0.635, 0.035))):
        peak = np.exp(-(((x - 0.20) / 0.13) ** 2)) * lift * (1 - level) + 0.02 * np.sin(7 * x + 2 + 3 * level)
        crest = np.stack([x, base - peak], -1)
        scales(blocks, crest, 0.019 + 0.013 * level)
        blocks.line(crest, 0.005, swell=0.1)
        lace(rng, blocks, crest, 0.020 + 0.008 * level)


def scales(blocks: Blocks, crest: Array, radius: float) -> None:
    """Overlapping rings like fish scales ("seigaiha") below a crest, in rows that follow it."""
    W, H = blocks.ink.size
    x, y = brush.pixel_centres((H, W))
    down = y - np.interp(x[0], crest[:, 0], crest[:, 1])[None].astype(np.float32)
    ring = np.full((H, W), -1, np.float32)
    first = np.floor(down / (radius / 2)).astype(np.int32)
    for k in range(3):  # lower scales lie on top, so they are drawn last
        row = first + k
        cx = (np.round((x - row % 2 * radius) / (2 * radius)) * 2 + row % 2) * radius
        d = np.hypot(x - cx, down - row * radius / 2) / radius
        ring = np.where(d < 1, d, ring)
    bands = np.array(
        [INDIGO, PAPER, PRUSSIAN, PALE, PRUSSIAN, MIDDLE, PRUSSIAN, PAPER, INDIGO, INDIGO], np.uint8
    )
    ink = bands[np.clip(ring * 10, 0, 9).astype(np.int32)]
    blocks.ink.paste(Image.fromarray(np.where(down > 0, ink, np.array(blocks.ink))))


def lace(rng: np.random.Generator, blocks: Blocks, crest: Array, claw: float) -> None:
    """A fringe of foam along a swell's crest."""
    hooks = []
    for i in range(3, len(crest) - 3, 2):
        if rng.uniform() < 0.85:
            heading = rng.uniform(-0.5, 0.9)
            hooks += hook(rng, crest[i], heading, claw * rng.uniform(0.6, 1.3), 1.0, 1)
    for path, width in hooks:
        blocks.area(brush.ribbon(path, width + claw * 0.13), INDIGO)
    for path, width in hooks:
        blocks.area(brush.ribbon(path, width), PAPER)


def print_blocks(rng: np.random.Generator, ink: NDArray[np.uint8], shape: tuple[int, int]) -> Array:
    """Print the blocks a little out of register: graded sky ("bokashi"), wood grain and mottled ink."""
    span = max(shape)
    colour = INKS[ink]
    shifted = np.roll(ink, (round(span * 0.0007), round(span * 0.0011)), (0, 1))
    is_indigo = ink == INDIGO
    colour = np.where((is_indigo | (shifted == INDIGO))[..., None], colour, INKS[shifted])
    _, y = brush.pixel_centres(shape)
    is_sky = (ink == SAND) | (ink == CLOUD)
    fade = np.clip(1 - y / 0.20, 0, 1) ** 1.4 * 0.85
    colour = np.where(
        is_sky[..., None], brush.mix(colour, INKS[PRUSSIAN], fade * np.where(ink == CLOUD, 0.5, 1)), colour
    )
    glow = np.clip((y - 0.25) / 0.25, 0, 1) * 0.55
    colour = np.where((ink == SAND)[..., None], brush.mix(colour, brush.palette("dc9a6c")[0], glow), colour)
    warp = brush.noise(rng, shape, 6, 3.0)
    rings = np.sin((y * 95 + 2.6 * warp + 0.8 * brush.noise(rng, shape, 24, 6.0)) * 2 * np.pi)
    grain = 0.6 * rings + 0.8 * brush.noise(rng, shape, 420, 14.0)
    mottle = brush.noise(rng, shape, 130) + 0.7 * brush.noise(rng, shape, 380)
    ink_share = np.where(ink == PAPER, 0.35, 1.0).astype(np.float32)
    wear = ink_share * (0.040 * grain + 0.030 * mottle) * np.where(ink == INDIGO, 1.3, 1.0)
    fibre = 0.014 * brush.noise(rng, shape, 300, 4.0) + 0.012 * brush.noise(rng, shape, 500)
    lighter = brush.mix(colour, INKS[PAPER], np.clip(wear * 1.6, 0, 1))
    out = lighter * (1 + np.minimum(wear, 0.05) + fibre)[..., None]
    return np.asarray(ndimage.gaussian_filter(out, (0.5, 0.5, 0)), np.float32)
