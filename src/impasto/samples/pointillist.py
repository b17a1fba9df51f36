"""A Sunday on the river in dots of pure colour, after Seurat and Signac.

The landscape is planned as an ordinary picture. Each dot then gets one of two dozen pure pigments at random,
with a probability that falls with its distance from the local colour, or sometimes the complementary colour.
Seen from a distance the dots mix again (Rood 1879, "optical mixture").
"""

from __future__ import annotations

import numpy as np

from impasto.samples import brush
from impasto.samples.brush import Array, Mask

__all__ = ["pointillist"]

RATIO = 0.7
PIGMENTS = brush.palette(
    "fdf6dc fbe7a1 f6cf55 f0a93c e8803a d9573a c23b4a e7a0a8 f2c9c0 b98bb8 8a68a8 5a4a94"
    " 3a4a98 3f6fb4 6d9cd0 a8c8e4 d5e4ee 4f9fa0 8fc3ae 3f8a5c 79ae54 b6c854 dfe08a 2c5a48 2b2f5c 6b3f4a"
)
SKY = brush.palette("5b86c4 86abd8 b5c6e0 e3cbd0 f7d3a0 f9c574")
WATER = brush.palette("e2c8a8 9fb4d0 6f98c8 4c78b4 345a9c")
GRASS = brush.palette("e8dc74 c0cc58 8cb852 58985a 3a7a64 345a78")
LEAVES = brush.palette("d6d060 8fb84e 4f9050 2f6850 2c4468")
HORIZON = 0.275


def pointillist(size: int, rng: np.random.Generator) -> Array:
    """Paint layers of dots, coarse to fine; (H, W, 3)."""
    shape = brush.picture_size(size, RATIO)
    big = (shape[0] * 2, shape[1] * 2)
    plan = landscape(rng)
    mark = brush.bristles(rng)
    canvas = np.empty((*big, 3), np.float32)
    canvas[:] = brush.palette("e6d6b4")[0]
    height = np.zeros(big, np.float32)
    for count, width, stretch, purity in (
        (2400, 0.021, 2.6, 0.15),
        (8000, 0.0112, 1.4, 0.45),
        (14000, 0.0076, 1.1, 0.7),
        (9000, 0.0052, 1.0, 0.85),
    ):
        x, y = brush.scatter(rng, RATIO, count)
        brush.paint_strokes(
            canvas,
            height,
            dots(rng, plan, x, y, width, stretch, purity),
            mark,
            bulge=2.0,
            streak=0.02,
            ridge=0.2,
        )
    canvas = brush.light_relief(canvas, height, strength=0.08, gloss=0.0, blur=0.8)
    return brush.downsample(canvas, shape)


def dots(
    rng: np.random.Generator, plan: Array, x: Array, y: Array, width: float, stretch: float, purity: float
) -> brush.Strokes:
    """Dots at (x, y); `purity` is the share of a pure pigment in their colour, against the local colour."""
    n = x.size
    local = brush.sample_at(plan, x, y)
    pure = choose_pigments(rng, local)
    colour = (brush.mix(local, pure, purity) + rng.normal(0, 0.012, (n, 3))).astype(np.float32)
    wide = (width * rng.uniform(0.8, 1.2, n)).astype(np.float32)
    angle = (0.5 * np.sin(9 * x + 7 * y) + rng.normal(0, 0.35, n)).astype(np.float32)
    still = np.zeros(n, np.float32)
    return brush.Strokes(x, y, angle, still, wide * stretch, wide, colour, colour)


def choose_pigments(rng: np.random.Generator, local: Array) -> Array:
    """A random pigment for each local colour (N, 3), such that many dots together approximate it.

    One dot in eleven gets the complementary colour instead, which makes shadows livelier.
    """
    n = len(local)
    channel_weights = np.array([0.95, 1.1, 0.9])
    a, b = local * channel_weights, PIGMENTS * channel_weights
    distance = (a**2).sum(-1)[:, None] + (b**2).sum(-1) - 2 * a @ b.T
    scores = -distance / 0.016 + rng.gumbel(0, 1, distance.shape)
    pure = PIGMENTS[np.argmax(scores, 1)]
    light = local.mean(-1, keepdims=True)
    complementary = np.clip(light + 1.4 * (light - local) + np.array([0.06, 0.0, 0.03]), 0, 1)
    return np.asarray(np.where(rng.uniform(0, 1, (n, 1)) < 0.09, complementary, pure))


def landscape(rng: np.random.Generator) -> Array:
    """The planned landscape, (H, W, 3)."""
    shape = brush.picture_size(480, RATIO)
    x, y = brush.pixel_centres(shape)
    soft = brush.noise(rng, shape, 7, 3.0), brush.noise(rng, shape, 22, 2.5), brush.noise(rng, shape, 40)
    plan = air(x, y, soft)
    plan = river(x, y, soft, plan)
    for boat in ((0.51, 0.345, 0.19), (0.635, 0.302, 0.085), (0.80, 0.375, 0.235), (0.415, 0.296, 0.06)):
        plan = sail(x, y, plan, *boat)
    plan = meadow(x, y, soft, plan)
    for tree in ((0.255, 0.43, 0.25, 0.07), (0.10, 0.54, 0.46, 0.135), (0.965, 0.64, 0.50, 0.10)):
        plan = tree_at(rng, x, y, plan, *tree)
    for figure in (
        (0.36, 0.60, 0.235, 1.0),
        (0.455, 0.595, 0.225, 0.0),
        (0.63, 0.535, 0.105, 1.0),
        (0.675, 0.53, 0.07, 0.0),
    ):
        plan = stroller(x, y, plan, *figure)
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, RATIO - y))
    border = brush.ramp(brush.palette("3a3f86 5a4a94 8a4a6a 3a5a94"), 0.5 + 0.5 * np.sin(9 * (x + y)))
    return put(plan, edge < 0.02, border)


def put(plan: Array, inside: Mask, colour: Array, share: float = 1.0) -> Array:
    """The plan with a colour, (3,) or (H, W, 3), mixed in by `share` where `inside` is true."""
    return np.asarray(
        np.where(inside[..., None], brush.mix(plan, np.broadcast_to(colour, plan.shape), share), plan),
        np.float32,
    )


def air(x: Array, y: Array, soft: tuple[Array, Array, Array]) -> Array:
    """Sky with long clouds and the sun, and in the distance hills and poplars."""
    plan = brush.ramp(SKY, y / HORIZON * 0.95 - 0.12 * (x - 0.6) + 0.05 * soft[0])
    cloud = np.clip(soft[0] + 0.55 * soft[1] - 0.35 + 0.6 * np.sin(26 * y + 3 * x), 0, 1) * np.clip(
        1.15 - y / HORIZON, 0, 1
    )
    plan = brush.mix(plan, brush.palette("fdeed6")[0], 0.8 * cloud)
    plan = brush.mix(plan, brush.palette("c9a4c4")[0], 0.55 * np.clip(np.roll(cloud, 14, 0) - cloud, 0, 1))
    r = np.hypot(x - 0.70, (y - 0.20) * 1.1)
    plan = brush.mix(plan, brush.palette("fff3b8")[0], np.exp(-((r / 0.13) ** 2)) * 0.9)
    plan = put(plan, r < 0.032, brush.palette("fff8d8")[0])
    hill = HORIZON - 0.052 - 0.03 * np.sin(7 * x + 0.6) - 0.012 * np.sin(17 * x)
    plan = put(plan, y > hill, brush.ramp(brush.palette("b9a0cc 8d9ccc 7fae9c"), (y - hill) * 14))
    poplar = (
        HORIZON
        - 0.012
        - 0.022 * np.abs(np.sin(31 * x)) ** 0.5
        - 0.03 * np.exp(-((np.sin(9 * x + 1.2) / 0.35) ** 2))
    )
    return put(
        plan, y > poplar, brush.ramp(brush.palette("b8c860 5f9a64 3f6a84"), (y - poplar) * 22 + 0.2 * soft[2])
    )


def river(x: Array, y: Array, soft: tuple[Array, Array, Array], plan: Array) -> Array:
    """Water: the mirrored sky, broken by ripples, with the reflection of the sun."""
    depth = (y - HORIZON) / 0.32
    ripple = 0.14 * np.sin(150 * np.sqrt(np.clip(depth, 0.001, 2)) + 4 * soft[1]) + 0.07 * soft[1]
    water = brush.ramp(WATER, 0.12 + depth * 0.75 + ripple)
    bank = np.exp(-(depth * 7)) * 0.75
    water = brush.mix(water, brush.palette("5f8a84")[0], bank)
    reflection = np.exp(
        -(((x - 0.70 + 0.012 * np.sin(120 * y)) / (0.035 + 0.10 * np.clip(depth, 0, 1))) ** 2)
    ) * (0.5 + 2.8 * ripple)
    water = brush.mix(water, brush.palette("fdeeb4")[0], np.clip(reflection * 1.3, 0, 1))
    return put(plan, y > HORIZON, water)


def sail(x: Array, y: Array, plan: Array, at: float, foot: float, tall: float) -> Array:
    """A sailing boat and its reflection: x of the mast, y of the waterline, and height in spans."""
    for sign, share in ((1.0, 1.0), (-1.0, 0.55)):
        up = sign * (foot - y) / tall + (0.0 if sign > 0 else 0.02)
        shake = 0.0 if sign > 0 else 0.012 * np.sin(180 * y)
        across = (x - at + shake) / tall
        main = (up > 0.12) & (up < 1) & (across > 0.01) & (across < 0.50 * np.clip(1 - up, 0, 1) ** 0.75)
        jib = (up > 0.12) & (up < 0.86) & (across < -0.012) & (across > -0.30 * (0.9 - up))
        hull = (up > -0.01) & (up < 0.10) & (across > -0.38 + 0.5 * (0.1 - up)) & (across < 0.46)
        plan = put(plan, main, brush.ramp(brush.palette("fffaf0 fdf0d8 f0c8b8"), across * 3), share)
        plan = put(plan, jib, brush.ramp(brush.palette("f6dcc8 dcb8d0 b0a0d0"), -across * 4), share)
        plan = put(plan, hull, brush.palette("7a3f4a")[0], share)
    return plan


def meadow(x: Array, y: Array, soft: tuple[Array, Array, Array], plan: Array) -> Array:
    """The near bank, sunlit, with flowers, darker towards the foreground."""
    edge = 0.37 + 0.20 * x**1.6 + 0.012 * np.sin(12 * x) + 0.004 * soft[1]
    depth = (y - edge) / 0.3
    plan = put(plan, (depth > -0.05) & (depth < 0.02), brush.palette("4a5f78")[0])
    sun = 0.30 + 0.16 * soft[0] + 0.10 * soft[1] + 0.07 * soft[2] + 0.15 * depth
    far = y - 0.605 + 0.05 * np.sin(5 * x + 2.2) + 0.006 * soft[1]
    dusk = np.clip(far * 40, 0, 1) * 0.55
    plan = put(plan, depth > 0, brush.ramp(GRASS, sun + dusk))
    flowers = (soft[2] > 1.5) & (depth > 0.1)
    return put(plan, flowers, brush.palette("f0b090")[0], 0.7)


def tree_at(
    rng: np.random.Generator,
    x: Array,
    y: Array,
    plan: Array,
    foot: float,
    ground: float,
    tall: float,
    wide: float,
) -> Array:
    """A tree of overlapping round masses, with its trunk and shadow, lit from above right.

    `foot` and `ground` are x and y of the foot of its trunk, `tall` and `wide` its size in spans.
    """
    shadow = np.hypot((x - foot + 0.10 * tall) / (wide * 1.5), (y - ground - 0.012) / 0.028) < 1
    plan = put(plan, shadow, brush.palette("3f7a70")[0], 0.8)
    trunk = np.abs(x - foot - 0.006 * np.sin(20 * y)) < 0.012 * tall / 0.4 * (
        1 + 1.5 * np.clip((y - ground + 0.04) / 0.04, 0, 1)
    )
    bark = brush.ramp(brush.palette("4a3a6a 7a4a50 c88a58"), 0.5 + (x - foot) / 0.024)
    plan = put(plan, trunk & (y < ground) & (y > ground - 0.75 * tall), bark)
    masses = 22
    turn, reach = rng.uniform(0, 2 * np.pi, masses), np.sqrt(rng.uniform(0, 1, masses))
    for a, r in sorted(
        zip(turn, reach, strict=True), key=lambda mass: np.sin(mass[0]) * mass[1], reverse=True
    ):
        cx = foot + wide * 0.85 * r * np.cos(a)
        cy = ground - 0.66 * tall + 0.30 * tall * r * np.sin(a)
        size = wide * rng.uniform(0.30, 0.46)
        box = np.ix_(np.abs(y[:, 0] - cy) < 1.1 * size, np.abs(x[0] - cx) < 1.1 * size)
        dx, dy = (x[box] - cx) / size, (y[box] - cy) / size
        inside = np.hypot(dx, dy) < 1 + 0.10 * np.sin(7 * np.arctan2(dy, dx) + 5 * r)
        tone = 0.46 - 0.30 * dx + 0.34 * dy - 0.25 * (foot + 0.2 * wide < cx)
        plan[box] = put(plan[box], inside, brush.ramp(LEAVES, tone))
    return plan


def stroller(x: Array, y: Array, plan: Array, at: float, ground: float, tall: float, parasol: float) -> Array:
    """A figure with a shadow: a woman with a parasol, or a man with a hat if `parasol` is 0.

    `at` and `ground` are x and y of its feet, `tall` its height in spans.
    """
    up, across = (ground - y) / tall, (x - at) / tall
    plan = put(plan, np.hypot((across + 0.42) / 0.5, up / 0.055) < 1, brush.palette("33487f")[0], 0.85)
    if parasol:
        skirt = (
            (up > 0)
            & (up < 0.56)
            & (np.abs(across + 0.05 * (0.56 - up)) < 0.075 + 0.23 * np.clip(0.56 - up, 0, 1) ** 0.8)
        )
        bodice = (up >= 0.54) & (up < 0.80) & (np.abs(across) < 0.07 + 0.10 * (up - 0.54))
        plan = put(plan, skirt, brush.ramp(brush.palette("3a3a84 7a4a94 c2506a f0a080"), 0.5 + 2.2 * across))
        plan = put(plan, bodice, brush.ramp(brush.palette("3a3a74 b04a5a f0a070"), 0.5 + 5 * across))
        shade = (np.hypot((across - 0.10) / 0.36, (up - 0.99) / 0.26) < 1) & (up > 0.99)
        ribs = 0.5 + 2.0 * (across - 0.10)
        plan = put(
            plan,
            shade,
            brush.ramp(brush.palette("b8503f e8803a fbe0a0"), ribs + 0.1 * np.sign(np.sin(across * 40))),
        )
        plan = put(
            plan, (np.abs(across - 0.10) < 0.012) & (up > 0.5) & (up < 1.2), brush.palette("4a2f4a")[0]
        )
    else:
        coat = (up > 0.36) & (up < 0.80) & (np.abs(across) < 0.115)
        legs = (up > 0) & (up <= 0.36) & (np.abs(np.abs(across) - 0.05) < 0.042)
        plan = put(plan, coat | legs, brush.ramp(brush.palette("232a58 2f3f7a 6a6aa8"), 0.4 + 4 * across))
        hat = (np.abs(across) < 0.062) & (up > 0.93) & (up < 1.07) | (np.abs(across) < 0.11) & (
            np.abs(up - 0.935) < 0.014
        )
        plan = put(plan, hat, brush.palette("2b2444")[0])
    head = np.hypot(across, (up - 0.86) * 0.9) < 0.062
    return put(plan, head, brush.ramp(brush.palette("b87868 f0c098"), 0.5 + 8 * across))
