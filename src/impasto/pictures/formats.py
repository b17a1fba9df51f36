"""Recognises the format of picture files by their content, never by their name."""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageFile, PsdImagePlugin

from impasto.errors import PictureError
from impasto.pictures.boundary import only_picture_errors, quiet_decoders

__all__ = [
    "HEAD_BYTES",
    "READABLE_SUFFIXES",
    "PictureHeader",
    "format_of",
    "not_a_picture",
    "open_header",
    "open_picture_file",
    "read_header",
    "recognised",
]

#: Bytes from the beginning of a file by which its format is recognised.
HEAD_BYTES = 4096

#: The usual endings of what can be read, for choosing the pictures among the files of a folder.
READABLE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".qoi", ".psd",
)  # fmt: skip

_READABLE = "Impasto reads PNG, JPEG, WebP, AVIF, HEIC, TIFF, PSD, BMP, GIF and PPM"
# Only these of Pillow's plugins are used: EPS, for one, would start Ghostscript, and TGA has no signature.
_FORMATS = (
    "PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM", "PSD", "QOI", "ICO",
)  # fmt: skip


#: Photoshop's image resource that says whether the flattened picture is there.
_PSD_VERSION_INFO = 1057


@dataclass(frozen=True)
class PictureHeader:
    """Format and size of a picture file, as its header states them.

    Attributes:
        format: Pillow's name of it: ``PNG``, ``JPEG``, ``HEIF`` …
        height, width: in pixels as stored, before EXIF's orientation is applied.
    """

    format: str
    height: int
    width: int


def format_of(head: bytes) -> str | None:
    """Pillow's name of the format of a file, by its signature; None if it is not a readable picture.

    HEIC is readable if pillow-heif is installed.

    Args:
        head: the first :data:`HEAD_BYTES` of the file.
    """
    brands = head[8:48] if head[4:8] == b"ftyp" else b""
    if re.search(rb"hei[cxms]|hev[cxms]|mif1|msf1", brands) and not re.search(rb"avi[fs]", brands):
        try:
            import pillow_heif  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            return None  # `not_a_picture` names the extra
        pillow_heif.register_heif_opener()
        return "HEIF"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    for load_plugins in (Image.preinit, Image.init):  # the common ones first
        load_plugins()
        for name in _FORMATS:
            accept = Image.OPEN[name][1] if name in Image.OPEN else None
            answer = accept(head[:16]) if accept else False
            if answer and not isinstance(answer, str):  # a string says why this Pillow cannot read it
                return name
    return None


def open_header(format_name: str, file: IO[bytes], name: str) -> ImageFile.ImageFile:
    """Read the header only, with Pillow.

    The plugin is called directly, because ``Image.open`` would apply a limit on the size that is global to
    the process; here the caller sets the limit.
    """
    if format_name not in Image.OPEN:
        Image.init()
    if format_name == "PSD":
        _check_psd_depth(file, name)
    file.seek(0)
    image: ImageFile.ImageFile = Image.OPEN[format_name][0](file, name)  # type: ignore[assignment,unused-ignore]
    if isinstance(image, PsdImagePlugin.PsdImageFile):
        _check_psd_is_flattened(image, name)
    return image


def _check_psd_depth(file: IO[bytes], name: str) -> None:
    """Raise ``PictureError`` for the depths and modes of Photoshop that Pillow cannot read."""
    file.seek(22)
    depth, mode = struct.unpack(">HH", file.read(4))
    if (mode, depth) not in PsdImagePlugin.MODES:
        raise PictureError(
            f"'{name}' is a Photoshop file of {depth} bits a channel",
            "8 bits can be read",
            "convert it to 8 bits a channel, or save it as TIFF of 16",
        )


def _check_psd_is_flattened(image: PsdImagePlugin.PsdImageFile, name: str) -> None:
    """Raise ``PictureError`` for a file whose flattened picture is only a blank one in its place."""
    version = next((data for number, _, data in image.resources if number == _PSD_VERSION_INFO), b"")
    if len(version) > 4 and version[4] == 0:
        raise PictureError(
            f"'{name}' holds layers, but not the picture that they make",
            remedy="save it with 'Maximise Compatibility' in Photoshop, or as PNG",
        )


@contextmanager
def open_picture_file(path: str, name: str = "") -> Iterator[tuple[IO[bytes], str]]:
    """Open a picture file and yield it with Pillow's name of its format.

    Inside the block whatever a decoder raises becomes a ``PictureError`` that calls the file damaged.

    Args:
        name: what messages call the file; its path by default.
    """
    name = name or path
    with only_picture_errors(f"'{name}' cannot be read"), quiet_decoders():
        _check_input(path, name)
        with Path(path).open("rb") as file, recognised(file, name) as format_name:
            yield file, format_name


@contextmanager
def recognised(file: IO[bytes], name: str) -> Iterator[str]:
    """Yield Pillow's name of the format of an open picture file; errors as in :func:`open_picture_file`."""
    with only_picture_errors(f"'{name}' cannot be read"), quiet_decoders():
        head = file.read(HEAD_BYTES)
        if not head:
            raise _empty(name)
        format_name = format_of(head)
        if format_name is None:
            raise not_a_picture(name, head)
        damaged = f"'{name}' is a damaged or incomplete {format_name} file"
        with only_picture_errors(damaged, remedy="export or download it again"):
            yield format_name


def read_header(path: str | os.PathLike[str], name: str = "") -> PictureHeader:
    """Format and size of a picture file; nothing is decoded.

    Args:
        name: what messages call the file; its path by default.

    Raises:
        PictureError: no such file, not a picture, or damaged.
    """
    with open_picture_file(os.fspath(path), name) as (file, format_name):
        height, width = _stored_size(format_name, file, name)
    return PictureHeader(format_name, height, width)


def _stored_size(format_name: str, file: IO[bytes], name: str) -> tuple[int, int]:
    """(height, width) from the header."""
    if format_name == "TIFF":  # Pillow cannot open a TIFF of 16 bits or floats
        import tifffile

        file.seek(0)
        page: Any = tifffile.TiffFile(file).pages[0]
        return int(page.imagelength), int(page.imagewidth)
    width, height = open_header(format_name, file, name).size
    return height, width


def _check_input(path: str, name: str) -> None:
    """Raise ``PictureError`` unless ``path`` is a regular file that is not empty."""
    remedy = "give the path of a picture file"
    if re.match(r"https?:/", path):  # one slash, because `Path` collapses two
        raise PictureError(f"'{name}' is a web address", "expected a picture file", "download it first")
    if not path.strip():
        raise PictureError("the path of a picture is empty", remedy=remedy)
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError(f"there is no file '{name}'", remedy="check the path") from None
    if stat.S_ISDIR(status.st_mode):
        raise PictureError(f"'{name}' is a folder", "expected a picture file", remedy)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
        raise PictureError(f"'{name}' is not a regular file", "expected a picture file", remedy)
    if status.st_size == 0:
        raise _empty(name)


def _empty(name: str) -> PictureError:
    return PictureError(f"'{name}' is empty (0 bytes)", remedy="export or download it again")


def not_a_picture(name: str, head: bytes) -> PictureError:
    """The error for a file that cannot be read as a picture; it says what the file is instead."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    tag = re.search(rb"<(!doctype html|html|head|body|svg)\b", text) if text.startswith(b"<") else None
    if tag and tag[1] == b"svg":
        return PictureError(f"'{name}' is an SVG drawing", _READABLE, "export it as PNG")
    if tag:
        return PictureError(
            f"'{name}' is an HTML page", _READABLE, "download the picture itself, not its page"
        )
    for signature, what, remedy in _OTHER_FILES:
        if re.match(signature, head, re.DOTALL):
            return PictureError(f"'{name}' is {what}", _READABLE, remedy)
    if b"\0" not in head and sum(byte < 9 for byte in head) == 0 and _is_utf8(head):
        return PictureError(f"'{name}' is a text file", _READABLE, "give the path of a picture file")
    return PictureError(f"'{name}' is in no known picture format", _READABLE, "export it as PNG")


_VIDEO = ("a clip", "use impasto video")
#: (regular expression that the beginning matches, what the file is, what to do about it).
_OTHER_FILES = [
    (
        rb"....ftyp(hei|hev|mif1|msf1)",
        "an HEIC picture, which needs the package pillow-heif",
        "pip install 'impasto[heic]', or export it as JPEG",
    ),
    (rb"....ftypavi[fs]", "an AVIF picture, which this Pillow cannot read", "pip install 'pillow>=11.3'"),
    (rb"....ftyp|....(moov|mdat|wide)|\x1aE\xdf\xa3|RIFF....AVI |FLV|OggS", *_VIDEO),
    (rb"\0\0\x01[\xba\xb3]|0&\xb2u|G.{187}G", *_VIDEO),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", "export it as PNG"),
    (rb"%PDF", "a PDF document", "export the page as PNG"),
    (rb"%!PS", "a PostScript drawing", "export it as PNG"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive", "unpack it first"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the picture itself", "run git lfs pull"),
]


def _is_utf8(head: bytes) -> bool:
    try:
        # The head of a longer file may end in the middle of a character.
        (head[:-4] if len(head) > HEAD_BYTES - 100 else head).decode()
    except UnicodeDecodeError:
        return False
    return True
