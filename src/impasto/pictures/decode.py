"""Decodes an opened picture file to samples: upright, sRGB, (H, W, C) float32 in [0, 1], channels last.

Pillow and tifffile may raise any exception here; ``picture.py`` turns them into ``PictureError``.

TIFF and 16-bit grey PNG are read at full depth. Pillow reduces 16-bit *RGB* PNGs to eight bits, and a colour
profile that differs from sRGB is applied at eight bits, because Pillow offers littlecms at no other depth.
"""

from __future__ import annotations

import io
import logging
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from impasto.errors import PictureError

__all__ = [
    "Samples",
    "check_size",
    "decode",
    "decode_deep_tiff",
    "scale",
    "whole_numbers",
]

Samples: TypeAlias = npt.NDArray[Any]  # (H, W) or (H, W, C): grey, grey + alpha, RGB or RGBA

# Floats up to this far outside [0, 1] are overshoot of resampling, and clamped; others are on another scale.
_OVERSHOOT = 0.5
_TAG_ORIENTATION, _TAG_ICC, _TAG_DNG = 274, 34675, 50706

# Without a handler tifffile's warnings would reach stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def check_size(size: tuple[int, int], max_pixels: int, name: str) -> None:
    """Raise ``PictureError`` for a (width, height) that is empty or has more pixels than the limit."""
    width, height = size
    if width < 1 or height < 1:
        raise PictureError(f"{name} is {width}×{height} pixels", "expected at least 1×1")
    if width * height > max_pixels:
        got = f"{name} is {width}×{height}, {width * height / 1e6:.0f} megapixels"
        remedy = f"shrink it, or if you trust it raise the limit with --max-pixels {width * height}"
        raise PictureError(got, f"the limit is {max_pixels / 1e6:.0f}", remedy)


def decode(image: Image.Image, name: str) -> Samples:
    """Upright sRGB samples (H, W, 1 to 4) float32 of an opened PIL picture.

    Args:
        name: what messages call the picture.
    """
    image.load()
    icc = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        samples = _apply_profile_deep(_deep_grey(image, name), icc)
    else:
        samples = scale(_eight_bit(image, icc), name)
    try:
        # After load(), because a PNG may have its EXIF block at the end.
        orientation = image.getexif().get(_TAG_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a broken EXIF block can raise anything; the pixels are still good
        orientation = 1
    return _upright(samples, orientation)


def _deep_grey(image: Image.Image, name: str) -> Samples:
    """(H, W, 1 or 2) float32 of Pillow's deep modes, all of them grey: I;16…, I and F."""
    grey = np.asarray(image)
    if image.mode == "I":  # 32 bits wide, but Pillow's readers put 16-bit values into it
        if grey.min() < 0 or grey.max() > 65535:
            raise PictureError(
                f"{name} has integers from {grey.min()} to {grey.max()}", "expected 0 to 65535"
            )
        grey = grey.astype(np.uint16)
    samples = scale(grey[..., None], name)
    if isinstance(image.info.get("transparency"), int):  # in a PNG: the grey value that is transparent
        opaque = (grey != image.info["transparency"]).astype(np.float32)
        samples = np.concatenate([samples, opaque[..., None]], axis=2)
    return samples


def _eight_bit(image: Image.Image, icc: bytes | None) -> Samples:
    """(H, W, 3 or 4) uint8 sRGB of any of Pillow's eight-bit modes."""
    base = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    base = image.mode if image.mode in ("CMYK", "LAB") else base
    alpha = None
    if image.has_transparency_data and base in ("L", "RGB"):
        key = image.info.get("transparency")
        if isinstance(key, tuple) and max(key) > 255:  # a 16-bit PNG, which Pillow has reduced to 8 bits
            image = image.copy()
            image.info["transparency"] = tuple(value >> 8 for value in key)
        image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    colour = _in_mode(image, base)
    converted = _apply_profile(colour, icc)
    rgb = np.asarray(_in_mode(colour, "RGB") if converted is None else converted)
    return rgb if alpha is None else np.dstack([rgb, alpha])


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The picture in a mode; itself if it has it, where ``convert`` would copy a large photograph."""
    return image if image.mode == mode else image.convert(mode)


def _apply_profile(colour: Image.Image, icc: bytes | None) -> Image.Image | None:
    """Convert a PIL picture in L, RGB, CMYK or LAB to sRGB.

    None if there is no usable profile or it changes nothing. A profile that changes no colour by more than
    one level is sRGB under another name: applying it would only add rounding errors.
    """
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        spaces = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
        mode = spaces[profile.profile.xcolor_space]
        if mode != colour.mode and (colour.mode, mode) != ("L", "RGB"):
            return None
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, srgb, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        if mode in ("L", "RGB"):
            probe = _probe(mode)
            before = np.asarray(probe.convert("RGB"), np.int16)
            change = np.asarray(ImageCms.applyTransform(probe, transform), np.int16) - before
            if np.abs(change).max() <= 1:
                return None
        return ImageCms.applyTransform(colour.convert(mode), transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, KeyError):
        return None  # with a broken profile ignored, the colours are only a little wrong


def _probe(mode: str) -> Image.Image:
    """A test picture with every grey (L), or with a 16×16×16 lattice of colours (RGB)."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3))


def _apply_profile_deep(samples: Samples, icc: bytes | None) -> Samples:
    """(H, W, 1 to 4) float32 to the same in sRGB; at eight bits if the profile changes anything."""
    colours = 3 if samples.shape[2] > 2 else 1
    eight_bit = whole_numbers(samples[..., :colours], 255).astype(np.uint8)
    converted = (
        _apply_profile(Image.fromarray(eight_bit[..., 0] if colours == 1 else eight_bit), icc)
        if icc
        else None
    )
    if converted is None:
        return samples
    rgb = np.asarray(converted).astype(np.float32) / np.float32(255)
    return np.concatenate([rgb, samples[..., colours:]], axis=2)


def decode_deep_tiff(file: IO[bytes], name: str, max_pixels: int) -> Samples | None:
    """Upright sRGB samples (H, W, 1 to 4) float32 of a TIFF deeper than eight bits.

    None for a file that is left to Pillow.

    Args:
        name: what messages call the file.

    Raises:
        PictureError: a camera raw file, or more than ``max_pixels``.
    """
    import tifffile

    file.seek(8)
    is_cr2 = file.read(2) == b"CR"
    file.seek(0)
    try:
        page: Any = tifffile.TiffFile(file).pages[0]
        raw = is_cr2 or _TAG_DNG in page.tags or bool(page.subfiletype & 1)
        plain = page.photometric in (0, 1, 2) and page.axes in ("YX", "YXS", "SYX")
        plain = plain and page.samplesperpixel <= 5  # more are not colours, and could fill the memory
        deep = page.dtype.kind in "uf" and page.dtype.itemsize * 8 == page.bitspersample > 8
    except Exception:  # noqa: BLE001 - Pillow reads it, or says what is wrong
        return None
    if raw:
        got = f"'{name}' is a camera raw file: its first page is a preview"
        raise PictureError(got, "expected a finished picture", "develop it to TIFF or JPEG first")
    if not (plain and deep):
        return None
    check_size((page.imagewidth, page.imagelength), max_pixels, f"'{name}'")
    try:
        samples = page.asarray()
    except (KeyError, ValueError, RuntimeError) as error:
        if "imagecodecs" not in str(error):
            raise
        return None  # LZW and similar, which Pillow reads, though RGB at eight bits only
    samples = _tiff_channels(scale(samples, f"'{name}'"), page)
    icc, orientation = page.tags.valueof(_TAG_ICC), page.tags.valueof(_TAG_ORIENTATION, 1)
    return _upright(_apply_profile_deep(samples, icc), orientation)


def _tiff_channels(samples: Samples, page: Any) -> Samples:
    """Channels last, white as 1, at most one alpha channel, and colours not multiplied by it."""
    samples = samples[..., None] if page.axes == "YX" else samples
    samples = np.moveaxis(samples, 0, 2) if page.axes == "SYX" else samples
    count = 3 if page.photometric == 2 else 1
    colours = 1 - samples[..., :count] if page.photometric == 0 else samples[..., :count]
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    if extra not in (1, 2):  # 0 is something other than alpha, such as a depth map
        return colours
    alpha = samples[..., count : count + 1]
    if extra == 1:  # the colours are stored multiplied by alpha
        colours = np.divide(colours, alpha, out=np.zeros_like(colours), where=alpha > 0).clip(0, 1)
    return np.concatenate([colours, alpha], axis=2)


def _upright(samples: Samples, orientation: object) -> Samples:
    """Rotate and mirror (H, W, C) by EXIF's orientation, 1 to 8; anything else counts as 1 (upright)."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def scale(samples: Samples, name: str) -> Samples:
    """Samples (H, W, C) of any accepted dtype as float32 in [0, 1]; they share no memory with the argument.

    Args:
        name: what messages call the samples.

    Raises:
        PictureError: another dtype, floats that are not finite, or floats on another scale.
    """
    dtype = samples.dtype.newbyteorder("=")  # files come in either byte order
    if dtype in (np.uint8, np.uint16):
        return _divided(samples, np.iinfo(dtype).max)
    if dtype == np.bool_:
        return samples.astype(np.float32)
    if dtype.kind != "f":
        raise PictureError(
            f"{name} holds {samples.dtype}", "expected uint8, uint16, or float in [0, 1]", "convert it"
        )
    low, high = float(samples.min()), float(samples.max())  # NaN if any of them is NaN
    if not np.isfinite([low, high]).all():
        got = f"{name} has values that are not finite (NaN or infinity)"
        raise PictureError(
            got, "expected floats in [0, 1]", "replace them, for example with numpy.nan_to_num"
        )
    if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
        remedy = "scale them, or give uint8 or uint16"
        raise PictureError(f"{name} has floats from {low:g} to {high:g}", "expected floats in [0, 1]", remedy)
    return samples.clip(0, 1).astype(np.float32)


def _divided(samples: Samples, top: int) -> Samples:
    """(H, W, C) float32, divided by ``top``; in memory channel by channel, as tensors are.

    A large photograph would otherwise be in memory twice or three times as floats.
    """
    return np.moveaxis(
        np.divide(np.moveaxis(samples, -1, 0), np.float32(top), dtype=np.float32, order="C"), 0, -1
    )


def whole_numbers(samples: Samples, top: int) -> Samples:
    """Quantise [0, 1] to the nearest whole number from 0 to ``top``: uint8 up to 255, else uint16.

    Above 255 it is computed in float64, because float32 could miss the nearest. It is done in bands of rows,
    because the intermediate results of a very large picture would not fit into memory.
    """
    numbers = np.empty(samples.shape, np.uint8 if top <= 255 else np.uint16)
    for first in range(0, len(samples), 256):
        band = samples[first : first + 256]
        exact = band if top == 255 else band.astype(np.float64)
        numbers[first : first + 256] = np.floor(exact.clip(0, 1) * top + 0.5)
    return numbers
