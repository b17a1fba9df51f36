"""What a file is, by its content and its header alone, and whether it is within the limits.

Names and content types that a client sends are never looked at. Runs in a child under limits: even a header
is read by code that has had its bugs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from impasto import pictures
from impasto.errors import PictureError
from impasto.studio.sandbox.isolation import RefusedError
from impasto.studio.settings import StudioSettings

__all__ = ["Header", "header", "look_at"]

#: FFmpeg's names of the containers that are taken, by signature; nothing is left to its guessing, which
#: knows playlists that read other files.
_CONTAINERS = (
    (rb"....(ftyp|moov|mdat|wide)", "mov"),
    (rb"\x1aE\xdf\xa3", "matroska"),
    (rb"RIFF....AVI ", "avi"),
    (rb"G.{187}G", "mpegts"),
)
_CODECS = {
    "h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "h263", "prores",
    "ffv1", "theora", "vc1", "wmv3",
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        kind: ``image`` or ``video``.
        format: Pillow's or FFmpeg's name.
        width, height: in pixels as stored, not turned upright.
        frames, seconds: of a clip; frames 0: the container does not say.
    """

    kind: str
    format: str
    width: int
    height: int
    frames: int = 0
    seconds: float = 0.0


def look_at(path: Path) -> tuple[str, str] | None:
    """(``image`` or ``video``, format) by the first bytes; None: neither."""
    with path.open("rb") as file:
        head = file.read(4096)
    kind = pictures.format_of(head)
    if kind is not None:
        return "image", kind
    found = next((name for sign, name in _CONTAINERS if re.match(sign, head, re.DOTALL)), None)
    if found == "mov" and re.match(rb"....ftyp(hei|hev|mif1|msf1|avi[fs])", head, re.DOTALL):
        return None  # a picture that this machine lacks the decoder for
    return None if found is None else ("video", found)


def header(path: Path, field: str, limits: StudioSettings, *, clips: bool = False) -> Header:
    """Read and judge a file's header; nothing is decoded.

    Args:
        field: the form's part that it came in, for messages.
        clips: a clip is welcome too.

    Raises:
        RefusedError: 415 what it is, 413 how large it is, 422 damage.
    """
    if path.stat().st_size == 0:
        raise RefusedError(f"'{field}' is empty (0 bytes)", "a picture or a clip", field=field)
    found = look_at(path)
    if found is None or (found[0] == "video" and not clips):
        raise _unknown(path, field, clip=found is not None)
    try:
        read = _picture(path, field) if found[0] == "image" else _clip(path, field, found[1])
    except RefusedError:
        raise
    except Exception as error:
        got = f"'{field}' is a damaged or incomplete {found[1].upper()} file"
        raise RefusedError(got, remedy="export or download it again", field=field) from error
    _judge(read, field, limits)
    return read


def _unknown(path: Path, field: str, *, clip: bool) -> RefusedError:
    expected = "PNG, JPEG, WebP, AVIF, HEIC, TIFF, BMP or GIF; clips: MP4, MOV, WebM, MKV, AVI or MPEG-TS"
    if clip:
        return RefusedError(f"'{field}' is a clip", "a picture", status=415, field=field)
    with path.open("rb") as file:
        error: PictureError = pictures.not_a_picture(field, file.read(4096))
    return RefusedError(error.got, expected, "export it as JPEG or MP4", status=415, field=field)


def _picture(path: Path, field: str) -> Header:
    stored = pictures.read_header(path, field)
    return Header("image", stored.format, stored.width, stored.height)


def _clip(path: Path, field: str, container: str) -> Header:
    import av

    with av.open(str(path), format=container, metadata_errors="ignore") as opened:
        streams = [one for one in opened.streams.video if not int(one.disposition) & 0x400]
        if not streams:
            raise RefusedError(f"'{field}' has no moving pictures in it", "a clip", status=415, field=field)
        stream = streams[0]
        if stream.codec_context.name.removeprefix("lib") not in _CODECS | {"dav1d", "vpx-vp9", "vpx"}:
            got = f"'{field}' is coded in {stream.codec_context.name}"
            raise RefusedError(
                got, "H.264, HEVC, AV1, VP9, MPEG-4 or another of the usual", status=415, field=field
            )
        length = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        length = length or float(opened.duration or 0) / 1e6
        frames = stream.frames or round(length * float(stream.average_rate or 0))
        return Header("video", container, stream.width, stream.height, frames, length)


def _judge(read: Header, field: str, limits: StudioSettings) -> None:
    most = limits.pixels if read.kind == "image" else limits.frame_pixels
    too_much = [
        (read.width * read.height > most, f"{read.width}×{read.height} pixels", f"{most / 1e6:g} megapixels"),
        (read.seconds > limits.seconds, f"{read.seconds:.0f} s long", f"{limits.seconds:g} s"),
        (read.frames > limits.frames, f"{read.frames} frames long", f"{limits.frames} frames"),
    ]
    for over, got, most_said in too_much:
        if over:
            raise RefusedError(
                f"'{field}' is {got}", f"at most {most_said}", "make it smaller", status=413, field=field
            )
    if read.width < 1 or read.height < 1:
        raise RefusedError(f"'{field}' is {read.width}×{read.height} pixels", "at least 1×1", field=field)
