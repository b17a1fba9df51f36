"""Encodes samples to the bytes of a picture file with an sRGB profile and metadata, and reads the metadata.

The same arguments give the same bytes: no dates, no names of machines.
"""

from __future__ import annotations

import functools
import io
import zlib
from typing import IO, Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from impasto.errors import PictureError
from impasto.pictures.decode import Samples, whole_numbers

__all__ = ["encode", "extract", "extract_from_tiff", "srgb_profile"]

_SOFTWARE = "impasto"  # marks a description or comment as written by Impasto
_TAG_DESCRIPTION, _TAG_SOFTWARE, _TAG_EXIF, _TAG_COMMENT = 270, 305, 0x8769, 0x9286

# Chroma is stored at full resolution where the format allows it, because brush strokes have edges of colour.
# WebP does not; its option `exact` keeps the colours of transparent pixels. In a painting deflate finds
# little again but runs: looking for these alone takes two thirds of the time, for smaller PNG files.
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 4, "compress_type": zlib.Z_RLE},
    "JPEG": {"subsampling": 0},
    "AVIF": {"subsampling": "4:4:4"},
    "WEBP": {"exact": True},
}


def encode(format_name: str, samples: Samples, metadata: str | None, bit_depth: int, quality: int) -> bytes:
    """The bytes of the file; encoded in memory, so that a failing encoder cannot leave half a file.

    Args:
        format_name: Pillow's name of the format: ``PNG``, ``JPEG``, ``WEBP``, ``AVIF`` or ``TIFF``.
        samples: (H, W, 3 or 4) float32, sRGB.
        bit_depth: 8 or 16, for TIFF.
        quality: 1 to 100, for JPEG, WebP and AVIF.

    Raises:
        PictureError: more metadata than the format can hold.
    """
    metadata = _storable(metadata)
    if format_name == "TIFF":
        return _encode_tiff(samples, metadata, bit_depth)
    if format_name == "JPEG" and samples.shape[2] == 4:
        alpha = samples[..., 3:].clip(0, 1)
        samples = samples[..., :3].clip(0, 1) * alpha + (1 - alpha)
    options: dict[str, Any] = {"icc_profile": srgb_profile()} | _OPTIONS[format_name]
    if format_name == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        if metadata is not None:
            options["pnginfo"].add_itxt(_SOFTWARE, metadata)
    else:
        options["quality"] = quality
        if metadata is not None:
            options["exif"] = _exif(metadata)
    buffer = io.BytesIO()
    Image.fromarray(whole_numbers(samples, 255)).save(buffer, format_name, **options)
    return buffer.getvalue()


def _encode_tiff(samples: Samples, metadata: str | None, bit_depth: int) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        whole_numbers(samples, 2**bit_depth - 1),
        photometric="rgb",
        extrasamples=["unassalpha"] if samples.shape[2] == 4 else None,
        compression="zlib",  # the only one that tifffile can write without further packages
        predictor=True,
        iccprofile=srgb_profile(),
        description=None if metadata is None else metadata.encode(),  # a str would have to be ASCII
        software=_SOFTWARE,
        metadata=None,  # tifffile's JSON would take the place of the description
    )
    return buffer.getvalue()


def _exif(metadata: str) -> bytes:
    # EXIF declares the encoding of text in 8 bytes before it; Pillow writes little-endian blocks.
    ascii_, wide = b"ASCII\0\0\0", b"UNICODE\0"
    comment = ascii_ + metadata.encode() if metadata.isascii() else wide + metadata.encode("utf-16-le")
    if len(comment) > 65000:  # the limit of a JPEG segment, applied to every format
        raise PictureError(
            f"{len(comment)} bytes of metadata", "at most 65000", "name the output .png or .tif"
        )
    exif = Image.Exif()
    exif[_TAG_SOFTWARE] = _SOFTWARE
    exif[_TAG_EXIF] = {_TAG_COMMENT: comment}
    return exif.tobytes()


@functools.lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """An ICC profile of sRGB with a fixed date: with littlecms' current time, equal pictures would differ."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    date = np.array([2000, 1, 1, 0, 0, 0], dtype=">u2").tobytes()  # header bytes 24 to 35
    return profile[:24] + date + profile[36:]


def _storable(metadata: str | None) -> str | None:
    """Escape, as JSON does, what no format can hold: NUL and lone surrogates; None for an empty text."""
    if not metadata:
        return None
    return metadata.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode()


def extract_from_tiff(file: IO[bytes]) -> str | None:
    """The ImageDescription, if Impasto wrote it."""
    import tifffile

    file.seek(0)
    page: Any = tifffile.TiffFile(file).pages[0]
    ours = page.tags.valueof(_TAG_SOFTWARE) == _SOFTWARE
    text = page.tags.valueof(_TAG_DESCRIPTION) if ours else None
    return None if text is None else str(text)


def extract(image: ImageFile.ImageFile) -> str | None:
    """The PNG text or EXIF comment that Impasto wrote, from a header that Pillow has opened."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        text = image.info.get(_SOFTWARE)
        return None if text is None else str(text)
    exif = image.getexif()
    comment = exif.get_ifd(_TAG_EXIF).get(_TAG_COMMENT)
    if exif.get(_TAG_SOFTWARE) != _SOFTWARE or not isinstance(comment, bytes):
        return None
    return comment[8:].decode("utf-16-le" if comment.startswith(b"UNICODE\0") else "utf-8", "replace")
