"""Tools that all paintings share: noise, flow, brush strokes and relief.

Coordinates are in *spans*: 1.0 is the long side of the picture, x to the right, y down. Random numbers are
drawn for each stroke or cell of noise, never for each pixel, so that a composition is the same at every size.
Arrays of colour are (H, W, 3) float32 sRGB in [0, 1].

Strokes are painted by deferred rendering: Pillow fills the outline of each stroke in a buffer with the
stroke's number, later strokes over earlier ones, and NumPy then shades each visible pixel once, in the
coordinates of its stroke. Thousands of strokes with bristles take little time that way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

__all__ = [
    "Array",
    "Field",
    "Ints",
    "Mask",
    "Strokes",
    "bristles",
    "downsample",
    "fill_polygons",
    "light_relief",
    "mix",
    "noise",
    "paint_strokes",
    "palette",
    "picture_size",
    "pixel_centres",
    "ramp",
    "ribbon",
    "sample_at",
    "scatter",
    "smear_along_flow",
    "smooth_curve",
    "strokes_along",
    "undirected_difference",
]

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]
Field = Callable[[Array, Array], Array]


class Strokes(NamedTuple):
    """Brush strokes as circular arcs, all arrays of length N, in spans and radians.

    `colour` and `second`, (N, 3), are the two paints on the brush; each bristle carries more of one of them.
    """

    x: Array
    y: Array
    angle: Array
    bend: Array  # curvature, 1/span
    length: Array
    width: Array
    colour: Array
    second: Array


def palette(codes: str) -> Array:
    """Colours from hexadecimal codes separated by blanks, (N, 3)."""
    return np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in codes.split()], np.float32) / 255


def picture_size(size: int, ratio: float) -> tuple[int, int]:
    """(H, W) of a picture whose long side is `size`; `ratio` is H / W."""
    if ratio > 1:
        return size, max(1, round(size / ratio))
    return max(1, round(size * ratio)), size


def pixel_centres(shape: tuple[int, int]) -> tuple[Array, Array]:
    """x and y of the pixel centres of an (H, W) picture, in spans."""
    H, W = shape
    span = max(H, W)
    y, x = np.mgrid[0:H, 0:W].astype(np.float32)
    return (x + 0.5) / span, (y + 0.5) / span


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: float, stretch: float = 1.0) -> Array:
    """Smooth noise (H, W) of about unit variance, with `cells` cells along the long side.

    The cells are `stretch` times as wide as high.
    """
    H, W = shape
    span = max(H, W)
    rows, columns = max(2, round(cells * H / span)) + 3, max(2, round(cells * W / span / stretch)) + 3
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    box = (1.0, 1.0, columns - 2.0, rows - 2.0)
    fine = Image.fromarray(coarse).resize((W, H), Image.Resampling.BICUBIC, box=box)
    return np.asarray(fine, np.float32) * 1.35


def sample_at(field: Array, x: Array, y: Array, order: int = 1) -> Array:
    """Values of a raster (H, W) or (H, W, C), of any resolution, at positions in spans."""
    span = max(field.shape[:2])
    indices = np.stack([y * span - 0.5, x * span - 0.5])
    if field.ndim == 2:
        values: Array = ndimage.map_coordinates(field, indices, order=order, mode="nearest")
        return values
    planes = [
        ndimage.map_coordinates(field[..., c], indices, order=order, mode="nearest")
        for c in range(field.shape[2])
    ]
    return np.stack(planes, -1)


def ramp(colours: Array, t: Array) -> Array:
    """Colours of a gradient through the rows of `colours`, for `t` from 0 to 1, in 1024 steps."""
    positions = np.linspace(0, len(colours) - 1, 1024)
    stops = np.arange(len(colours))
    table = np.stack([np.interp(positions, stops, channel) for channel in colours.T], -1).astype(np.float32)
    return np.asarray(table.take((np.clip(t, 0, 1) * 1023).astype(np.int32), 0))


def mix(first: Array, second: Array, share: Array | float) -> Array:
    """Interpolate from `first` to `second` by `share`, 0 to 1, which is broadcast over the channels."""
    weights = np.asarray(share, np.float32)
    weights = weights[..., None] if weights.ndim else weights
    return first * (1 - weights) + second * weights


def undirected_difference(angle: Array) -> Array:
    """Wrap a difference of angles to [-pi/2, pi/2), because a stroke's two directions are equivalent."""
    return np.asarray((angle + np.pi / 2) % np.pi - np.pi / 2)


def scatter(rng: np.random.Generator, ratio: float, count: int) -> tuple[Array, Array]:
    """About `count` positions (x, y) on a jittered grid over the picture and a margin, in random order."""
    width, height = (1.0, ratio) if ratio <= 1 else (1 / ratio, 1.0)
    step = float(np.sqrt(width * height / count))
    x, y = np.meshgrid(np.arange(-step, width + step, step), np.arange(-step, height + step, step))
    x, y = (axis.ravel() + rng.uniform(-0.5, 0.5, axis.size) * step for axis in (x, y))
    order = rng.permutation(x.size)
    return x[order].astype(np.float32), y[order].astype(np.float32)


def strokes_along(
    x: Array, y: Array, angle: Field, length: Array, width: Array, colour: Array, second: Array
) -> Strokes:
    """Strokes centred on (x, y) that follow a field of angles, with the field's curvature."""
    centre = angle(x, y)
    dx, dy = np.cos(centre) * length * 0.3, np.sin(centre) * length * 0.3
    turn = undirected_difference(angle(x + dx, y + dy) - angle(x - dx, y - dy))
    bend = np.clip(turn / (0.6 * length), -2.4 / length, 2.4 / length)
    near = (angle(x + dx, y + dy), angle(x - dx, y - dy))
    centre = centre + 0.5 * (
        undirected_difference(near[0] - centre) + undirected_difference(near[1] - centre)
    )
    return Strokes(x, y, centre, bend.astype(np.float32), length, width, colour, second)


def smear_along_flow(field: Array, angle: Array, reach: float) -> Array:
    """Smear noise along a flow by line integral convolution (Cabral & Leedom 1993), (H, W).

    Args:
        field: (H, W), the noise.
        angle: (H, W), direction of the flow in radians.
        reach: distance in each direction, in spans.
    """
    steps = 24  # in each direction
    x0, y0 = pixel_centres((field.shape[0], field.shape[1]))
    total = field.copy()
    for sign in (1.0, -1.0):
        x, y, heading = x0, y0, angle + (0 if sign > 0 else np.pi)
        for _ in range(steps):
            x, y = x + np.cos(heading) * reach / steps, y + np.sin(heading) * reach / steps
            span = max(field.shape)
            indices = (
                np.clip((y * span).astype(np.int32), 0, field.shape[0] - 1),
                np.clip((x * span).astype(np.int32), 0, field.shape[1] - 1),
            )
            heading = heading + undirected_difference(angle[indices] - heading)
            total += field[indices]
    return np.asarray(total / total.std(), np.float32)


def bristles(rng: np.random.Generator) -> Array:
    """A texture of bristles, (512, 512): streaks along axis 1 of zero mean and unit variance; it tiles."""
    raw = rng.standard_normal((512, 512))
    fine = ndimage.gaussian_filter(raw, (0.8, 40), mode="wrap")
    coarse = ndimage.gaussian_filter(rng.standard_normal((512, 512)), (4, 60), mode="wrap")
    mark = fine / fine.std() + 0.8 * coarse / coarse.std()
    return np.asarray(mark / mark.std(), np.float32)


def stroke_outlines(strokes: Strokes, span: int, bulge: float = 6.0) -> Array:
    """Outlines of the strokes in pixels, (N, 2·14, 2): arcs with rounded ends."""
    t = np.array([-1, -0.97, -0.9, -0.75, -0.5, -0.25, 0, 0, 0.25, 0.5, 0.75, 0.9, 0.97, 1])
    half = (1 - np.abs(t) ** bulge) ** 0.5 * 0.5
    flip = np.concatenate([t, t[::-1]])
    side = np.concatenate([half, -half[::-1]])
    bend = np.where(np.abs(strokes.bend) < 1e-3, 1e-3, strokes.bend)[:, None]
    phi = bend * flip * strokes.length[:, None] * 0.5
    v = side * strokes.width[:, None]
    u_local = np.sin(phi) / bend - v * np.sin(phi)
    v_local = (1 - np.cos(phi)) / bend + v * np.cos(phi)
    cos, sin = np.cos(strokes.angle)[:, None], np.sin(strokes.angle)[:, None]
    xy = np.stack(
        [
            strokes.x[:, None] + cos * u_local - sin * v_local,
            strokes.y[:, None] + sin * u_local + cos * v_local,
        ],
        -1,
    )
    return np.asarray(xy * span, np.float64)


def fill_polygons(shape: tuple[int, int], polygons: list[list[float]], numbers: Ints | None = None) -> Ints:
    """The number of the topmost polygon at each pixel, (H, W); 0 where there is none.

    Args:
        shape: (H, W).
        polygons: flat lists x0, y0, x1, y1, … in pixels, from bottom to top.
        numbers: the number of each polygon; None: 1 for the first, and so on.
    """
    buffer = Image.new("I", (shape[1], shape[0]), 0)
    draw = ImageDraw.Draw(buffer)
    fills = range(1, len(polygons) + 1) if numbers is None else numbers.tolist()
    for number, polygon in zip(fills, polygons, strict=True):
        draw.polygon(polygon, fill=number)
    return np.array(buffer, np.int32)


def paint_strokes(
    canvas: Array,
    height: Array,
    strokes: Strokes,
    mark: Array,
    *,
    dry: float = 0.0,
    ridge: float = 0.6,
    body: float = 1.0,
    streak: float = 0.05,
    bulge: float = 6.0,
) -> None:
    """Paint strokes of thick paint on a canvas, in order (Hertzmann 1998, with bristles and relief).

    Args:
        canvas: (H, W, 3), painted in place.
        height: (H, W), thickness of the paint in pixels, changed in place.
        strokes: from bottom to top.
        mark: the texture from `bristles`.
        dry: dryness of the brush, 0 to 1: how much ground shows between the bristles, most at the tail.
        ridge: height of the paint pushed up along the edges of a stroke.
        body: thickness of the paint.
        streak: how much lighter or darker single bristles are.
        bulge: shape of the ends: 2 for an ellipse, 6 for a blunt brush.
    """
    H, W = canvas.shape[:2]
    span = max(H, W)
    top = fill_polygons((H, W), stroke_outlines(strokes, span, bulge).reshape(len(strokes.x), -1).tolist())
    rows, columns = np.nonzero(top)
    stroke = top[rows, columns] - 1
    dx = (columns + 0.5) / span - strokes.x[stroke]
    dy = (rows + 0.5) / span - strokes.y[stroke]
    cos, sin = np.cos(strokes.angle)[stroke], np.sin(strokes.angle)[stroke]
    du, dv = cos * dx + sin * dy, cos * dy - sin * dx
    radius = 1 / np.where(np.abs(strokes.bend) < 1e-3, 1e-3, strokes.bend)[stroke]
    sign = np.sign(radius)
    u = np.abs(radius) * np.arctan2(du, sign * (radius - dv)) / (0.5 * strokes.length[stroke])
    v = sign * (np.abs(radius) - np.hypot(du, radius - dv)) / (0.5 * strokes.width[stroke])
    shift = (np.arange(len(strokes.x)) * 7919) % mark.size
    across = (v * 14 + shift[stroke] // mark.shape[1]).astype(np.int32) % mark.shape[0]
    along = (u * 30 + shift[stroke] % mark.shape[1]).astype(np.int32) % mark.shape[1]
    bristle = mark[across, along]
    covered = bristle > dry * (3.2 * np.maximum(u, -0.2) + 0.4) - 3.0 + 1.6 * dry if dry > 0 else slice(None)
    rows, columns, stroke, u, v, bristle = (
        rows[covered],
        columns[covered],
        stroke[covered],
        u[covered],
        v[covered],
        bristle[covered],
    )
    share = np.clip(0.5 + 0.9 * (bristle - 0.75), 0, 1).astype(np.float32)
    paint = mix(strokes.colour[stroke], strokes.second[stroke], share) + (streak * bristle)[:, None]
    canvas[rows, columns] = paint
    edge = np.abs(v) ** 4 * ridge - np.abs(v) ** 12 * 0.8 * ridge
    thickness = body * (0.55 + 0.16 * bristle + edge + 0.25 * np.clip(u, 0, 1) ** 3)
    height[rows, columns] = height[rows, columns] * 0.35 + thickness * (strokes.width[stroke] * span)


def light_relief(
    canvas: Array, height: Array, *, strength: float = 0.5, gloss: float = 0.12, blur: float = 0.7
) -> Array:
    """Light a relief from the upper left, with diffuse shading and a little gloss; (H, W, 3).

    `height` (H, W) is in pixels, so that the shading is the same at every size.
    """
    soft = ndimage.gaussian_filter(height, blur)
    slope_y, slope_x = np.gradient(soft)
    slope = -(slope_x + slope_y) * -0.7071 * strength
    shade = np.tanh(slope)
    shine = np.clip(shade - 0.25, 0, 1) ** 2 * gloss * 4
    out = canvas * (1 + 0.42 * shade)[..., None] + shine[..., None]
    return np.asarray(out, np.float32)


def smooth_curve(points: list[tuple[float, float]], count: int = 60) -> Array:
    """A Catmull-Rom curve through `points`, (count, 2), sampled evenly along its length."""
    p = np.array(points, np.float64)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, len(points) - 1 - 1e-9, count * 6)
    i = t.astype(int)
    f = (t - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    dense = 0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3)
    distances = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(dense, axis=0).T))])
    even = np.linspace(0, distances[-1], count)
    return np.stack([np.interp(even, distances, dense[:, 0]), np.interp(even, distances, dense[:, 1])], -1)


def ribbon(line: Array, width: Array) -> Array:
    """The outline of a line (N, 2) of varying width (N,), as a polygon (2N, 2)."""
    step = np.gradient(line, axis=0)
    step /= np.maximum(np.hypot(step[:, :1], step[:, 1:]), 1e-9)
    normal = np.stack([-step[:, 1], step[:, 0]], -1) * width[:, None] / 2
    return np.asarray(np.vstack([line + normal, (line - normal)[::-1]]))


def downsample(canvas: Array, shape: tuple[int, int]) -> Array:
    """Average a supersampled canvas down to (H, W), and clip it to [0, 1]."""
    size = (shape[1], shape[0])
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(canvas[..., c])).resize(size, Image.Resampling.BOX))
        for c in range(3)
    ]
    return np.asarray(np.clip(np.stack(planes, -1), 0, 1), np.float32)
