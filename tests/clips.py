"""Small clips written by PyAV, with the peculiarities of those from cameras and phones."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from impasto.video.frames import open_clip, read
from impasto.video.writing import choose_codec, write


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth coloured noise (height, width, 3) uint8, in which optical flow can be measured everywhere."""
    random = np.random.RandomState(seed)
    coarse = random.uniform(0, 255, (height // 4 + 2, width // 4 + 2, 3))
    rows = np.linspace(0, coarse.shape[0] - 1.001, height)
    columns = np.linspace(0, coarse.shape[1] - 1.001, width)
    y, x = rows.astype(int), columns.astype(int)
    fy, fx = (rows - y)[:, None, None], (columns - x)[None, :, None]
    top = coarse[y][:, x] * (1 - fx) + coarse[y][:, x + 1] * fx
    bottom = coarse[y + 1][:, x] * (1 - fx) + coarse[y + 1][:, x + 1] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.uint8)


def moving_square(
    count: int, height: int = 64, width: int = 96, side: int = 24, step: int = 3
) -> list[np.ndarray]:
    """A textured square that moves right by ``step`` pixels a frame over another, static texture."""
    background, square = texture(height, width, 1) // 2, texture(side, side, 2) // 2 + 127
    frames = []
    for index in range(count):
        frame = background.copy()
        left = 8 + index * step
        frame[20 : 20 + side, left : left + side] = square
        frames.append(frame)
    return frames


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "ffv1",
    pix_fmt: str = "bgr0",
    rate: int = 10,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    audio: bool = False,
    color_range: int | None = None,
    colorspace: int | None = None,
    transfer: int | None = None,
) -> Path:
    """Encode frames: uint8 grey, RGB or RGBA, or uint16 RGB; with ``audio``, a tone as long as the clip.

    Args:
        times: presentation time of each frame in units of ``time_base``; None: equal steps.
        color_range, colorspace, transfer: FFmpeg's numbers, written into the stream.
    """
    base = time_base or Fraction(1, rate)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = base
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if transfer is not None:
            stream.codec_context.color_trc = transfer
        tone = out.add_stream("aac", rate=16000, layout="mono") if audio else None
        for index, pixels in enumerate(frames):
            kind = {1: "gray", 3: "rgb24", 4: "rgba"}[pixels.shape[2]]
            kind = "rgb48le" if pixels.dtype == np.uint16 else kind
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
            frame = frame.reformat(
                format=pix_fmt,
                dst_colorspace=colorspace if colorspace in (1, 5) else 5,
                src_color_range=2,
                dst_color_range=color_range or 1,
            )
            frame.pts, frame.time_base = (times[index] if times else index), base
            out.mux(stream.encode(frame))
        if tone is not None:
            _tone(out, tone, len(frames) / rate)
        out.mux(stream.encode(None))
    return path


def _tone(out: Any, stream: Any, seconds: float) -> None:
    count = int(16000 * seconds)
    wave = (np.sin(np.arange(count) * 2 * np.pi * 440 / 16000) * 8000).astype(np.int16)
    for start in range(0, count, 1024):
        block = wave[None, start : start + 1024]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """(time in seconds, bytes) of each packet of the first stream of a kind: ``video`` or ``audio``."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets]


def rotate_mp4(path: Path) -> None:
    """Set the display matrix of an MP4's first track to a quarter turn, as phones do."""
    data = bytearray(path.read_bytes())
    body = data.index(b"tkhd") + 4  # version 0: the matrix is 40 bytes on
    unit = 1 << 16  # 1.0 in 16.16 fixed point
    matrix = [0, unit, 0, -unit & 0xFFFFFFFF, 0, 0, 0, 0, 1 << 30]
    data[body + 40 : body + 76] = b"".join(value.to_bytes(4, "big") for value in matrix)
    path.write_bytes(data)


def copied(source: Path, path: Path, codec: str | None = None, **options: Any) -> Path:
    """A clip read by our reader and written by our writer, unpainted."""
    clip = open_clip(source)
    frames = ((frame.time, frame.pixels) for frame in read(clip))
    return write(path, frames, clip, choose_codec(path, codec), **options)
