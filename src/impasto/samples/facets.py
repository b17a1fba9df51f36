"""A guitar, a bottle and a glass on a table, broken into planes, after the analytic cubism of 1911.

Planes of a few directions overlap, each lit at one edge and fading at the other into what lies behind it
("passage"). Contours are interrupted and continue a little further on. Everything is then painted in short
strokes along the direction of their plane.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from impasto.samples import brush
from impasto.samples.brush import Array

__all__ = ["facets"]

RATIO = 1.28
WIDE = 1 / RATIO
TONES = brush.palette("241d19 43362b 6b5138 8f6a3f b58a52 cfae78 e6d5ac f3ead0")
SLATES = brush.palette("23272b 3d464b 5d6a6e 86908c b3b6a6 d9d4bd")
AXES = np.array([-1.31, -1.05, -0.62, -0.12, 0.30, 0.78, 1.12, 1.45, 1.5708, 0.0])
LINE = brush.palette("191512")[0]


Lines = list[tuple[Array, float]]  # path (N, 2) and width, in spans


def facets(size: int, rng: np.random.Generator) -> Array:
    """Plan the planes, paint them in strokes and draw lines over them; (H, W, 3)."""
    shape = brush.picture_size(size, RATIO)
    big = (shape[0] * 2, shape[1] * 2)
    plan, angle, edges = planes(rng)
    mark = brush.bristles(rng)
    canvas = np.asarray(brush.sample_at(plan, *brush.pixel_centres(big)), np.float32)
    height = np.zeros(big, np.float32)
    for count, length, width in ((5000, 0.030, 0.0090), (9000, 0.020, 0.0066), (9000, 0.013, 0.0048)):
        x, y = brush.scatter(rng, RATIO, count)
        brush.paint_strokes(
            canvas, height, short_strokes(rng, plan, angle, x, y, length, width), mark, dry=0.45, streak=0.055
        )
    # Strokes cross the edges of planes, so mix in the plan by half to keep the edges crisp.
    canvas = np.asarray(brush.mix(canvas, brush.sample_at(plan, *brush.pixel_centres(big)), 0.5), np.float32)
    brush.paint_strokes(
        canvas, height, lines_to_strokes(rng, edges + instrument(rng)), mark, dry=0.38, body=0.5
    )
    brush.paint_strokes(canvas, height, lines_to_strokes(rng, letters()), mark, dry=0.1, body=0.5)
    canvas = brush.light_relief(canvas, height, strength=0.26, gloss=0.04, blur=0.8)
    weave = 0.012 * brush.noise(rng, big, 400) + 0.02 * brush.noise(rng, big, 12)
    return brush.downsample(canvas * (1 + weave)[..., None], shape)


def short_strokes(
    rng: np.random.Generator, plan: Array, angle: Array, x: Array, y: Array, length: float, width: float
) -> brush.Strokes:
    """Short strokes along their plane, each a little lighter, darker, warmer or cooler than the plan."""
    n = x.size
    colour = (
        brush.sample_at(plan, x, y)
        + rng.normal(0, 0.045, (n, 1))
        + rng.normal(0, 1, (n, 1)) * np.array([0.02, 0, -0.026])
    )
    second = colour + rng.choice([-0.05, 0.08], (n, 1))
    turn = brush.sample_at(angle, x, y, order=0) + rng.normal(0, 0.09, n)
    sizes = rng.uniform(0.75, 1.3, (2, n))
    return brush.Strokes(
        x, y, turn.astype(np.float32), np.zeros(n, np.float32),
        (length * sizes[0]).astype(np.float32), (width * sizes[1]).astype(np.float32),
        colour.astype(np.float32), second.astype(np.float32),
    )  # fmt: skip


def planes(rng: np.random.Generator) -> tuple[Array, Array, Lines]:
    """The colours (H, W, 3), the directions of the strokes (H, W), and the edges to draw as lines."""
    shape = brush.picture_size(900, RATIO)
    x, y = brush.pixel_centres(shape)
    centre = np.hypot((x - WIDE / 2) / 0.42, (y - 0.53) / 0.56)
    plan = np.asarray(brush.ramp(TONES, 0.52 - 0.28 * centre + 0.03 * brush.noise(rng, shape, 8)), np.float32)
    angle = np.full(shape, 0.1, np.float32)
    edges: Lines = []
    count = 190
    for k in range(count):
        if k == 2 * count // 3:
            still_life(plan, angle)
        share = k / count
        # A pyramid: planes are denser around the axis, and later ones are smaller and nearer to it.
        cx = WIDE / 2 + (0.25 - 0.09 * share) * rng.normal()
        cy = 0.52 + (0.37 - 0.13 * share) * rng.normal()
        size = (0.30 - 0.17 * share) * rng.lognormal(0, 0.3)
        edges += plane(rng, plan, angle, np.array([cx, cy]), size, line=share > 0.45)
    details(plan)
    return plan, angle, edges


def plane(
    rng: np.random.Generator, plan: Array, angle: Array, centre: Array, size: float, *, line: bool
) -> Lines:
    """Lay a plane, a sheared quadrilateral or a half round, and return the lines along its strong edges."""
    first = AXES[rng.integers(len(AXES))]
    second = first + rng.choice([-1, 1]) * rng.uniform(0.9, 1.7)
    a = np.array([np.cos(first), np.sin(first)]) * size * rng.uniform(0.6, 1.4) / 2
    b = np.array([np.cos(second), np.sin(second)]) * size * rng.uniform(0.4, 1.0) / 2
    corner = centre + np.array([-a - b, a - b, a + b * rng.uniform(0.3, 1.1), -a * rng.uniform(0.3, 1.1) + b])
    if rng.uniform() < 0.16:
        t = np.linspace(0, np.pi, 16)
        corner = centre + np.outer(-np.cos(t), a) + np.outer(np.sin(t), b) * 1.4 - b * 0.6
    distance = np.hypot((centre[0] - WIDE / 2) / 0.36, (centre[1] - 0.52) / 0.50)
    light = rng.uniform() < 0.62 - 0.40 * distance
    edge = rng.normal(0.86, 0.07) if light else rng.normal(0.17, 0.10)
    tones = SLATES if rng.uniform() < 0.32 else TONES
    hatch = first if rng.uniform() < 0.6 else 0.06
    veil(plan, angle, corner, b, tones, edge, hatch, rng.uniform(0.8, 1.0))
    if not line or rng.uniform() < 0.25:
        return []
    width = rng.uniform(0.0024, 0.0052)
    over = rng.uniform(-0.25, 0.3, 2)
    side = corner[1] - corner[0]
    lines = [(np.linspace(corner[0] - over[0] * side, corner[1] + over[1] * side, 14), width)]
    if len(corner) > 4:
        return [(corner, width)]
    if rng.uniform() < 0.55:
        lines.append(
            (
                np.linspace(corner[1], corner[1] + (corner[2] - corner[1]) * rng.uniform(0.4, 1.1), 10),
                width * 0.8,
            )
        )
    return lines


def veil(
    plan: Array,
    angle: Array,
    outline: Array,
    across: Array,
    tones: Array,
    edge: float,
    hatch: float,
    cover: float,
) -> None:
    """Lay a polygon over the plan: tone `edge` on one side, more and more transparent along `across`."""
    span, limit = max(plan.shape[:2]), np.array([plan.shape[1], plan.shape[0]])
    points = outline * span
    low = np.clip(np.floor(points.min(0)).astype(int), 0, limit)
    high = np.clip(np.ceil(points.max(0)).astype(int) + 1, 0, limit)
    if (high - low).min() < 2:
        return
    stencil = Image.new("L", (int(high[0] - low[0]), int(high[1] - low[1])), 0)
    ImageDraw.Draw(stencil).polygon((points - low).ravel().tolist(), fill=255)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]] / span
    direction = across / np.hypot(*across)
    along = outline @ direction
    t = np.clip((x * direction[0] + y * direction[1] - along.min()) / (np.ptp(along) + 1e-9), 0, 1)
    share = np.asarray(stencil, np.float32) / 255 * cover * (1 - t**1.6) ** 0.8
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    plan[box] = brush.mix(plan[box], brush.ramp(tones, edge + 0.5 * (0.52 - edge) * t), share)
    angle[box] = np.where(share > 0.3, hatch, angle[box])


BODY = [
    (0.400, 0.415),
    (0.475, 0.425),
    (0.525, 0.470),
    (0.505, 0.545),
    (0.515, 0.610),
    (0.575, 0.690),
    (0.550, 0.785),
    (0.470, 0.835),
    (0.400, 0.840),
]


def still_life(plan: Array, angle: Array) -> None:
    """Guitar, bottle, glass and newspaper as planes; the two halves of the guitar do not quite meet."""
    body = brush.smooth_curve(BODY, 50)
    flip = np.stack([0.79 - body[:, 0], body[:, 1] - 0.022], -1)
    left, right, down = np.array([-1.0, 0.1]), np.array([1.0, 0.15]), np.array([0.1, 1.0])
    veil(plan, angle, body, right, TONES, 0.90, 1.2, 0.95)
    veil(plan, angle, flip, left, TONES, 0.66, 1.9, 0.9)
    neck = np.array([(0.420, 0.560), (0.465, 0.566), (0.527, 0.180), (0.486, 0.172)])
    veil(plan, angle, neck, -down, TONES, 0.05, 1.7, 1.0)
    veil(
        plan,
        angle,
        np.array([(0.478, 0.178), (0.536, 0.188), (0.562, 0.100), (0.486, 0.088)]),
        right,
        TONES,
        0.22,
        1.7,
        1.0,
    )
    bottle = [(0.150, 0.235), (0.193, 0.235), (0.196, 0.350), (0.236, 0.405), (0.240, 0.575), (0.145, 0.570)]
    veil(plan, angle, np.array(bottle), right, SLATES, 0.10, 1.57, 0.95)
    cup = np.array([(0.560, 0.560), (0.660, 0.556), (0.640, 0.650), (0.580, 0.655)])
    veil(plan, angle, cup, down, SLATES, 0.92, 0.0, 0.95)
    paper = np.array([(0.075, 0.645), (0.300, 0.610), (0.330, 0.730), (0.100, 0.775)])
    veil(plan, angle, paper, right, TONES, 0.98, 0.06, 1.0)


def details(plan: Array) -> None:
    """Small dark details over all planes: sound hole, bridge, the bottle's neck, lines of print."""
    picture = Image.fromarray((np.clip(plan, 0, 1) * 255).astype(np.uint8))
    draw, span = ImageDraw.Draw(picture), max(plan.shape[:2])

    def ink(tone: float) -> tuple[int, ...]:
        return tuple(int(255 * c) for c in brush.ramp(TONES, np.full((), tone)))

    def shade(points: list[tuple[float, float]], tone: float) -> None:
        draw.polygon([c * span for point in points for c in point], fill=ink(tone))

    def slice_of(cx: float, cy: float, r: float, start: float, end: float, tone: float) -> None:
        draw.pieslice(
            [(cx - r) * span, (cy - r) * span, (cx + r) * span, (cy + r) * span], start, end, fill=ink(tone)
        )

    slice_of(0.412, 0.602, 0.060, -70, 115, 0.00)
    slice_of(0.396, 0.612, 0.060, 115, 290, 0.10)
    shade([(0.330, 0.738), (0.462, 0.756), (0.459, 0.776), (0.327, 0.758)], 0.03)
    shade([(0.148, 0.217), (0.197, 0.217), (0.197, 0.236), (0.148, 0.236)], 0.80)
    for k, reach in enumerate((0.14, 0.17, 0.10)):
        y = 0.735 + 0.0125 * k
        shade(
            [
                (0.115, y),
                (0.115 + reach, y - 0.16 * reach),
                (0.115 + reach, y + 0.004 - 0.16 * reach),
                (0.115, y + 0.004),
            ],
            0.12,
        )
    plan[:] = np.asarray(picture, np.float32) / 255


def instrument(rng: np.random.Generator) -> Lines:
    """Lines of the instrument and the glass: fragments of their outlines, strings and frets."""
    lines: Lines = []
    body = brush.smooth_curve(BODY, 80)
    for flip, shift, begin, end in (
        (1, 0.0, 2, 50),
        (1, 0.020, 38, 78),
        (-1, 0.0, 6, 44),
        (-1, -0.018, 40, 76),
    ):
        x = body[:, 0] if flip > 0 else 0.79 - body[:, 0]
        path = np.stack([x + shift, body[:, 1] + 0.5 * shift], -1)
        lines.append((path[begin:end], 0.0062))
    for k in range(6):
        top, foot = np.array([0.492 + 0.0052 * k, 0.16]), np.array([0.345 + 0.019 * k, 0.750])
        low, high = rng.uniform(0, 0.12), rng.uniform(0.85, 1)
        lines.append((np.linspace(top + (foot - top) * low, top + (foot - top) * high, 30), 0.0019))
    half = np.array([0.021, 0.004])
    for t in np.linspace(0.02, 0.95, 13) ** 0.85:
        spot = np.array([0.506, 0.180]) + t * np.array([-0.062, 0.380])
        lines.append((np.linspace(spot - half, spot + half, 4), 0.0026))
    rim = brush.smooth_curve(
        [(0.560, 0.560), (0.610, 0.572), (0.660, 0.556), (0.610, 0.546), (0.560, 0.560)], 26
    )
    return [
        *lines,
        (rim, 0.0034),
        (np.linspace([0.610, 0.655], [0.612, 0.735], 8), 0.006),
        (np.linspace([0.572, 0.738], [0.652, 0.734], 8), 0.0046),
    ]


def letters() -> Lines:
    """Stencilled capitals "IMPA", as if cut off by the edge of a plane."""
    strokes: dict[float, list[list[tuple[float, float]]]] = {
        0.00: [[(0, 0), (0, 1)]],
        0.30: [[(0, 1), (0, 0)], [(0, 0), (0.45, 0.6)], [(0.45, 0.6), (0.9, 0)], [(0.9, 0), (0.9, 1)]],
        1.55: [[(0, 1), (0, 0)], [(0, 0.02), (0.45, 0.05), (0.6, 0.28), (0.42, 0.5), (0, 0.53)]],
        2.45: [[(0, 1), (0.4, 0)], [(0.4, 0), (0.62, 0.55)], [(0.16, 0.62), (0.62, 0.62)]],
    }
    lines: Lines = []
    for place, parts in strokes.items():
        for part in parts:
            points = [
                (0.105 + 0.052 * (place + x), 0.652 + 0.062 * y - 0.0085 * (place + x)) for x, y in part
            ]
            lines.append((brush.smooth_curve(points, 14), 0.0095))
    return lines


def lines_to_strokes(rng: np.random.Generator, lines: Lines) -> brush.Strokes:
    """Lines as short overlapping strokes, wider in the middle of each line."""
    parts = [segments(rng, path, width) for path, width in lines]
    return brush.Strokes(*(np.concatenate(part).astype(np.float32) for part in zip(*parts, strict=True)))


def segments(rng: np.random.Generator, path: Array, width: float) -> brush.Strokes:
    """A line as short overlapping strokes."""
    step = np.diff(path, axis=0)
    middle = (path[1:] + path[:-1]) / 2
    n = len(step)
    length = np.hypot(step[:, 0], step[:, 1]) * 1.5 + width * 0.5
    colour = np.tile(LINE + rng.uniform(0, 0.05), (n, 1)).astype(np.float32)
    wide = width * (0.75 + 0.5 * np.sin(np.linspace(0.3, 2.9, n))) * rng.uniform(0.9, 1.1, n)
    return brush.Strokes(
        middle[:, 0], middle[:, 1], np.arctan2(step[:, 1], step[:, 0]), np.zeros(n),
        length, wide, colour, colour + 0.10,
    )  # fmt: skip
