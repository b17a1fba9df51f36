"""Detects what an uploaded file is, by its bytes alone, and whether its header is within the limits.

File names and content types that a client sends are never looked at. All but :func:`detect_format` runs
sandboxed: even a header is parsed by code that has had security holes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from impasto import pictures
from impasto.studio.errors import RefusedError
from impasto.studio.settings import StudioSettings

__all__ = ["UploadHeader", "check_upload", "detect_format"]

# FFmpeg's name of each accepted container, by signature. FFmpeg's own detection is not used: it also knows
# playlist formats, which would make it open other files.
_CONTAINERS = (
    (rb"....(ftyp|moov|mdat|wide)", "mov"),
    (rb"\x1aE\xdf\xa3", "matroska"),
    (rb"RIFF....AVI ", "avi"),
    (rb"G.{187}G", "mpegts"),
)
_CODECS = {
    "h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "h263", "prores",
    "ffv1", "theora", "vc1", "wmv3", "dav1d", "vpx", "vpx-vp9",
}  # fmt: skip
#: Pillow's names of the accepted formats. Impasto reads more (JPEG 2000, PSD, ICO, PPM), but each decoder
#: is one more that a stranger's file may break.
_PICTURES = {"PNG", "JPEG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "GIF"}
_COVER_ART = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC: a still picture inside a sound or video file


@dataclass(frozen=True)
class UploadHeader:
    """What a file's header says.

    Attributes:
        kind: ``image`` or ``video``.
        format: Pillow's or FFmpeg's name of the format.
        width, height: in pixels as stored, before any rotation by EXIF.
        frames: of a clip; 0 if the container does not say.
        seconds: duration of a clip.
    """

    kind: str
    format: str
    width: int
    height: int
    frames: int = 0
    seconds: float = 0.0


def detect_format(source: IO[bytes] | Path) -> tuple[str, str] | None:
    """(``image`` or ``video``, format) by the first bytes, which are only compared; None if it is neither."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return detect_format(file)
    source.seek(0)
    head = source.read(pictures.HEAD_BYTES)
    picture_format = pictures.format_of(head)
    if picture_format is not None:
        return ("image", picture_format) if picture_format in _PICTURES else None
    container = next((name for pattern, name in _CONTAINERS if re.match(pattern, head, re.DOTALL)), None)
    if container == "mov" and re.match(rb"....ftyp(hei|hev|mif1|msf1|avi[fs])", head, re.DOTALL):
        return None  # a HEIC or AVIF picture for which this machine has no decoder
    return None if container is None else ("video", container)


def check_upload(path: Path, field: str, limits: StudioSettings, *, allow_clip: bool = False) -> UploadHeader:
    """Read a file's header and compare it with the limits; nothing is decoded.

    Args:
        field: the form part that it came in, for messages.
        allow_clip: accept clips as well as pictures.

    Raises:
        RefusedError: status 415 for a wrong kind of file, 413 for one too large, 422 for a damaged one.
    """
    if path.stat().st_size == 0:
        raise RefusedError(f"'{field}' is empty (0 bytes)", "a picture or a clip", field=field)
    detected = detect_format(path)
    if detected is None or (detected[0] == "video" and not allow_clip):
        raise _unsupported(path, field, is_clip=detected is not None)
    kind, format_name = detected
    try:
        if kind == "image":
            header = _read_picture_header(path, field)
        else:
            header = _read_clip_header(path, field, format_name)
    except RefusedError:
        raise
    except Exception as error:
        got = f"'{field}' is a damaged or incomplete {format_name.upper()} file"
        raise RefusedError(got, remedy="export or download it again", field=field) from error
    _check_limits(header, field, limits)
    return header


def _unsupported(path: Path, field: str, *, is_clip: bool) -> RefusedError:
    if is_clip:
        return RefusedError(f"'{field}' is a clip", "a picture", status=415, field=field)
    with path.open("rb") as file:
        got = pictures.not_a_picture(field, file.read(pictures.HEAD_BYTES)).got
    expected = "PNG, JPEG, WebP, AVIF, HEIC, TIFF, BMP or GIF; clips: MP4, MOV, WebM, MKV, AVI or MPEG-TS"
    return RefusedError(got, expected, "export it as JPEG or MP4", status=415, field=field)


def _read_picture_header(path: Path, field: str) -> UploadHeader:
    header = pictures.read_header(path, field)
    return UploadHeader("image", header.format, header.width, header.height)


def _read_clip_header(path: Path, field: str, container: str) -> UploadHeader:
    import av

    with av.open(str(path), format=container, metadata_errors="ignore") as opened:
        streams = [stream for stream in opened.streams.video if not int(stream.disposition) & _COVER_ART]
        if not streams:
            raise RefusedError(f"'{field}' has no moving pictures in it", "a clip", status=415, field=field)
        stream = streams[0]
        codec = stream.codec_context.name
        if codec.removeprefix("lib") not in _CODECS:
            expected = "H.264, HEVC, AV1, VP9, MPEG-4 or another common codec"
            raise RefusedError(f"'{field}' is coded in {codec}", expected, status=415, field=field)
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        seconds = seconds or float(opened.duration or 0) / 1e6
        frames = stream.frames or round(seconds * float(stream.average_rate or 0))
        return UploadHeader("video", container, stream.width, stream.height, frames, seconds)


def _check_limits(header: UploadHeader, field: str, limits: StudioSettings) -> None:
    if header.width < 1 or header.height < 1:
        got = f"'{field}' is {header.width}×{header.height} pixels"
        raise RefusedError(got, "at least 1×1", field=field)
    max_pixels = limits.pixels if header.kind == "image" else limits.frame_pixels
    checks = [
        (
            header.width * header.height > max_pixels,
            f"{header.width}×{header.height} pixels",
            f"{max_pixels / 1e6:g} megapixels",
        ),
        (header.seconds > limits.seconds, f"{header.seconds:.0f} s long", f"{limits.seconds:g} s"),
        (header.frames > limits.frames, f"{header.frames} frames long", f"{limits.frames} frames"),
    ]
    for exceeded, got, limit in checks:
        if exceeded:
            raise RefusedError(
                f"'{field}' is {got}", f"at most {limit}", "make it smaller", status=413, field=field
            )
