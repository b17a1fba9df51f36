"""Clips to frames: any container and codec that FFmpeg reads, or a folder of pictures. One frame at a time.

A frame comes upright, full range RGB, with the time it is shown at. What cannot be decoded is found by the
clip's own table of packets: a time that never brought a frame is a corrupt frame.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from impasto import pictures
from impasto.errors import ImpastoError, VideoError
from impasto.video.hdr import to_standard

__all__ = ["Clip", "Frame", "matrix_of", "open_clip", "read"]

Pixels = npt.NDArray[Any]

#: AVColorSpace of a frame → the matrices that swscale knows.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_BT709, _BT601 = 1, 5
_FULL_RANGE = 2
#: Bicubic, with exact rounding and chroma interpolated at full width: swscale's shortcuts shift colours.
SCALING = 0x4 | 0x40000 | 0x2000


@dataclass(frozen=True)
class Clip:
    """What is known of a clip before its frames are decoded.

    Attributes:
        path: a file, or a folder of pictures.
        files: the folder's pictures in order; empty for a file.
        width, height: in pixels, upright.
        rate: frames a second, on average.
        time_base: unit of ``times``, in seconds.
        times: when each frame is shown; empty where the container does not say.
        end: when the last frame ends.
        aspect: a pixel's width over its height.
        deep: more than 8 bits a channel.
        alpha: it has transparency.
    """

    path: Path
    files: tuple[Path, ...]
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    times: tuple[int, ...]
    end: int
    aspect: Fraction
    deep: bool
    alpha: bool


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        index: from 0.
        time: in units of the clip's ``time_base``.
        pixels: (H, W, 3 or 4) uint8 or uint16, full range RGB or RGBA, upright.
        corrupt: it could not be decoded; the pixels are its neighbour's.
    """

    index: int
    time: int
    pixels: Pixels
    corrupt: bool = False


@contextmanager
def video_errors(what: str, remedy: str = "") -> Iterator[None]:
    """The boundary to FFmpeg and the disk: whatever they raise becomes one ``VideoError``."""
    try:
        yield
    except ImpastoError:
        raise
    except OSError as error:  # FFmpeg's errors are of this class too
        full = error.errno == 28
        reason = "the disk is full" if full else (error.strerror or str(error)).lower()
        raise VideoError(f"{what}: {reason}", remedy="make room and run again" if full else remedy) from None
    except (ValueError, RuntimeError, MemoryError) as error:
        raise VideoError(f"{what}: {error or type(error).__name__}", remedy=remedy) from None


def open_clip(path: str | os.PathLike[str], rate: Fraction | float = 25) -> Clip:
    """Look at a clip: its table of packets is read, nothing is decoded but the first frame.

    Args:
        path: a file, or a folder of pictures in the natural order of their names.
        rate: frames a second of a folder.

    Raises:
        VideoError: no such file, no video in it, or nothing of it can be decoded.
    """
    place = Path(path)
    if place.is_dir():
        return _open_folder(place, Fraction(rate).limit_denominator(100_000))
    if not place.exists():
        raise VideoError(f"there is no file '{place}'", "a clip or a folder of pictures", "check the path")
    with video_errors(f"'{place}' cannot be read", "give a video file, or export it again"):
        return _open_file(place)


def _open_folder(place: Path, rate: Fraction) -> Clip:
    files = sorted(
        (one for one in place.iterdir() if one.suffix.lower() in pictures.READABLE_SUFFIXES),
        key=lambda one: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", one.name)],
    )
    if not files:
        endings = ", ".join(pictures.READABLE_SUFFIXES)
        raise VideoError(f"the folder '{place}' holds no pictures", f"files ending in {endings}")
    first = next((one for one in (_try_picture(file) for file in files) if one is not None), None)
    if first is None:
        raise VideoError(f"none of the {len(files)} pictures in '{place}' can be read", "pictures as frames")
    height, width = first.size
    count = len(files)
    return Clip(
        place, tuple(files), width, height, rate, 1 / rate, tuple(range(count)), count,
        Fraction(1), False, first.alpha is not None,
    )  # fmt: skip


def _try_picture(file: Path) -> pictures.Picture | None:
    try:
        return pictures.load(file)
    except ImpastoError:
        return None


def _video_stream(container: Any, path: Path) -> Any:
    """The first moving picture: a cover is a video stream too."""
    for stream in container.streams.video:
        if not int(stream.disposition) & 0x400:  # AV_DISPOSITION_ATTACHED_PIC
            stream.thread_type = "SLICE"  # frame threads report an error late, at another frame
            return stream
    raise VideoError(f"'{path}' has no video in it", "a clip", "give a file with moving pictures")


def _open_file(path: Path) -> Clip:
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = _video_stream(container, path)
        packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
        known = packets and all(p.pts is not None for p in packets)
        times = tuple(sorted({p.pts for p in packets})) if known else ()
        rate = Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or 25)
        time_base = Fraction(stream.time_base or 1 / rate)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        tick = max(1, round(1 / (rate * time_base)))
        last = next((p.duration for p in packets if known and p.pts == times[-1] and p.duration), tick)
    first = next(_decoded(path), None)
    if first is None:
        raise VideoError(f"no frame of '{path}' can be decoded", "a clip", "export or download it again")
    height, width = first.height, first.width
    turned = first.rotation % 180 != 0
    bits = [part.bits for part in first.format.components]
    return Clip(
        path,
        (),
        height if turned else width,
        width if turned else height,
        rate,
        time_base,
        times,
        (times[-1] + last) if times else 0,
        1 / aspect if turned else aspect,
        max(bits) > 8,
        _has_alpha(first),
    )


def _has_alpha(frame: Any) -> bool:
    return bool(re.match(r"yuva|gbrap|rgba|bgra|argb|abgr|ya\d|pal8", frame.format.name))


def _decoded(path: Path) -> Iterator[Any]:
    """FFmpeg's frames in the order they are shown; packets that it cannot decode are passed over."""
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = _video_stream(container, path)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                packet = None  # the file ends in the middle of a packet
            if packet is not None and packet.is_discard:
                continue
            try:
                frames = stream.decode(packet)
            except av.FFmpegError:
                frames = []
            yield from (frame for frame in frames if not frame.is_corrupt)
            if packet is None or packet.size == 0:
                return


def read(clip: Clip, on_corrupt: str = "repeat") -> Iterator[Frame]:
    """Every frame in order.

    Args:
        on_corrupt: ``repeat`` gives the neighbour's pixels, marked corrupt; ``stop`` raises.

    Raises:
        VideoError: a frame is corrupt and ``stop`` was asked for, or none can be decoded.
    """
    source = _read_folder(clip) if clip.files else _read_file(clip)
    missing: list[tuple[int, int]] = []
    last: Pixels | None = None
    for index, (time, pixels) in enumerate(source):
        if pixels is None:
            if on_corrupt == "stop":
                at = f"frame {index + 1} of '{clip.path}', at {float(time * clip.time_base):.2f} s,"
                raise VideoError(
                    f"{at} cannot be decoded", "a whole clip", "use --on-corrupt repeat to have it repeated"
                )
            if last is None:
                missing.append((index, time))
            else:
                yield Frame(index, time, last, corrupt=True)
            continue
        for early, at_time in missing:
            yield Frame(early, at_time, pixels, corrupt=True)
        missing, last = [], pixels
        yield Frame(index, time, pixels)
    if last is None:
        raise VideoError(f"no frame of '{clip.path}' can be decoded", "a clip", "export it again")


def _read_folder(clip: Clip) -> Iterator[tuple[int, Pixels | None]]:
    for index, file in enumerate(clip.files):
        picture = _try_picture(file)
        if picture is None:
            yield index, None
            continue
        if picture.size != (clip.height, clip.width):
            got = f"'{file}' is {picture.size[1]}×{picture.size[0]} pixels"
            raise VideoError(got, f"{clip.width}×{clip.height}, as the first", "make all alike")
        array = pictures.to_uint8(picture.pixels)
        if clip.alpha:
            alpha = np.full(array.shape[:2], 255, np.uint8)
            if picture.alpha is not None:
                alpha = (picture.alpha[0, 0].numpy() * 255.0).round().astype(np.uint8)
            array = np.dstack([array, alpha])
        yield index, array


def _read_file(clip: Clip) -> Iterator[tuple[int, Pixels | None]]:
    """Times in strict order; a time of the packet table that brought no frame comes with None."""
    expected = iter(clip.times)
    due = next(expected, None)
    tick = max(1, round(1 / (clip.rate * clip.time_base)))
    last: int | None = None
    with video_errors(f"'{clip.path}' cannot be read"):
        for frame in _decoded(clip.path):
            time = frame.pts if frame.pts is not None else (0 if last is None else last + tick)
            while due is not None and due < time:
                yield due, None
                last, due = due, next(expected, None)
            if last is not None and time <= last:
                time = last + 1
            elif time == due:
                due = next(expected, None)
            last = time
            yield time, _upright(frame, clip)
    while due is not None:
        yield due, None
        due = next(expected, None)


def matrix_of(height: int) -> int:
    """The matrix of a picture that does not say: BT.709 from 720 lines on, BT.601 below, as players do."""
    return _BT709 if height >= 720 else _BT601


def _upright(frame: Any, clip: Clip) -> Pixels:
    """(H, W, 3 or 4) full range RGB for an ordinary screen, rotated as the container says."""
    turned = frame.rotation % 180 != 0
    width, height = (clip.height, clip.width) if turned else (clip.width, clip.height)
    kind = ("rgba64le" if clip.deep else "rgba") if clip.alpha else ("rgb48le" if clip.deep else "rgb24")
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    converted = frame.reformat(
        width=width,
        height=height,
        format=kind,
        src_colorspace=_MATRICES.get(int(frame.colorspace), matrix_of(frame.height)),
        src_color_range=2 if full else 1,
        dst_color_range=2,
        interpolation=SCALING,
    )
    array = to_standard(converted.to_ndarray(), int(frame.color_trc))
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(array, quarter_turns)) if quarter_turns else array


def steady(times: tuple[int, ...]) -> bool:
    """Whether the frames follow each other at one rate."""
    gaps = {b - a for a, b in pairwise(times)}
    return len(gaps) <= 1 or max(gaps) - min(gaps) <= 1
