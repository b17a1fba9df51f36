"""Reads clips one frame at a time: any container and codec that FFmpeg reads, or a folder of pictures.

Frames are upright, full range RGB, with the time they are shown at. A frame is corrupt if the clip's packets
include its time, but no frame could be decoded for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch

from impasto import pictures
from impasto.errors import ImpastoError, VideoError
from impasto.video.boundary import video_errors
from impasto.video.exr import read_exr
from impasto.video.hdr import to_standard

__all__ = ["SCALING", "Clip", "Frame", "matrix_of", "open_clip", "open_container", "read", "rgb_format"]

Pixels = npt.NDArray[Any]

#: Endings of the pictures in a folder that is a clip.
FRAME_SUFFIXES = (*pictures.READABLE_SUFFIXES, ".exr")
#: FFmpeg's AVColorSpace of a frame → the colour matrix that swscale uses for it.
SWS_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
BT709, BT601 = 1, 5
#: FFmpeg's AVColorRange.
LIMITED_RANGE, FULL_RANGE = 1, 2
#: FFmpeg's AV_DISPOSITION_ATTACHED_PIC: a cover, not a moving picture.
ATTACHED_PICTURE = 0x400
#: SWS_BICUBIC, SWS_ACCURATE_RND and SWS_FULL_CHR_H_INP, because swscale's shortcuts shift colours.
SCALING = 0x4 | 0x40000 | 0x2000
#: A pixel format with transparency.
ALPHA_FORMAT = re.compile(r"yuva|gbrap|rgba|bgra|argb|abgr|ya\d|pal8")


@dataclass(frozen=True)
class Clip:
    """The properties of a clip, known before its frames are decoded.

    Attributes:
        path: a file, or a folder of pictures.
        files: the folder's pictures in order; empty for a file.
        width, height: in pixels, upright.
        rate: frames a second, on average.
        time_base: unit of ``times``, in seconds.
        times: when each frame is shown; empty where the container does not say.
        end: when the last frame ends, in units of ``time_base``; 0 where the container does not say.
        aspect: a pixel's width over its height.
        deep: whether it has more than 8 bits a channel.
        alpha: whether it has transparency.
        copy_source: file whose sound, subtitles and metadata are copied into the result; None: there is none.
        format: FFmpeg's name of the container of ``path`` and ``copy_source``; None: FFmpeg finds it out.
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
    copy_source: Path | None = None
    format: str | None = None

    def frame_name(self, index: int) -> str:
        """The name of a frame's file, without ending: its own in a folder, otherwise its number from 0."""
        return self.files[index].stem if self.files else f"{index:06d}"


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        index: from 0.
        time: in units of the clip's ``time_base``.
        pixels: (H, W, 3 or 4) uint8 or uint16, full range RGB or RGBA, upright.
        corrupt: whether it could not be decoded; the pixels are then those of its neighbour.
    """

    index: int
    time: int
    pixels: Pixels
    corrupt: bool = False


def open_container(path: Path, format: str | None) -> Any:
    """PyAV's container for reading, which reads no other file or address, whatever is in this one.

    Args:
        format: FFmpeg's name of it; None: FFmpeg finds it out.
    """
    return av.open(str(path), format=format, metadata_errors="ignore", options={"protocol_whitelist": "file"})


def open_clip(
    path: str | os.PathLike[str], rate: Fraction | float = 25, *, format: str | None = None
) -> Clip:
    """Read the table of packets of a clip, and decode its first frame and no other.

    Args:
        path: a file, or a folder of pictures in the natural order of their names.
        rate: frames a second of a folder.
        format: FFmpeg's name of the container; None: FFmpeg finds it out, playlists of other files included.

    Raises:
        VideoError: no such file, no video in it, or nothing of it can be decoded.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, Fraction(rate).limit_denominator(100_000))
    if not path.exists():
        raise VideoError(f"there is no file '{path}'", "a clip or a folder of pictures", "check the path")
    with video_errors(f"'{path}' cannot be read", "give a video file, or export it again"):
        return _open_file(path, format)


def _open_folder(folder: Path, rate: Fraction) -> Clip:
    files = sorted(
        (file for file in folder.iterdir() if file.suffix.lower() in FRAME_SUFFIXES),
        key=lambda file: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)],
    )
    if not files:
        endings = ", ".join(FRAME_SUFFIXES)
        raise VideoError(f"the folder '{folder}' holds no pictures", f"files ending in {endings}")
    first = next((array for array in map(_load_or_none, files) if array is not None), None)
    if first is None:
        raise VideoError(f"none of the {len(files)} pictures in '{folder}' can be read", "pictures as frames")
    height, width = first.shape[:2]
    return Clip(
        path=folder,
        files=tuple(files),
        width=width,
        height=height,
        rate=rate,
        time_base=1 / rate,
        times=tuple(range(len(files))),
        end=len(files),
        aspect=Fraction(1),
        deep=first.dtype == np.uint16,
        alpha=first.shape[2] == 4,
    )


def _load_or_none(file: Path) -> Pixels | None:
    """A picture of a folder as (H, W, 3 or 4), uint16 if it has values between those of uint8."""
    try:
        picture = read_exr(file) if file.suffix.lower() == ".exr" else pictures.load(file)
    except ImpastoError:
        return None
    planes = [picture.pixels, *([] if picture.alpha is None else [picture.alpha])]
    samples = np.moveaxis(torch.cat(planes, 1)[0].numpy(), 0, 2)
    eight_bit = np.round(samples * np.float32(255)).astype(np.uint8)
    if np.array_equal(eight_bit / np.float32(255), samples):
        return eight_bit
    return np.round(samples * np.float64(65535)).astype(np.uint16)


def _video_stream(container: Any, path: Path) -> Any:
    """The first video stream that is not a cover."""
    for stream in container.streams.video:
        if not int(stream.disposition) & ATTACHED_PICTURE:
            stream.thread_type = "SLICE"  # frame threads would report an error late, at another frame
            return stream
    raise VideoError(f"'{path}' has no video in it", "a clip", "give a file with moving pictures")


def _open_file(path: Path, format: str | None) -> Clip:
    with open_container(path, format) as container:
        stream = _video_stream(container, path)
        packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
        has_times = packets and all(packet.pts is not None for packet in packets)
        times = tuple(sorted({packet.pts for packet in packets})) if has_times else ()
        rate = Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or 25)
        time_base = Fraction(stream.time_base or 1 / rate)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        usual_duration = max(1, round(1 / (rate * time_base)))
        durations = (packet.duration for packet in packets if times and packet.pts == times[-1])
        last_duration = next(filter(None, durations), usual_duration)
    first = next(_decoded(path, format), None)
    if first is None:
        raise VideoError(f"no frame of '{path}' can be decoded", "a clip", "export or download it again")
    height, width = first.height, first.width
    on_its_side = first.rotation % 180 != 0
    return Clip(
        path=path,
        files=(),
        width=height if on_its_side else width,
        height=width if on_its_side else height,
        rate=rate,
        time_base=time_base,
        times=times,
        end=times[-1] + last_duration if times else 0,
        aspect=1 / aspect if on_its_side else aspect,
        deep=max(component.bits for component in first.format.components) > 8,
        alpha=ALPHA_FORMAT.match(first.format.name) is not None,
        copy_source=path,
        format=format,
    )


def _decoded(path: Path, format: str | None) -> Iterator[Any]:
    """FFmpeg's frames in the order they are shown; packets that it cannot decode are skipped."""
    with open_container(path, format) as container:
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
        on_corrupt: ``repeat``: a corrupt frame is yielded with the pixels of its neighbour; ``stop``: it
        raises.

    Raises:
        VideoError: a frame is corrupt and ``stop`` was asked for, or none can be decoded.
    """
    source = _read_folder(clip) if clip.files else _read_file(clip)
    missing: list[tuple[int, int]] = []  # corrupt frames at the start wait for the first good one
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
        for missing_index, missing_time in missing:
            yield Frame(missing_index, missing_time, pixels, corrupt=True)
        missing, last = [], pixels
        yield Frame(index, time, pixels)
    if last is None:
        raise VideoError(f"no frame of '{clip.path}' can be decoded", "a clip", "export it again")


def _read_folder(clip: Clip) -> Iterator[tuple[int, Pixels | None]]:
    for index, file in enumerate(clip.files):
        array = _load_or_none(file)
        if array is None:
            yield index, None
            continue
        if array.shape[:2] != (clip.height, clip.width):
            got = f"'{file}' is {array.shape[1]}×{array.shape[0]} pixels"
            raise VideoError(got, f"{clip.width}×{clip.height}, as the first", "give all pictures one size")
        yield index, _like_the_clip(array, clip)


def _like_the_clip(array: Pixels, clip: Clip) -> Pixels:
    """A picture of a folder with the depth and the channels of the clip, which are those of its first one."""
    if clip.deep and array.dtype == np.uint8:
        array = array.astype(np.uint16) * np.uint16(257)
    elif not clip.deep and array.dtype == np.uint16:
        array = np.round(array / 257.0).astype(np.uint8)
    if clip.alpha and array.shape[2] == 3:
        opaque = np.full((*array.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
        array = np.concatenate([array, opaque], axis=2)
    return array if clip.alpha else array[..., :3]


def _read_file(clip: Clip) -> Iterator[tuple[int, Pixels | None]]:
    """(time, pixels) with strictly ascending times; None as pixels if no frame was decoded for a time."""
    expected = iter(clip.times)
    due = next(expected, None)
    usual_duration = max(1, round(1 / (clip.rate * clip.time_base)))
    last: int | None = None
    with video_errors(f"'{clip.path}' cannot be read"):
        for frame in _decoded(clip.path, clip.format):
            time = frame.pts if frame.pts is not None else (0 if last is None else last + usual_duration)
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
    """The colour matrix that players assume if a clip names none: BT.709 from 720 lines on, BT.601 below."""
    return BT709 if height >= 720 else BT601


def rgb_format(*, deep: bool, alpha: bool) -> str:
    """FFmpeg's name of the RGB format with 8 or 16 bits a channel, with or without alpha."""
    return ("rgba64le" if deep else "rgba") if alpha else ("rgb48le" if deep else "rgb24")


def _upright(frame: Any, clip: Clip) -> Pixels:
    """(H, W, 3 or 4) full range RGB for an ordinary screen, rotated as the container says."""
    on_its_side = frame.rotation % 180 != 0
    width, height = (clip.height, clip.width) if on_its_side else (clip.width, clip.height)
    full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
    converted = frame.reformat(
        width=width,
        height=height,
        format=rgb_format(deep=clip.deep, alpha=clip.alpha),
        src_colorspace=SWS_MATRICES.get(int(frame.colorspace), matrix_of(frame.height)),
        src_color_range=FULL_RANGE if full else LIMITED_RANGE,
        dst_color_range=FULL_RANGE,
        interpolation=SCALING,
    )
    array = to_standard(converted.to_ndarray(), int(frame.color_trc))
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(array, quarter_turns)) if quarter_turns else array
