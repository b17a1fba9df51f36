"""Writes clips: frames are encoded, and sound and subtitles of the source are copied as they are.

The file is written whole or not at all. The same frames give the same bytes.
"""

from __future__ import annotations

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
from impasto.files import partial_path, replacing
from impasto.video.boundary import video_errors
from impasto.video.frames import (
    BT601,
    BT709,
    FULL_RANGE,
    LIMITED_RANGE,
    SCALING,
    Clip,
    matrix_of,
    open_container,
    rgb_format,
)

__all__ = ["CODECS", "Codec", "choose_codec", "copy_streams", "require_container", "write"]

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class Codec:
    """How frames are encoded.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        formats: pixel formats without and with alpha; the second is empty if alpha is not supported.
        options: fixed options of the encoder.
        crf: whether its quality is set by a constant rate factor.
        even: whether both sides must be even, because chroma is stored at half size.
        deep: whether more than 8 bits a channel are kept.
    """

    encoder: str
    formats: tuple[str, str]
    options: tuple[tuple[str, str], ...] = ()
    crf: bool = False
    even: bool = False
    deep: bool = False


# With x264's macroblock tree the bytes depend on what was in the heap before: the same frames gave either of
# two files, whatever the number of threads. A resumed run must end in the same bytes.
H264_OPTIONS = (("preset", "medium"), ("x264-params", "mbtree=0"))

# Otherwise x265 prints a page about itself for every clip, bypassing FFmpeg's log.
HEVC_OPTIONS = (("preset", "medium"), ("x265-params", "log-level=error"))

CODECS: dict[str, Codec] = {
    "h264": Codec("libx264", ("yuv420p", ""), H264_OPTIONS, crf=True, even=True),
    "hevc": Codec("libx265", ("yuv420p", ""), HEVC_OPTIONS, crf=True, even=True),
    "vp9": Codec("libvpx-vp9", ("yuv420p", ""), (("b", "0"),), crf=True, even=True),
    "prores": Codec("prores_ks", ("yuv422p10le", "yuva444p10le"), even=True, deep=True),
    "ffv1": Codec("ffv1", ("bgr0", "bgra"), (("level", "3"),)),
    "png": Codec("png", ("rgb24", "rgba")),
}

#: Ending of the output → the codec where none is named.
DEFAULT_CODECS = {
    ".mp4": "h264",
    ".m4v": "h264",
    ".mov": "h264",
    ".mkv": "h264",
    ".webm": "vp9",
    ".avi": "h264",
}


def choose_codec(path: Path, name: str | None) -> Codec:
    """The codec of that name; with None the default for the file's ending.

    Raises:
        VideoError: an unknown ending, or a codec that this PyAV lacks.
    """
    if path.suffix.lower() not in DEFAULT_CODECS:
        endings = ", ".join(DEFAULT_CODECS)
        raise VideoError(f"the output '{path}' has an ending that cannot be written", endings, "rename it")
    codec = CODECS[name or DEFAULT_CODECS[path.suffix.lower()]]
    if codec.encoder not in av.codecs_available:
        raise VideoError(
            f"this PyAV cannot encode with {codec.encoder}", "another --codec", "pip install --upgrade av"
        )
    return codec


def require_container(path: Path, clip: Clip, codec: Codec, copy: Iterable[str], quality: int) -> None:
    """Check before the work starts whether ``path`` can hold the video and the streams that are copied.

    Raises:
        VideoError: it cannot, or its folder cannot be written to.
    """
    trial = partial_path(path)
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    try:
        _write(trial, path.name, [(0, black)], clip, codec, quality, tuple(copy), whole=False)
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
    """Encode frames into ``path``, with the streams of ``clip`` that are copied.

    Args:
        frames: (time in the clip's ``time_base``, (H, W, 3 or 4) uint8 or uint16 RGB), in order.
        quality: constant rate factor of h264, hevc and vp9: 0 (lossless) to 51.
        copy: kinds of streams that are copied: ``audio``, ``subtitle``.

    Raises:
        VideoError: it cannot be written; what was at ``path`` before is untouched.
    """
    with video_errors(f"'{path}' cannot be written"), replacing(path) as partial:
        _write(partial, path.name, frames, clip, codec, quality, tuple(copy), whole=True)
    return path


def copy_streams(clip: Clip, path: Path, kinds: Iterable[str]) -> bool:
    """Write the streams of these kinds, as they are, into a file of their own.

    Returns:
        False if the clip has none; then no file is written.

    Raises:
        VideoError: the clip cannot be read, or the file cannot be written.
    """
    assert clip.copy_source is not None
    with (
        video_errors("the clip's sound cannot be copied"),
        open_container(clip.copy_source, clip.format) as source,
    ):
        streams = [stream for stream in source.streams if stream.type in tuple(kinds)]
        if not streams:
            return False
        with replacing(path) as partial, av.open(str(partial), "w", options={"fflags": "+bitexact"}) as out:
            copies = {stream.index: out.add_stream_from_template(stream) for stream in streams}
            for packet in source.demux(streams):
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    out.mux_one(packet)
    return True


def _write(
    path: Path,
    name: str,
    frames: Iterable[tuple[int, Pixels]],
    clip: Clip,
    codec: Codec,
    quality: int,
    copy: tuple[str, ...],
    *,
    whole: bool,
) -> None:
    """Write the clip to ``path``.

    Args:
        name: of the output, for messages.
        whole: False for a trial: the copied streams are not read to their end.
    """
    with video_errors(f"'{name}' cannot be written", "choose another --codec or container"):
        source = None if clip.copy_source is None else open_container(clip.copy_source, clip.format)
        try:
            # Without "bitexact" Matroska and WebM get new random numbers every time.
            with av.open(str(path), "w", options={"fflags": "+bitexact"}) as out:
                writer = _ClipWriter(out, name, clip, codec, quality, source, copy)
                for time, pixels in frames:
                    writer.add(time, pixels)
                writer.finish(whole)
        finally:
            if source is not None:
                source.close()


class _ClipWriter:
    """An open output file: encodes frames, and copies packets of the source between them.

    Args:
        out, source: PyAV's containers; no source for a folder of pictures.
        name: of the output, for messages.
        copy: kinds of streams that are copied.
    """

    def __init__(
        self, out: Any, name: str, clip: Clip, codec: Codec, quality: int, source: Any, copy: tuple[str, ...]
    ) -> None:
        self.out, self.name, self.source = out, name, source
        self.clip, self.codec, self.quality, self.copy = clip, codec, quality, copy
        self.stream: Any = None
        self.end = Fraction(0)  # of the video so far, in seconds
        self._copies: dict[int, Any] = {}  # index of a stream in the source → its copy
        self._packets: Iterator[Any] = iter(())
        self._next_packet: Any = None

    def add(self, time: int, pixels: Pixels) -> None:
        """Encode a frame, after copying the packets before it: the muxer needs packets in order of time."""
        if self.stream is None:
            self._add_streams(pixels)
        seconds = time * self.clip.time_base
        self.end = max(self.end, seconds + 1 / self.clip.rate)
        self._copy_until(seconds)
        self.out.mux(self.stream.encode(_to_frame(pixels, time, self.clip, self.codec, self.stream)))

    def finish(self, whole: bool) -> None:
        """End the video. If ``whole``, copy the rest of the streams, up to the end of a video cut short."""
        if self.stream is None:
            raise VideoError("no frames to encode", "at least one")
        self.out.mux(self.stream.encode(None))
        if whole:
            complete = self.end >= self.clip.end * self.clip.time_base
            self._copy_until(None if complete else self.end)

    def _add_streams(self, pixels: Pixels) -> None:
        """Add all streams, which must be there before the first packet is written."""
        self.stream = _video_stream(self.out, pixels, self.clip, self.codec, self.quality)
        if self.source is None:
            return
        metadata = self.source.metadata.items()
        self.out.metadata.update({key: value for key, value in metadata if key in COPIED_METADATA})
        for stream in self.source.streams:
            if stream.type in self.copy:
                self._copies[stream.index] = self._add_copy(stream)
        if self._copies:
            chosen = [self.source.streams[index] for index in self._copies]
            self._packets = (packet for packet in self.source.demux(chosen) if packet.dts is not None)

    def _add_copy(self, stream: Any) -> Any:
        try:
            copy = self.out.add_stream_from_template(stream)
        except (ValueError, RuntimeError, OSError):
            codec = stream.codec_context.name if stream.codec_context else "unknown"
            raise VideoError(
                f"the clip's {stream.type} ({codec}) cannot be copied into '{self.name}'",
                "a container that holds it",
                "name the output .mkv, or give --copy audio or --copy nothing",
            ) from None
        copy.metadata.update(stream.metadata)
        with suppress(AttributeError, TypeError):  # read-only in older versions of PyAV
            copy.disposition = stream.disposition
        return copy

    def _copy_until(self, seconds: Fraction | None) -> None:
        """Copy packets up to a time; None: all that are left."""
        packet = self._next_packet if self._next_packet is not None else next(self._packets, None)
        while packet is not None and (seconds is None or packet.dts * packet.time_base <= seconds):
            packet.stream = self._copies[packet.stream.index]
            self.out.mux_one(packet)
            packet = next(self._packets, None)
        self._next_packet = packet


COPIED_METADATA = ("title", "artist", "comment", "date", "copyright", "description")


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
        # The properties name the matrix that the frames are converted with, so that players convert them
        # back.
        matrix = matrix_of(height)
        code = {BT709: 1, BT601: 6}[matrix]  # the same number for FFmpeg's three properties
        context.colorspace = context.color_primaries = context.color_trc = code
        context.color_range = LIMITED_RANGE
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
    kind = rgb_format(deep=pixels.dtype == np.uint16, alpha=alpha)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
    frame = frame.reformat(
        format=stream.pix_fmt,
        dst_colorspace=matrix_of(height),
        src_color_range=FULL_RANGE,
        dst_color_range=LIMITED_RANGE if "yuv" in stream.pix_fmt else FULL_RANGE,
        interpolation=SCALING,
    )
    frame.pts, frame.time_base = time, clip.time_base
    return frame


def _on_white(pixels: Pixels) -> Pixels:
    """RGBA (H, W, 4) on white, (H, W, 3), for formats without alpha."""
    top = np.iinfo(pixels.dtype).max
    share = pixels[..., 3:].astype(np.float32) / top
    flat = pixels[..., :3] * share + top * (1.0 - share)
    return np.asarray(flat.round().astype(pixels.dtype))
