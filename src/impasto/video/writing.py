"""Frames to a clip: the video encoded, everything else of the source copied through untouched.

Written beside its place and renamed when it is whole. The same frames give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from impasto.errors import VideoError
from impasto.video.frames import SCALING, Clip, matrix_of, video_errors

__all__ = ["CODECS", "Codec", "choose_codec", "require_container", "write"]

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class Codec:
    """How frames are encoded.

    Attributes:
        encoder: FFmpeg's name.
        formats: pixel formats without and with alpha; the latter empty where there is none.
        options: the encoder's; ``crf`` is set from the quality where the encoder has one.
        even: both sides must be even, as chroma is stored at half size.
        deep: more than 8 bits a channel are kept.
    """

    encoder: str
    formats: tuple[str, str]
    options: tuple[tuple[str, str], ...] = ()
    crf: bool = False
    even: bool = False
    deep: bool = False


# Without the macroblock tree: with it, x264's bytes depended on what the heap had held before (the same
# frames gave either of two files, whatever the threads); a resumed run must end in the same bytes.
_H264 = (("preset", "medium"), ("x264-params", "mbtree=0"))

# x265 writes a page about itself for every clip, past FFmpeg's own log.
_HEVC = (("preset", "medium"), ("x265-params", "log-level=error"))

CODECS: dict[str, Codec] = {
    "h264": Codec("libx264", ("yuv420p", ""), _H264, crf=True, even=True),
    "hevc": Codec("libx265", ("yuv420p", ""), _HEVC, crf=True, even=True),
    "vp9": Codec("libvpx-vp9", ("yuv420p", ""), (("b", "0"),), crf=True, even=True),
    "prores": Codec("prores_ks", ("yuv422p10le", "yuva444p10le"), even=True, deep=True),
    "ffv1": Codec("ffv1", ("bgr0", "bgra"), (("level", "3"),)),
    "png": Codec("png", ("rgb24", "rgba")),
}

#: What a container gets where no codec is named.
_USUAL = {".mp4": "h264", ".m4v": "h264", ".mov": "h264", ".mkv": "h264", ".webm": "vp9", ".avi": "h264"}


def choose_codec(path: Path, name: str | None) -> Codec:
    """The codec by name, or the usual one for the file's ending."""
    if path.suffix.lower() not in _USUAL:
        endings = ", ".join(_USUAL)
        raise VideoError(f"the output '{path}' has an ending that cannot be written", endings, "rename it")
    codec = CODECS[name or _USUAL[path.suffix.lower()]]
    if codec.encoder not in av.codecs_available:
        raise VideoError(
            f"this PyAV cannot encode with {codec.encoder}", "another --codec", "pip install --upgrade av"
        )
    return codec


def _copied(container: Any, kinds: Iterable[str]) -> list[Any]:
    return [stream for stream in container.streams if stream.type in tuple(kinds)]


def _add_copies(out: Any, source: Any, kinds: Iterable[str]) -> dict[int, Any]:
    """Streams for what is copied: index in the source → stream in the result."""
    copies = {}
    for stream in _copied(source, kinds):
        try:
            copy = out.add_stream_from_template(stream)
        except (ValueError, RuntimeError, OSError):
            raise _refused(stream, out.name) from None
        copy.metadata.update(stream.metadata)
        with suppress(AttributeError, TypeError):  # read-only in older versions
            copy.disposition = stream.disposition
        copies[stream.index] = copy
    return copies


def _refused(stream: Any, name: str) -> VideoError:
    codec = stream.codec_context.name if stream.codec_context else "unknown"
    return VideoError(
        f"the clip's {stream.type} ({codec}) cannot be copied into '{Path(name).name}'",
        "a container that holds it",
        "name the output .mkv, or give --copy audio or --copy nothing",
    )


def require_container(path: Path, clip: Clip, codec: Codec, copy: Iterable[str], quality: int) -> None:
    """Find out before the work whether ``path`` can hold the video and what is copied.

    Raises:
        VideoError: it cannot, or its folder cannot be written to.
    """
    trial = path.with_name(f".{path.stem[:40]}.trial{path.suffix}")
    side = np.zeros((64, 64, 3), dtype=np.uint8)
    try:
        _write(trial, [(0, side)], clip, codec, quality, tuple(copy), limit=0)
    finally:
        with suppress(OSError):
            trial.unlink()


def write(
    path: Path,
    frames: Iterable[tuple[int, Pixels]],
    clip: Clip,
    codec: Codec,
    *,
    quality: int = 16,
    copy: Iterable[str] = ("audio", "subtitle"),
) -> Path:
    """Encode frames and copy the rest of ``clip`` beside them.

    Args:
        frames: (time in the clip's ``time_base``, (H, W, 3 or 4) uint8 or uint16 RGB), in order.
        quality: constant rate factor of h264, hevc and vp9: 0 (lossless) to 51.
        copy: kinds of streams that are copied: ``audio``, ``subtitle``.

    Raises:
        VideoError: it cannot be written; what was at ``path`` before is untouched.
    """
    partial = path.with_name(f".{path.stem[:40]}.partial{path.suffix}")
    try:
        _write(partial, frames, clip, codec, quality, tuple(copy))
        with video_errors(f"'{path}' cannot be written"):
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()
    return path


def _write(
    path: Path,
    frames: Iterable[tuple[int, Pixels]],
    clip: Clip,
    codec: Codec,
    quality: int,
    copy: tuple[str, ...],
    limit: int | None = None,
) -> None:
    with video_errors(f"'{path.name}' cannot be written", "choose another --codec or container"):
        source = None if clip.files else av.open(str(clip.path), metadata_errors="ignore")
        try:
            # Without "bitexact" Matroska and WebM get new random numbers every time.
            with av.open(str(path), "w", options={"fflags": "+bitexact"}) as out:
                _fill(out, frames, clip, codec, quality, source, copy, limit)
        finally:
            if source is not None:
                source.close()


def _fill(
    out: Any,
    frames: Iterable[tuple[int, Pixels]],
    clip: Clip,
    codec: Codec,
    quality: int,
    source: Any,
    copy: tuple[str, ...],
    limit: int | None,
) -> None:
    rest: Iterator[Any] = iter(())
    stream, copies = None, {}
    waiting: Any = None
    end = Fraction(0)
    for time, pixels in frames:
        if stream is None:
            stream = _video_stream(out, pixels, clip, codec, quality)
            if source is not None:
                out.metadata.update({k: v for k, v in source.metadata.items() if k in _KEPT})
                copies = _add_copies(out, source, copy)
                rest = _packets(source, copies)
        moment = time * clip.time_base
        end = max(end, moment + 1 / clip.rate)
        # Interleaved by time, so that the muxer has nothing to hold back.
        waiting = _mux_until(out, rest, waiting, copies, moment)
        out.mux(stream.encode(_to_frame(pixels, time, clip, codec, stream)))
    if stream is None:
        raise VideoError("no frames to encode", "at least one")
    out.mux(stream.encode(None))
    if limit is None:
        _mux_until(out, rest, waiting, copies, None if end >= clip.end * clip.time_base else end)


_KEPT = ("title", "artist", "comment", "date", "copyright", "description")


def _packets(source: Any, copies: dict[int, Any]) -> Iterator[Any]:
    chosen = [source.streams[index] for index in copies]
    if chosen:
        yield from (packet for packet in source.demux(chosen) if packet.dts is not None)


def _mux_until(
    out: Any, packets: Iterator[Any], waiting: Any, copies: dict[int, Any], moment: Fraction | None
) -> Any:
    """Copy packets up to a moment in seconds (None: all); returns the first that is later."""
    packet = waiting if waiting is not None else next(packets, None)
    while packet is not None and (moment is None or packet.dts * packet.time_base <= moment):
        packet.stream = copies[packet.stream.index]
        out.mux_one(packet)
        packet = next(packets, None)
    return packet


def _video_stream(out: Any, pixels: Pixels, clip: Clip, codec: Codec, quality: int) -> Any:
    height, width = pixels.shape[:2]
    options = dict(codec.options) | ({"crf": str(quality)} if codec.crf else {})
    stream = out.add_stream(codec.encoder, rate=clip.rate.limit_denominator(1_000_000), options=options)
    context = stream.codec_context
    stream.width, stream.height = (width + width % 2, height + height % 2) if codec.even else (width, height)
    alpha = pixels.shape[2] == 4 and codec.formats[1]
    stream.pix_fmt = codec.formats[1] if alpha else codec.formats[0]
    context.time_base = clip.time_base
    context.thread_count = 4  # the bytes depend on it, so it must not depend on the machine
    if clip.aspect != 1:
        context.sample_aspect_ratio = clip.aspect
    if "yuv" in stream.pix_fmt:
        # sRGB as it is: through the same matrix back it is the same, whatever primaries a player assumes.
        matrix = matrix_of(height)
        context.colorspace = {1: 1, 5: 6}[matrix]
        context.color_primaries, context.color_trc = (1, 1) if matrix == 1 else (6, 6)
        context.color_range = 1
    return stream


def _to_frame(pixels: Pixels, time: int, clip: Clip, codec: Codec, stream: Any) -> Any:
    """One frame for the encoder: padded to even sides by repeating the last row or column, never shifted."""
    height, width = pixels.shape[:2]
    padding = ((0, stream.height - height), (0, stream.width - width), (0, 0))
    if any(after for _, after in padding):
        pixels = np.pad(pixels, padding, mode="edge")
    alpha = pixels.shape[2] == 4
    if alpha and not codec.formats[1]:
        pixels, alpha = _on_white(pixels), False
    deep = pixels.dtype == np.uint16
    kind = ("rgba64le" if deep else "rgba") if alpha else ("rgb48le" if deep else "rgb24")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
    frame = frame.reformat(
        format=stream.pix_fmt,
        dst_colorspace=matrix_of(height),
        src_color_range=2,
        dst_color_range=1 if "yuv" in stream.pix_fmt else 2,
        interpolation=SCALING,
    )
    frame.pts, frame.time_base = time, clip.time_base
    return frame


def _on_white(pixels: Pixels) -> Pixels:
    """RGBA laid on white, as pictures without alpha are."""
    top = np.iinfo(pixels.dtype).max
    share = pixels[..., 3:].astype(np.float32) / top
    flat = pixels[..., :3] * share + top * (1.0 - share)
    return np.asarray(flat.round().astype(pixels.dtype))
