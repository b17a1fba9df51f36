"""A rose window in the manner of Chartres: coloured glass in lead, with daylight behind it.

The window is a function of polar coordinates: each ring of the tracery determines to which pane a point
belongs, and the colour of its glass. Lead lies wherever the pane changes. The glass has streaks and air
bubbles ("seeds") and is darker towards the lead, and light spreads a little over the edges of the lead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from impasto.samples import brush
from impasto.samples.brush import Array, Mask

__all__ = ["glass"]

RATIO = 1.0
GLASS = brush.palette("1a3aa8 0d1f6b 2f6fd0 b3122a 7a0a20 e0642a f2b92e fbe9a0 1f8a55 0f5a4a 6a2a86 dfe8e0")
BLUE, NIGHT, SKY, RUBY, WINE, ORANGE, AMBER, PEARL, GREEN, SEA, VIOLET, CLEAR = range(12)
TAU = 2 * np.pi


class Window(NamedTuple):
    """The number of the pane (any number) and the index of its glass in `GLASS` at each pixel, (H, W)."""

    pane: Array
    glass: Array


def glass(size: int, rng: np.random.Generator) -> Array:
    """Draw the window with light shining through it; (H, W, 3)."""
    shape = brush.picture_size(size, RATIO)
    big = (shape[0] * 2, shape[1] * 2)
    x, y = brush.pixel_centres(big)
    x, y = x - 0.5 + 0.0012 * brush.noise(rng, big, 14), y - 0.5 + 0.0012 * brush.noise(rng, big, 14)
    return brush.downsample(shine_through(rng, tracery(x, y), x, y), shape)


def tracery(x: Array, y: Array) -> Window:
    """The panes, from the corners inwards; `x` and `y` are relative to the centre."""
    r, turn = np.hypot(x, y), np.arctan2(y, x)
    window = spandrels(x, y)
    window = outer_ring(r, turn, window)
    window = medallions(x, y, r, turn, window)
    window = petals(r, turn, window)
    return heart(r, turn, window)


def over(window: Window, inside: Mask, pane: Array | float, kind: Array | int) -> Window:
    """The window with other panes where `inside` is true."""
    return Window(np.where(inside, pane, window.pane), np.where(inside, kind, window.glass))


def sector(turn: Array, count: int, shift: float = 0.0) -> tuple[Array, Array]:
    """For `count` equal sectors of a circle: the sector at each angle, and the angle from its middle."""
    at = turn / TAU * count + shift
    number = np.round(at)
    return np.asarray(number % count), np.asarray((at - number) * TAU / count)


def spandrels(x: Array, y: Array) -> Window:
    """The corners: a lattice of blue and ruby lozenges with a trefoil in each."""
    u, v = np.floor((x + y) * 15 + 0.5), np.floor((x - y) * 15 + 0.5)
    pane = 1000 + u * 50 + v
    window = Window(pane, np.where((u + v) % 2 == 0, BLUE, np.where(u % 3 == 0, RUBY, NIGHT)))
    a, b = np.abs(x) - 0.418, np.abs(y) - 0.418
    for k, at in enumerate((np.pi / 4, np.pi / 4 + TAU / 3, np.pi / 4 - TAU / 3)):
        leaf = np.hypot(a - 0.028 * np.cos(at), b - 0.028 * np.sin(at))
        corner = 10 * (x > 0) + 20 * (y > 0)
        window = over(window, leaf < 0.036, 5000 + k + corner, AMBER if k == 0 else GREEN)
        window = over(window, leaf < 0.018, 5100 + k + corner, RUBY if k == 0 else PEARL)
    return window


def outer_ring(r: Array, turn: Array, window: Window) -> Window:
    """Two borders of short panes, and twenty-four lancets."""
    number, _ = sector(turn, 96)
    window = over(
        window,
        r < 0.492,
        7000 + number,
        np.where(number % 4 == 0, AMBER, np.where(number % 2 == 0, RUBY, NIGHT)),
    )
    number, angle = sector(turn, 24)
    window = over(window, r < 0.472, 7200 + number, np.where(number % 2 == 0, RUBY, WINE))
    arch = 0.462 - 3.4 * np.abs(angle) ** 1.7
    slim = (r < arch) & (np.abs(angle) * r < 0.047)
    window = over(window, slim, 7300 + number, np.where(number % 2 == 0, BLUE, SEA))
    inner = (r < arch - 0.014) & (np.abs(angle) * r < 0.035)
    step = np.floor((r - 0.34) / 0.026)
    window = over(
        window,
        inner,
        7400 + number * 8 + step,
        np.where(step % 2 == 0, SKY, np.where(number % 2 == 0, BLUE, GREEN)),
    )
    bead = np.hypot(r - 0.425, angle * 0.42) < 0.0145
    return over(window, bead, 7800 + number, np.where(number % 2 == 0, AMBER, PEARL))


def medallions(x: Array, y: Array, r: Array, turn: Array, window: Window) -> Window:
    """Twelve roundels on a ruby ground, each with a quatrefoil and a star."""
    border, _ = sector(turn, 72)
    window = over(
        window,
        r < 0.366,
        8000 + border,
        np.where(border % 3 == 0, PEARL, np.where(border % 3 == 1, GREEN, AMBER)),
    )
    number, angle = sector(turn, 12)
    side = np.sign(angle)
    window = over(window, r < 0.350, 8100 + number * 2 + side, np.where(side > 0, RUBY, WINE))
    window = over(window, r < 0.232, 8150 + number * 2 + side, NIGHT)
    u, v = r * np.cos(angle) - 0.284, r * np.sin(angle)
    d, a = np.hypot(u, v), np.arctan2(v, u)
    window = over(
        window,
        d < 0.068,
        8200 + number * 12 + np.floor(a / TAU * 12),
        np.where(np.floor(a / TAU * 12) % 2 == 0, AMBER, ORANGE),
    )
    window = over(window, d < 0.056, 8400 + number * 4, BLUE)
    quarter, lean = sector(a, 4, 0.5)
    foil = np.hypot(d * np.cos(lean) - 0.026, d * np.sin(lean)) < 0.0215
    window = over(window, foil, 8500 + number * 4 + quarter, np.where(number % 2 == 0, SKY, GREEN))
    return over(
        window, d < 0.0175 + 0.004 * np.cos(8 * a), 8600 + number, np.where(number % 2 == 0, AMBER, RUBY)
    )


def petals(r: Array, turn: Array, window: Window) -> Window:
    """Twelve pointed petals around the heart, rotated by half a sector."""
    border, _ = sector(turn, 48)
    window = over(window, r < 0.214, 9000 + border, np.where(border % 2 == 0, AMBER, RUBY))
    number, angle = sector(turn, 12, 0.5)
    window = over(window, r < 0.200, 9100 + number, np.where(number % 2 == 0, NIGHT, VIOLET))
    t = np.clip((r - 0.062) / 0.132, 0, 1)
    for share, low, high, kinds in (
        (1.0, 0.0, 1.0, (RUBY, BLUE)),
        (0.68, 0.0, 0.86, (ORANGE, SKY)),
        (0.36, 0.12, 0.66, (AMBER, PEARL)),
    ):
        wide = share * 0.047 * np.sin(np.pi * t**0.75).clip(0) ** 0.8
        petal = (np.abs(angle) * r < wide) & (t > low) & (t < high)
        half = 1 if share == 0.68 else 0
        window = over(
            window,
            petal,
            9200 + round(40 * share) + number * 100 + half * np.sign(angle),
            np.where(number % 2 == 0, kinds[0], kinds[1]),
        )
    return window


def heart(r: Array, turn: Array, window: Window) -> Window:
    """An eight-petalled flower in the centre."""
    number, angle = sector(turn, 16)
    window = over(window, r < 0.072, 11000 + number, np.where(number % 2 == 0, GREEN, SEA))
    number, angle = sector(turn, 8)
    foil = np.hypot(r * np.cos(angle) - 0.038, r * np.sin(angle)) < 0.0165
    window = over(window, r < 0.056, 11100, NIGHT)
    window = over(window, foil, 11200 + number, np.where(number % 2 == 0, RUBY, PEARL))
    return over(window, r < 0.0205, 11300, AMBER)


def shine_through(rng: np.random.Generator, window: Window, x: Array, y: Array) -> Array:
    """Glass with streaks and seeds, line work painted on it, lead around it, and light behind it."""
    shape = (x.shape[0], x.shape[1])
    span = max(shape)
    pane = (window.pane * 16 + window.glass).astype(np.int32)
    inward = depth_of(pane) / span
    pane_variation = rng.normal(0, 1, (int(pane.max()) + 1, 4)).astype(np.float32)
    streak = brush.noise(rng, shape, 38, 3.0), brush.noise(rng, shape, 38), brush.noise(rng, shape, 240)
    lean = np.where(pane_variation[pane, 3] > 0, streak[0], streak[1])
    deep, bright = GLASS[window.glass.astype(int)] * 0.62, GLASS[window.glass.astype(int)] * 1.12 + 0.06
    glow = np.clip(inward / 0.014, 0, 1) ** 0.7
    tone = 0.18 + 0.55 * glow + 0.20 * lean + 0.13 * pane_variation[pane, 0] + 0.06 * streak[2]
    colour = brush.mix(deep, bright, np.clip(tone, 0, 1.25)) * (1 + 0.05 * pane_variation[pane, :3])
    colour = colour * (1 - 0.32 * line_work(x, y, inward))[..., None]
    seeds = brush.noise(rng, shape, 330) > 2.55
    colour = np.where(seeds[..., None], colour * 1.35 + 0.06, colour)
    light = 1.14 - 0.9 * ((x + 0.08) ** 2 + (y + 0.12) ** 2)
    return add_lead(rng, colour * light[..., None], inward, span)


def depth_of(pane: brush.Ints) -> Array:
    """Distance of each pixel to the edge of its pane, in pixels, computed at half resolution."""
    edge = (pane != np.roll(pane, 1, 0)) | (pane != np.roll(pane, 1, 1))
    H, W = edge.shape
    rough = edge.reshape(H // 2, 2, W // 2, 2).any((1, 3))
    depth = ndimage.distance_transform_edt(~rough).astype(np.float32) * 2
    return np.asarray(Image.fromarray(depth).resize((W, H), Image.Resampling.BILINEAR))


def line_work(x: Array, y: Array, inward: Array) -> Array:
    """Opacity (H, W) of the painted line work: a fine lozenge pattern, and a contour inside each pane."""
    u, v = np.sin((x + y) * 2 * np.pi * 82), np.sin((x - y) * 2 * np.pi * 82)
    diaper = np.clip(np.abs(u * v) * 2.2 - 0.9, 0, 1) * np.clip((inward - 0.006) * 300, 0, 1) * 0.7
    contour = np.exp(-(((inward - 0.0062) / 0.0011) ** 2)) * 0.8
    return np.asarray(np.maximum(diaper, contour))


def add_lead(rng: np.random.Generator, colour: Array, inward: Array, span: int) -> Array:
    """Add lead with a round profile around the panes, and light that spills over its edge."""
    shape = (colour.shape[0], colour.shape[1])
    half = 0.0027 * (1 + 0.16 * brush.noise(rng, shape, 60))
    lead = np.clip((half - inward) * span + 0.5, 0, 1)
    spill = ndimage.gaussian_filter(colour * (1 - lead)[..., None], (span / 160, span / 160, 0))
    colour = brush.mix(colour, np.broadcast_to(brush.palette("17171c")[0], colour.shape), lead)
    bulge = np.sqrt(np.clip(1 - (inward / half) ** 2, 0, 1)) * lead * span / 420
    colour = brush.light_relief(colour + 0.03 * lead[..., None], bulge, strength=0.8, gloss=0.25, blur=0.8)
    return np.asarray(colour + 0.20 * spill * (1 - 0.35 * lead)[..., None], np.float32)
