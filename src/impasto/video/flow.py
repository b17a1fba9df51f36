"""Optical flow between two frames, by several methods.

A flow is (H, W, 2) float32, x then y, in pixels of its own grid: what is at p in the first frame is at
p + flow[p] in the second. The methods take luma as (H, W) uint8; pictures are (1, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import VideoError
from impasto.pictures.colour import luma
from impasto.pictures.geometry import Size, fit

__all__ = [
    "FLOW_METHODS",
    "Flow",
    "FlowMethod",
    "Luma",
    "flow_both_ways",
    "flow_targets",
    "resize_flow",
    "sample_flow",
    "squared_length",
    "suppress_noise",
    "symmetrise",
    "to_luma",
]

Flow = npt.NDArray[np.float32]
Luma = npt.NDArray[np.uint8]
#: (first frame, second frame) → flow from the first to the second.
FlowMethod = Callable[[Luma, Luma], Flow]

#: Below this many pixels on the shorter side the pyramids of the methods have no level left.
MIN_FLOW_SIDE = 16
#: RAFT's correlation pyramid has four levels above an eighth of the picture.
MIN_RAFT_SIDE = 128


def to_luma(picture: Tensor, long_side: int) -> Luma:
    """Luma (H, W) of a picture (1, 3, H, W), its long side at most ``long_side`` pixels."""
    height, width = picture.shape[-2:]
    size = fit(height, width, min(long_side, max(height, width)))
    small = F.interpolate(picture, size, mode="area") if size != (height, width) else picture
    return (luma(small)[0, 0].clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu().numpy()


# -- methods -----------------------------------------------------------------------------------------------


def _dis() -> FlowMethod:
    """Dense inverse search (Kroeger et al. 2016), the variationally refined preset: milliseconds a frame.

    At full resolution (``setFinestScale(0)``) it is a little more exact, but so noisy in flat areas that
    motion boundaries appear everywhere.
    """
    create: Any = getattr(cv2, "DISOpticalFlow_create")  # noqa: B009 - missing from OpenCV's own stubs
    search = create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(first: Luma, second: Luma) -> Flow:
        return np.asarray(search.calc(first, second, None), dtype=np.float32)

    return flow


def _farneback() -> FlowMethod:
    """Polynomial expansion (Farnebäck 2003): smoother than DIS, blurred at the edges of moving objects."""

    def flow(first: Luma, second: Luma) -> Flow:
        vectors = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 5, 21, 4, 7, 1.5, 0)  # type: ignore[call-overload]
        return np.asarray(vectors, dtype=np.float32)

    return flow


def _raft() -> FlowMethod:
    """RAFT (Teed & Deng 2020) of torchvision, on luma alone; torchvision downloads its weights once.

    Raises:
        VideoError: torchvision is missing or does not fit this PyTorch, or there is no network.
    """
    alternative = "dis and farneback need nothing more"
    try:
        from torchvision.models.optical_flow import Raft_Small_Weights, raft_small  # type: ignore
    except (ImportError, OSError, RuntimeError) as error:  # the last: built for another PyTorch
        reason = "is not installed" if isinstance(error, ImportError) else f"does not work here ({error})"
        raise VideoError(f"flow 'raft' needs torchvision, which {reason}", alternative) from None
    try:
        model = raft_small(weights=Raft_Small_Weights.DEFAULT, progress=False).eval()
    except OSError as error:
        raise VideoError(f"the weights of flow 'raft' could not be fetched: {error}", alternative) from None

    def flow(first: Luma, second: Luma) -> Flow:
        height, width = first.shape
        enlargement = max(1.0, MIN_RAFT_SIDE / min(height, width))
        size = (math.ceil(height * enlargement), math.ceil(width * enlargement))
        pair = torch.from_numpy(np.stack([first, second]))[:, None].float() / 127.5 - 1.0
        pair = F.interpolate(pair, size, mode="bilinear") if size != (height, width) else pair
        pair = F.pad(pair, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate").expand(2, 3, -1, -1)
        with torch.no_grad():
            vectors = model(pair[:1], pair[1:])[-1][:, :, : size[0], : size[1]]
        return resize_flow(np.ascontiguousarray(vectors[0].permute(1, 2, 0).numpy()), (height, width))

    return flow


#: Name → what builds the method.
FLOW_METHODS: dict[str, Callable[[], FlowMethod]] = {
    "dis": _dis,
    "farneback": _farneback,
    "raft": _raft,
}


def flow_both_ways(first: Luma, second: Luma, method: FlowMethod) -> tuple[Flow, Flow]:
    """Flow from the first frame to the second, and from the second to the first.

    Motion that is only noise is removed (:func:`suppress_noise`). Between frames that are too small for the
    methods the flow is zero.
    """
    if min(first.shape) < MIN_FLOW_SIDE:
        no_motion: Flow = np.zeros((*first.shape, 2), dtype=np.float32)
        return no_motion, no_motion
    forward, backward = method(first, second), method(second, first)
    return suppress_noise(first, second, forward), suppress_noise(second, first, backward)


def suppress_noise(first: Luma, second: Luma, flow: Flow) -> Flow:
    """Set the flow to zero where it follows only the noise of a resting camera, as on a bare wall or road.

    That is where no motion explains the second frame as well as the flow does, within a tolerance of one grey
    level and half the noise, at the pixel and everywhere within a twenty-fourth of the long side around it.
    When the camera pans, nothing is removed, because flat areas would stay behind: the flow is removed in
    full only if at least a fifth of the textured pixels stand still. Changes of light, which are larger than
    a sixteenth of the picture, are subtracted before the comparison.

    Args:
        first, second: (H, W).
        flow: (H, W, 2), from the first to the second.
    """
    light_sigma = max(first.shape) / 32
    before, after = (
        luma - cv2.GaussianBlur(luma, (0, 0), light_sigma)
        for luma in (first.astype(np.float32), second.astype(np.float32))
    )
    xs, ys = flow_targets(flow)
    moved: Any = cv2.remap(after, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    flow_error = np.abs(moved - before)
    noise = 1.4826 * float(np.median(flow_error))  # the standard deviation, robust to what moves
    # How much larger the error is without motion than with the flow.
    excess: Any = cv2.GaussianBlur(np.abs(after - before) - flow_error, (0, 0), 1.5)
    tolerance = 1.0 + 0.5 * noise
    smooth = cv2.GaussianBlur(before, (0, 0), 1.0)
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    textured = np.hypot(*slopes) > 3.0 + noise
    still_share = float((excess[textured] <= tolerance).mean()) if textured.any() else 1.0
    camera_rests = min(1.0, max(0.0, 10.0 * still_share - 1.0))  # 0 up to a tenth, 1 from a fifth on
    radius = max(2, max(first.shape) // 24)
    largest = cv2.dilate(excess, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
    still: Any = cv2.GaussianBlur(np.clip(2.0 - largest / tolerance, 0.0, 1.0), (0, 0), radius / 4)
    return np.asarray(flow * (1.0 - camera_rests * still)[..., None], dtype=np.float32)


# -- flows as fields ---------------------------------------------------------------------------------------


def resize_flow(flow: Flow, size: Size) -> Flow:
    """A flow resampled to another grid, its vectors scaled with each axis."""
    height, width = size
    if flow.shape[:2] == size:
        return flow
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], dtype=np.float32)
    return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)) * scale


def flow_targets(flow: Flow) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """x and y (H, W) of the position that each pixel moves to."""
    height, width = flow.shape[:2]
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return xs + flow[..., 0], ys + flow[..., 1]


def squared_length(flow: Flow) -> npt.NDArray[np.float32]:
    """|f|² of each vector, (H, W); NumPy takes twenty times as long for the sum over an axis of two."""
    return np.asarray(np.square(flow[..., 0]) + np.square(flow[..., 1]))


def sample_flow(flow: Flow, along: Flow) -> Flow:
    """``flow`` at the targets of ``along``, bilinear; beyond the edge the nearest value."""
    xs, ys = flow_targets(along)
    return np.asarray(cv2.remap(flow, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def symmetrise(flow: Flow, back: Flow) -> Flow:
    """The mean of a flow and the inverse of the flow back, where the two nearly agree.

    The two are estimated independently, so that strokes which are warped along one and measured along the
    other are off by their difference. Against ground truth the mean is as exact as either. From a
    disagreement of half a pixel the correction fades, and from a whole pixel on the flow is left as it is.
    """
    gap = flow + sample_flow(back, flow)
    length = np.sqrt(np.square(gap).sum(-1, keepdims=True))
    return np.asarray(flow - gap * 0.5 * np.clip(2.0 - 2.0 * length, 0.0, 1.0), dtype=np.float32)
