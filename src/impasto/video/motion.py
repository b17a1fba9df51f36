"""Motion between two frames: flow, warping, what was covered, what is still.

A flow is (H, W, 2) float32, x then y, in pixels of its own grid: what is at p in the first frame is at
p + flow[p] in the second. Frames for the flow are uint8 grey (H, W); pictures are (1, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import VideoError
from impasto.pictures.geometry import Size, fit

__all__ = [
    "FLOWS",
    "Flow",
    "blurred",
    "certainty",
    "flows",
    "grey",
    "long_term",
    "motion_boundaries",
    "occluded",
    "resize_flow",
    "rest",
    "settled",
    "slow",
    "still",
    "warp",
]

Flow = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]


def grey(picture: Tensor, long_side: int) -> Grey:
    """Luma (H, W) uint8 of a picture (1, 3, H, W), its long side at most ``long_side`` pixels."""
    height, width = picture.shape[-2:]
    size = fit(height, width, min(long_side, max(height, width)))
    small = F.interpolate(picture, size, mode="area") if size != (height, width) else picture
    luma = 0.299 * small[0, 0] + 0.587 * small[0, 1] + 0.114 * small[0, 2]
    return (luma.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu().numpy()


def _dis() -> Callable[[Grey, Grey], Flow]:
    """Dense inverse search (Kroeger et al. 2016), the variationally refined preset: milliseconds a frame.

    At full resolution (``setFinestScale(0)``) it is a little more exact, but so noisy in flat parts that
    motion boundaries are seen everywhere.
    """
    make: Any = getattr(cv2, "DISOpticalFlow_create")  # noqa: B009 - absent from OpenCV's own stubs
    search = make(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(first: Grey, second: Grey) -> Flow:
        return np.asarray(search.calc(first, second, None), dtype=np.float32)

    return flow


def _farneback() -> Callable[[Grey, Grey], Flow]:
    """Polynomial expansion (Farnebäck 2003): smoother than DIS, blurred at the edges of what moves."""

    def flow(first: Grey, second: Grey) -> Flow:
        found = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 5, 21, 4, 7, 1.5, 0)  # type: ignore[call-overload]
        return np.asarray(found, dtype=np.float32)

    return flow


_RAFT_LEAST = 128  # pixels: its pyramid of correlations has four levels above an eighth of the picture


def _raft() -> Callable[[Grey, Grey], Flow]:
    """RAFT (Teed & Deng 2020) of torchvision, which fetches its weights at first use; luma only."""
    other = "dis and farneback need nothing more"
    try:
        from torchvision.models.optical_flow import Raft_Small_Weights, raft_small  # type: ignore
    except (ImportError, OSError, RuntimeError) as error:  # the latter: made for another PyTorch
        reason = "is not installed" if isinstance(error, ImportError) else f"does not work here ({error})"
        raise VideoError(f"flow 'raft' needs torchvision, which {reason}", other) from None
    try:
        model = raft_small(weights=Raft_Small_Weights.DEFAULT, progress=False).eval()
    except OSError as error:
        raise VideoError(f"the weights of flow 'raft' could not be fetched: {error}", other) from None

    def flow(first: Grey, second: Grey) -> Flow:
        height, width = first.shape
        larger = max(1.0, _RAFT_LEAST / min(height, width))
        size = (math.ceil(height * larger), math.ceil(width * larger))
        pair = torch.from_numpy(np.stack([first, second]))[:, None].float() / 127.5 - 1.0
        pair = F.interpolate(pair, size, mode="bilinear") if size != (height, width) else pair
        pair = F.pad(pair, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate").expand(2, 3, -1, -1)
        with torch.no_grad():
            found = model(pair[:1], pair[1:])[-1][:, :, : size[0], : size[1]]
        return resize_flow(np.ascontiguousarray(found[0].permute(1, 2, 0).numpy()), (height, width))

    return flow


#: name → builder of (first, second) → flow.
FLOWS: dict[str, Callable[[], Callable[[Grey, Grey], Flow]]] = {
    "dis": _dis,
    "farneback": _farneback,
    "raft": _raft,
}


def flows(first: Grey, second: Grey, method: Callable[[Grey, Grey], Flow]) -> tuple[Flow, Flow]:
    """Flow from the first frame to the second, and from the second to the first.

    Beyond the method's own flow: what stands still as far as one can see has none (:func:`rest`).
    """
    shortest = min(first.shape)
    if shortest >= 16:  # below that the methods' pyramids have no level left
        forth, back = method(first, second), method(second, first)
        return rest(first, second, forth), rest(second, first, back)
    nothing: Flow = np.zeros((*first.shape, 2), dtype=np.float32)
    return nothing, nothing


def rest(first: Grey, second: Grey, flow: Flow) -> Flow:
    """The flow, without what is only noise: on a bare wall or road every method finds motion of pixels.

    Where no motion explains the frames as well as the flow does, to a grey level and half the noise, here
    and within a twenty-fourth of the long side, there is none. Only where the camera rests: of what has
    texture, a fifth must stand still, or flat parts would stay behind when the picture pans. Changes of
    light (sixteenths of the picture and larger) are taken out before.
    """
    wide = max(first.shape) / 32
    before, after = (
        one - cv2.GaussianBlur(one, (0, 0), wide)
        for one in (first.astype(np.float32), second.astype(np.float32))
    )
    xs, ys = _targets(flow)
    moved: Any = cv2.remap(after, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    gap = np.abs(moved - before)
    noise = 1.4826 * float(np.median(gap))  # as a standard deviation, untroubled by what moves
    worse: Any = cv2.GaussianBlur(np.abs(after - before) - gap, (0, 0), 1.5)
    tolerance = 1.0 + 0.5 * noise
    smooth = cv2.GaussianBlur(before, (0, 0), 1.0)
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    textured = np.hypot(*slopes) > 3.0 + noise
    share = float((worse[textured] <= tolerance).mean()) if textured.any() else 1.0
    resting = min(1.0, max(0.0, 10.0 * share - 1.0))  # of the camera: none at a tenth, all at a fifth
    reach = max(2, max(first.shape) // 24)
    widest = cv2.dilate(worse, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    stands: Any = cv2.GaussianBlur(np.clip(2.0 - widest / tolerance, 0.0, 1.0), (0, 0), reach / 4)
    return np.asarray(flow * (1.0 - resting * stands)[..., None], dtype=np.float32)


def resize_flow(flow: Flow, size: Size) -> Flow:
    """A flow on another grid: resampled, its vectors scaled by each axis' ratio."""
    height, width = size
    if flow.shape[:2] == size:
        return flow
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], dtype=np.float32)
    return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)) * scale


def _targets(flow: Flow) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    height, width = flow.shape[:2]
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return xs + flow[..., 0], ys + flow[..., 1]


def warp(picture: Tensor, flow: Flow, mode: str = "sharp") -> Tensor:
    """The picture as seen along a flow: result[p] = picture[p + flow[p]], mirrored beyond the frame.

    Differs from Ruder's bilinear sampling, which blurs a stylised frame a little more with every frame;
    PyTorch's and OpenCV's bicubic do the opposite: in twenty frames they raise the contrast by half.
    ``sharp`` is a windowed sinc over ten pixels: it keeps all but the finest third of the frequencies within
    1 %, and raises none by more than 0.2 %.

    Args:
        picture: (1, C, H, W), [0, 1].
        flow: (H, W, 2).
        mode: ``sharp``, ``bilinear`` or ``nearest``.
    """
    if mode == "sharp":
        return _sinc(picture, flow)
    height, width = picture.shape[-2:]
    xs, ys = _targets(flow)
    grid = np.stack([2.0 * xs / max(width - 1, 1) - 1.0, 2.0 * ys / max(height - 1, 1) - 1.0], axis=-1)
    where = torch.from_numpy(grid)[None].to(picture)
    found = F.grid_sample(picture, where, mode=mode, padding_mode="reflection", align_corners=True)
    return found.clamp(0.0, 1.0)


_NODES = tuple(range(-4, 6))


def _windowed(parts: int = 256, shape: float = 6.0) -> Tensor:
    """Weights (parts + 1, 10) of the pixels around a place, by its distance from the fifth of them.

    A sinc in a Kaiser window (Kaiser 1974): at 0 exactly that pixel.
    """
    at = torch.linspace(0.0, 1.0, parts + 1, dtype=torch.float64)[:, None] - torch.tensor(_NODES)
    window = torch.special.i0(shape * (1.0 - (at / 5.0).square()).clamp_min(0.0).sqrt())
    weights = torch.sinc(at) * window
    found: Tensor = weights / weights.sum(1, keepdim=True)
    return found.float()


_TABLE = _windowed()


def _taps(fraction: Tensor) -> tuple[Tensor, ...]:
    """Weights of the ten pixels around a place ``fraction`` beyond the fifth, to 1/256 of a pixel."""
    nearest = (fraction * (len(_TABLE) - 1)).round().long()
    return _TABLE.to(fraction.device)[nearest].unbind(-1)


def _mirrored(index: Tensor, count: int) -> Tensor:
    """Indices beyond 0 … count − 1 reflected back, however far beyond."""
    period = max(2 * (count - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index) if count > 1 else torch.zeros_like(index)


def _sinc(picture: Tensor, flow: Flow) -> Tensor:
    channels, (height, width) = picture.shape[1], picture.shape[-2:]
    places = [torch.from_numpy(place).to(picture.device) for place in _targets(flow)]  # x, y
    whole = [place.floor() for place in places]
    across, down = (_taps(place - base) for place, base in zip(places, whole, strict=True))
    columns, rows = (
        [_mirrored(base.long() + node, count) for node in _NODES]
        for base, count in zip(whole, (width, height), strict=True)
    )
    flat = picture.reshape(channels, -1)
    found = torch.zeros_like(flat)
    for row, weight_y in zip(rows, down, strict=True):
        line = torch.zeros_like(flat)
        for column, weight_x in zip(columns, across, strict=True):
            line += flat[:, (row * width + column).flatten()] * weight_x.flatten()
        found += line * weight_y.flatten()
    return found.view_as(picture).clamp(0.0, 1.0)


def _sampled(field: Flow, along: Flow) -> Flow:
    xs, ys = _targets(along)
    return np.asarray(cv2.remap(field, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def occluded(flow: Flow, back: Flow) -> npt.NDArray[np.bool_]:
    """Where the first frame shows what the second does not (Ruder et al. 2016, eq. 4; Sundaram 2010).

    With f̂ the other flow at the target: |f + f̂|² ≥ 0.01 (|f|² + |f̂|²) + 0.5, or the target outside.

    Args:
        flow: (H, W, 2) first → second; the result is on the first frame's grid.
        back: (H, W, 2) second → first.
    """
    other = _sampled(back, flow)
    gap = np.square(flow + other).sum(-1)
    energy = np.square(flow).sum(-1) + np.square(other).sum(-1)
    xs, ys = _targets(flow)
    height, width = flow.shape[:2]
    outside = (xs < -0.5) | (ys < -0.5) | (xs > width - 0.5) | (ys > height - 0.5)
    return np.asarray((gap >= 0.01 * energy + 0.5) | outside)


def motion_boundaries(flow: Flow) -> npt.NDArray[np.bool_]:
    """Where the flow changes abruptly (Ruder et al. 2016, eq. 5): |∇u|² + |∇v|² > 0.01 |f|² + 0.002."""
    slopes = np.zeros(flow.shape[:2], dtype=np.float32)
    for channel in range(2):
        for axis in range(2):
            if flow.shape[axis] > 1:
                slopes += np.square(np.gradient(flow[..., channel], axis=axis))
    return np.asarray(slopes > 0.01 * np.square(flow).sum(-1) + 0.002)


def settled(flow: Flow, back: Flow) -> Flow:
    """The flow led half way to the other one's inverse, where the two nearly agree.

    Each is found by itself; following one and measured along the other, strokes are off by their difference.
    Against ground truth the mean of both is as exact as one alone. From half a pixel of difference on, fading
    out to a whole one, the flow is left as it is.
    """
    gap = flow + _sampled(back, flow)
    length = np.sqrt(np.square(gap).sum(-1, keepdims=True))
    return np.asarray(flow - gap * 0.5 * np.clip(2.0 - 2.0 * length, 0.0, 1.0), dtype=np.float32)


def certainty(
    flow: Flow, back: Flow, now: Tensor, then: Tensor, tolerance: float = 0.12, strict: float = 0.03
) -> tuple[Tensor, Flow]:
    """How far what the past frame says can be trusted at each pixel of the present one.

    Ruder's mask, its holes widened by a pixel and its edges smoothed, so that no outline of the mask is
    painted; and, differing from the paper, times how well the filmed frames themselves agree along the flow:
    a flow can be consistent both ways and wrong, which would drag ghosts along. A motion boundary is a hole
    only as far as the frames disagree there, and none where the motion is below a pixel: the methods' flow
    changes over several pixels around what moves, and most of them are still known.

    Args:
        flow: (h, w, 2) present → past, at any size.
        back: (h, w, 2) past → present.
        now, then: (1, 3, H, W), the filmed frames.
        tolerance: difference of the filmed frames at which trust is down to 1/e.
        strict: the same on a motion boundary.

    Returns:
        (1, 1, H, W) in [0, 1], and the flow, settled, on the frames' grid.
    """
    size = (int(now.shape[-2]), int(now.shape[-1]))
    length: Any = np.sqrt(np.square(flow).sum(-1))
    moves = cv2.dilate(length, np.ones((5, 5), np.uint8)) >= 1.0
    seen = _kept(occluded(flow, back), size).to(now)
    inner = _kept(motion_boundaries(flow) & moves, size).to(now)
    full = resize_flow(settled(flow, back), size)
    gap = blurred((now - warp(then, full, "bilinear")).abs().mean(1, keepdim=True), 1.5).square()
    agreed, well = torch.exp(-gap / tolerance**2), torch.exp(-gap / strict**2)
    return (seen * torch.lerp(well, torch.ones_like(well), inner) * agreed).clamp(0.0, 1.0), full


def _kept(holes: npt.NDArray[np.bool_], size: Size) -> Tensor:
    """(1, 1, H, W): 0 in the holes, widened by a pixel, 1 elsewhere, smooth between."""
    kept: Any = cv2.erode(1.0 - holes.astype(np.float32), np.ones((3, 3), dtype=np.uint8), borderValue=1.0)
    if kept.shape != size:
        kept = cv2.resize(kept, size[::-1], interpolation=cv2.INTER_LINEAR)
    smooth: Any = cv2.GaussianBlur(kept, (0, 0), 1.0)
    # Blurring lets a little trust back into the holes; squaring takes it out again.
    return torch.from_numpy(np.ascontiguousarray(smooth))[None, None].square()


def long_term(certainties: Sequence[Tensor]) -> list[Tensor]:
    """Share the trust among frames further and further back, nearest first (Ruder et al. 2016, eq. 9).

    c_long(j) = max(c(j) − Σ_{nearer k} c(k), 0): the nearest frame that saw a pixel has the say.
    """
    shared, taken = [], torch.zeros_like(certainties[0])
    for one in certainties:
        shared.append((one - taken).clamp_min(0.0))
        taken = taken + one
    return shared


def still(now: Tensor, then: Tensor, tolerance: float) -> Tensor:
    """Where nothing happened: (1, 1, H, W), 1 up to ``tolerance`` of difference, 0 from twice that.

    The difference is averaged over about five pixels, so that a camera's noise does not count as motion, and
    its maximum over the neighbourhood decides, so that the still part ends before what moves begins.

    Args:
        now, then: (1, 3, H, W), [0, 1].
        tolerance: mean absolute difference, of 1; 0: nothing is still.
    """
    if tolerance <= 0.0:
        return torch.zeros_like(now[:, :1])
    gap = blurred((now - then).abs().mean(1, keepdim=True), 2.0)
    gap = F.max_pool2d(gap, 7, stride=1, padding=3)
    return (2.0 - gap / tolerance).clamp(0.0, 1.0)


def slow(flow: Flow, limit: float = 0.4) -> Tensor:
    """Where the flow is next to nothing: (1, 1, H, W), 1 up to ``limit`` pixels, 0 from twice that.

    A flat part of a moving picture changes as little as a part that stands still; its strokes must go along.
    """
    length = torch.from_numpy(np.sqrt(np.square(flow).sum(-1)))[None, None]
    return (2.0 - blurred(length, 2.0) / limit).clamp(0.0, 1.0)


def blurred(values: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (1, 1, H, W), edges reflected."""
    array: Any = cv2.GaussianBlur(
        values[0, 0].cpu().numpy(), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101
    )
    return torch.from_numpy(array)[None, None].to(values)
