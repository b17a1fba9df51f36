"""Pines on a lake under a large sun: a woodcut in black with red and ochre blocks, after the Expressionists.

Only the light is carved. Each form has a phase, whose level lines are the cuts of the gouge, and a tone, the
amount of wood that they remove. Ink stays where the ridge between two cuts is higher than the tone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from impasto.samples import brush
from impasto.samples.brush import Array, Mask

__all__ = ["woodcut"]

RATIO = 1.25
PAPER, INK, RED, OCHRE = brush.palette("ece0c4 1c1815 b5402a d9a25a")


class Cut(NamedTuple):
    """The block's phase in cuts, tone in [0, 1], and tint (1 red, 2 ochre, 0 none), each (H, W)."""

    phase: Array
    tone: Array
    tint: Array


def woodcut(size: int, rng: np.random.Generator) -> Array:
    """Cut the block and print it; (H, W, 3)."""
    shape = brush.picture_size(size, RATIO)
    big = (shape[0] * 2, shape[1] * 2)
    x, y = brush.pixel_centres(big)
    wobble = 0.004 * brush.noise(rng, big, 9) + 0.0012 * brush.noise(rng, big, 42)
    cut = sky(x + wobble, y + wobble)
    cut = mountains(x, y, wobble, cut)
    cut = lake(rng, x, y, wobble, cut)
    cut = shore(rng, x, y, wobble, cut)
    for tree in PINES:
        cut = pine(rng, x, y, wobble, cut, *tree)
    return brush.downsample(print_block(rng, x, y, cut), shape)


def over(cut: Cut, inside: Mask, phase: Array, tone: Array, tint: float = 0.0) -> Cut:
    """The block with another form where `inside` is true."""
    return Cut(
        np.where(inside, phase, cut.phase), np.where(inside, tone, cut.tone), np.where(inside, tint, cut.tint)
    )


SUN = (0.47, 0.285, 0.095)  # x, y, radius
PEAKS = (  # x and y of the top, slope, pitch of the cuts; far to near
    (0.52, 0.455, 0.75, 0.0100),
    (0.08, 0.400, 0.62, 0.0105),
    (0.715, 0.375, 0.66, 0.0110),
    (0.305, 0.455, 0.66, 0.0110),
    (0.60, 0.520, 0.50, 0.0095),
    (0.86, 0.535, 0.46, 0.0095),
    (0.17, 0.540, 0.44, 0.0095),
    (0.43, 0.565, 0.34, 0.0090),
)
PINES = (  # x of the foot, y of the foot, height, half width
    (0.655, 0.80, 0.40, 0.062),
    (0.735, 0.86, 0.60, 0.085),
    (0.115, 0.90, 0.76, 0.105),
    (0.235, 0.93, 0.52, 0.075),
)


def sky(x: Array, y: Array) -> Cut:
    """The sun, rings around it, and rays that widen away from it."""
    r, turn = np.hypot(x - SUN[0], y - SUN[1]), np.arctan2(y - SUN[1], x - SUN[0])
    rays = turn * 46 / (2 * np.pi) + 1.1 * np.sin(r * 13)
    rings = (r - SUN[2]) / 0.0135
    beam = 0.5 + 0.5 * np.cos(turn * 18 + 1.2 * np.sin(9 * r))
    tone = 0.80 - 0.95 * (r - SUN[2]) + 0.22 * (beam - 0.5)
    near = r < SUN[2] + 0.075
    phase = np.where(near, rings, np.where(r < 0.33, rays, rays * 2))
    cut = Cut(
        phase,
        np.where(near, 0.74 - 1.5 * (r - SUN[2]), tone),
        np.where(r < SUN[2] + 0.16 + 0.02 * beam, 2.0, 0.0),
    )
    return over(
        cut,
        r < SUN[2],
        (y - SUN[1]) / 0.013 + 0.6 * np.sin(26 * x),
        0.985 - 0.3 * (y - SUN[1] + 0.06) / SUN[2],
        1.0,
    )


def mountains(x: Array, y: Array, wobble: Array, cut: Cut) -> Cut:
    """Peaks in front of each other: the lit flank is cut along its slope, the other left nearly black."""
    jag = 0.008 * np.sin(61 * x + 3 * np.sin(23 * x)) + 3.2 * wobble
    for at, top, slope, pitch in PEAKS:
        depth = y - top - slope * np.abs(x - at) - jag
        side = x - at - 0.30 * depth + 0.016 * np.sin(52 * depth + 9 * at) + 2 * wobble
        lit = side < 0.004 if at > SUN[0] else side > -0.004
        lean = 1.0 if at > SUN[0] else -1.0
        phase = np.where(lit, y + lean * 0.75 * x, y - lean * 1.25 * x) / pitch
        tone = np.where(lit, 0.88 - 2.4 * depth, 0.20 - 0.8 * depth) + 10 * wobble
        cut = over(cut, depth > 0, phase, np.clip(tone, 0.06, 0.9))
        cut = over(cut, (depth > -0.004) & (depth < 0.0035), phase, np.zeros_like(x))
    return cut


def lake(rng: np.random.Generator, x: Array, y: Array, wobble: Array, cut: Cut) -> Cut:
    """Horizontal cuts, finer with distance, and the reflection of the sun."""
    horizon = 0.625
    depth = y - horizon
    waves = np.log1p(np.clip(depth, 0, 1) * 16) / 0.056 + 0.5 * np.sin(17 * x + 30 * depth) + 90 * wobble
    reflection = np.exp(-(((x - SUN[0] + 5 * wobble) / (0.035 + 0.32 * np.clip(depth, 0, 1))) ** 2))
    patchy = brush.noise(rng, (x.shape[0], x.shape[1]), 16, 4.0)
    tone = 0.36 + 0.52 * reflection + 0.13 * patchy - 0.5 * depth
    return over(cut, depth > 0, waves, np.clip(tone, 0.12, 0.94), 0.0)._replace(
        tint=np.where((depth > 0) & (reflection > 0.45), 2.0, np.where(depth > 0, 0.0, cut.tint))
    )


def shore(rng: np.random.Generator, x: Array, y: Array, wobble: Array, cut: Cut) -> Cut:
    """Two banks of grass, cut in tufts that lean with the wind."""
    for level, base in enumerate((0.86, 0.925)):
        edge = (
            base
            - 0.075 * np.cos(5.4 * (x - 0.05) + 0.5 * level) * (1 - 0.4 * level)
            + 0.006 * np.sin(90 * x)
            + 3 * wobble
        )
        depth = y - edge
        lean = x + 0.35 * depth + 0.02 * np.sin(30 * depth + 12 * x)
        tuft = brush.noise(rng, (x.shape[0], x.shape[1]), 22)
        tone = 0.62 - 3.6 * depth + 0.20 * tuft
        cut = over(cut, depth > 0, lean / 0.0115 + 0.4 * tuft, np.clip(tone, 0.05, 0.85))
        cut = over(cut, (depth > 0) & (depth < 0.005), lean, np.zeros_like(x))
    return cut


def pine(
    rng: np.random.Generator,
    x: Array,
    y: Array,
    wobble: Array,
    cut: Cut,
    foot: float,
    ground: float,
    tall: float,
    half: float,
) -> Cut:
    """A black pine with drooping boughs, whose needles are cut on the side towards the sun.

    `foot` and `ground` are x and y of its foot, `tall` its height and `half` half its width, in spans.
    """
    t = (y - (ground - tall)) / tall
    inside = (t > 0) & (t < 0.93)
    boughs = 9 + 30 * (tall - 0.4)
    across = (x - foot + 1.2 * wobble) / (half * np.clip(t, 0.001, 1) ** 0.85 + 0.002)
    droop = t * boughs - 0.9 * np.abs(across) - 0.25 * np.sin(3 * across + foot * 40)
    saw = droop % 1
    body = inside & (np.abs(across) < 0.42 + 0.62 * saw**0.8)
    light = np.clip(0.5 + 0.75 * np.sign(SUN[0] - foot) * across, 0, 1)
    tone = np.where(saw < 0.62, 0.08, 0.0) + 0.66 * light * saw**1.3
    needles = (y * 0.55 - np.abs(x - foot) * 1.3) / 0.0085
    trunk = (np.abs(x - foot) < half * 0.10 * (0.4 + t)) & (t > 0.85) & (t < 1.0)
    cut = over(cut, trunk, (y + 0.3 * x) / 0.010, np.full_like(x, 0.16))
    halo = inside & (np.abs(across) < 0.50 + 0.66 * saw**0.8)
    cut = over(cut, halo, cut.phase, np.maximum(cut.tone, 0.93))
    return over(cut, body, needles, tone)


def print_block(rng: np.random.Generator, x: Array, y: Array, cut: Cut) -> Array:
    """Print black over the tint blocks: ridges between the cuts, stray marks in the hollows, uneven ink."""
    shape = (x.shape[0], x.shape[1])
    rough = 0.07 * brush.noise(rng, shape, 210) + 0.05 * brush.noise(rng, shape, 420)
    taper = 0.13 * brush.noise(rng, shape, 26) + rough
    ridge = np.abs((cut.phase % 1) * 2 - 1)
    ink = np.clip((ridge - cut.tone - taper * (0.25 + cut.tone)) * 9 + 0.5, 0, 1)
    stray_marks = (brush.noise(rng, shape, 120, 3.5) > 1.75) & (cut.tone > 0.55) & (ridge > 0.25)
    ink = np.maximum(ink, stray_marks * 0.92)
    edge = np.minimum(np.minimum(x, x.max() - x), np.minimum(y, y.max() - y)) + 0.0025 * brush.noise(
        rng, shape, 60
    )
    block, border = edge > 0.026, (edge > 0.018) & (edge <= 0.026)
    ink = np.where(block, ink, border)
    fibre = 0.016 * brush.noise(rng, shape, 320, 3.0) + 0.014 * brush.noise(rng, shape, 600)
    paper = PAPER * (1 + fibre)[..., None]
    slip = round(0.003 * max(shape))
    tint = np.roll(cut.tint, (slip, -slip), (0, 1)) * block
    grain = 0.88 + 0.09 * np.sin((x * 110 + 2.2 * brush.noise(rng, shape, 5)) * 2 * np.pi) * brush.noise(
        rng, shape, 7
    )
    cover = np.clip(grain + 0.10 * brush.noise(rng, shape, 330), 0, 1)
    paper = np.where((tint == 1)[..., None], brush.mix(paper, RED, cover), paper)
    paper = np.where((tint == 2)[..., None], brush.mix(paper, OCHRE, cover * 0.85), paper)
    starved = np.clip(
        0.97 - 0.10 * np.clip(brush.noise(rng, shape, 300) * 0.7 + brush.noise(rng, shape, 30) * 0.5, 0, 2),
        0,
        1,
    )
    return brush.mix(paper, INK, ink * starved)
