"""Writes pictures to files, atomically, and checks in advance whether that will be possible.

The ending of a file's name decides its format.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from impasto.errors import PictureError
from impasto.files import partial_path, write_atomically
from impasto.pictures import decode, encode
from impasto.pictures.boundary import only_picture_errors, quiet_decoders
from impasto.pictures.decode import Samples

__all__ = ["check_encoding", "check_output", "check_target", "output_samples", "save", "to_bytes", "to_uint8"]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}
_FORMATS |= {".tif": "TIFF", ".tiff": "TIFF"}
#: The longest side that a format can store, in pixels.
_LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65535}


def check_output(
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    bit_depth: int = 8,
    size: tuple[int, int] | None = None,
) -> Path:
    """Check, before the work starts, whether ``save`` can write to ``path``; returns it as a ``Path``.

    Args:
        path: .png, .jpg, .jpeg, .webp, .tif, .tiff, or .avif where Pillow can write it.
        inputs: files that must not be overwritten, not even through a link.
        bit_depth: 8, or 16 for TIFF.
        size: (height, width) of the picture to be saved, if known; some formats limit the sides.

    Raises:
        PictureError: ``save`` would fail, or would overwrite an input.
    """
    name = os.fspath(path)
    with only_picture_errors(f"'{name}' cannot be written"):
        format_name = check_encoding(name, bit_depth)
        limit = _LONGEST_SIDE.get(format_name, 2**31)
        if size is not None and max(size) > limit:
            got = f"{size[1]}×{size[0]} pixels in {format_name}"
            raise PictureError(got, f"at most {limit} a side", "make it smaller or name the output .png")
        check_target(name, Path(os.path.realpath(name)), inputs)
    return Path(name)


def check_encoding(name: str, bit_depth: int = 8) -> str:
    """Pillow's name of the format that a file name stands for.

    Raises:
        PictureError: the ending is unknown, or the format does not have so many bits.
    """
    format_name = _output_format(name)
    if bit_depth != 8 and (bit_depth, format_name) != (16, "TIFF"):
        raise PictureError(
            f"{bit_depth} bits in {format_name}", "expected 8 bits, or 16 in TIFF", "name the output .tif"
        )
    return format_name


def _output_format(name: str) -> str:
    format_name = _FORMATS.get(Path(name).suffix.lower())
    Image.preinit()
    if format_name not in Image.SAVE:
        Image.init()
    if format_name is None or (format_name != "TIFF" and format_name not in Image.SAVE):
        endings = ", ".join(s for s, f in _FORMATS.items() if f == "TIFF" or f in Image.SAVE)
        raise PictureError(
            f"the output '{name}' has an ending that cannot be written", f"expected {endings}", "rename it"
        )
    return format_name


def check_target(name: str, target: Path, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Raise ``PictureError`` unless a file can be made at ``target`` that replaces none of ``inputs``.

    Args:
        name: what messages call it.
        target: ``name`` with links resolved.
    """
    try:
        status = target.stat()
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise PictureError(f"the output '{name}' is {what}", "expected a file name", "choose another name")
    if status is not None and any(_is_same_file(status, other) for other in inputs):
        raise PictureError(f"the output '{name}' is also an input", remedy="choose another name")
    if not target.parent.is_dir():
        remedy = f"create it first: mkdir -p '{target.parent}'"
        raise PictureError(f"the folder of the output '{name}' does not exist", remedy=remedy)
    if status is not None and not os.access(target, os.W_OK):
        raise PictureError(f"the output '{name}' is write-protected", remedy="choose another name")
    # Permission bits say little for root, on read-only disks and in network folders, so try to create a file.
    trial = partial_path(target)
    try:
        trial.open("xb").close()
    except OSError as error:
        got = f"the folder '{target.parent}' cannot be written to ({error.strerror})"
        raise PictureError(got, remedy="choose another folder") from error
    finally:
        trial.unlink(missing_ok=True)


def _is_same_file(status: os.stat_result, other: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(status, Path(other).stat())
    except OSError:
        return False  # it does not exist, so it cannot be overwritten


def save(
    path: str | os.PathLike[str],
    pixels: torch.Tensor,
    *,
    alpha: torch.Tensor | None = None,
    metadata: str | None = None,
    bit_depth: int = 8,
    quality: int = 95,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Write a picture atomically: an older file stays until the new one is complete on the disk.

    The file has an sRGB profile and no date, so that the same arguments give the same bytes.

    Args:
        path: the file; its ending decides the format, see ``check_output``.
        pixels: (1, 3, H, W) or (3, H, W), float, sRGB; values outside [0, 1] are clamped.
        alpha: (1, 1, H, W), float in [0, 1], or None if opaque. JPEG has no alpha, so the picture is
            composited on white.
        metadata: text to embed, usually JSON; ``read_metadata`` returns it.
        bit_depth: 8, or 16 for TIFF. Values are rounded to the nearest, without dithering.
        quality: 1 to 100 for JPEG, WebP and AVIF; the other formats are lossless.
        inputs: files that must not be overwritten.

    Raises:
        PictureError: the picture cannot be written; an older file is untouched.
    """
    samples = output_samples(pixels, alpha)
    checked = check_output(path, inputs=inputs, bit_depth=bit_depth, size=samples.shape[:2])
    data = _encoded(str(checked), samples, metadata, bit_depth, quality)
    with only_picture_errors(f"'{checked}' could not be written"):
        write_atomically(checked, data)
    return checked


def to_bytes(
    path: str | os.PathLike[str],
    pixels: torch.Tensor,
    *,
    alpha: torch.Tensor | None = None,
    metadata: str | None = None,
    bit_depth: int = 8,
    quality: int = 95,
) -> bytes:
    """The contents of the file that :func:`save` would write to ``path``; nothing is written.

    Raises:
        PictureError: the picture cannot be encoded like that.
    """
    return _encoded(os.fspath(path), output_samples(pixels, alpha), metadata, bit_depth, quality)


def _encoded(name: str, samples: Samples, metadata: str | None, bit_depth: int, quality: int) -> bytes:
    if not 1 <= quality <= 100:
        raise PictureError(f"quality {quality}", "expected 1 to 100")
    with only_picture_errors(f"'{name}' could not be written"), quiet_decoders():
        return encode.encode(_output_format(name), samples, metadata, bit_depth, quality)


def to_uint8(pixels: torch.Tensor) -> npt.NDArray[np.uint8]:
    """(1, 3, H, W) or (3, H, W) float to (H, W, 3) uint8, clamped and rounded to the nearest."""
    return decode.whole_numbers(output_samples(pixels, None), 255)


def output_samples(pixels: torch.Tensor, alpha: torch.Tensor | None) -> Samples:
    """(H, W, 3 or 4) float32 of a picture to be saved; ``PictureError`` unless all values are finite."""
    if pixels.ndim not in (3, 4) or pixels.shape[-3] != 3 or pixels.numel() == 0:
        raise PictureError(f"pixels {tuple(pixels.shape)}", "expected (1, 3, H, W)")
    if pixels.ndim == 4 and pixels.shape[0] != 1:
        raise PictureError(
            f"{pixels.shape[0]} pictures at once", "expected (1, 3, H, W)", "save one at a time"
        )
    height, width = pixels.shape[-2:]
    planes = [pixels.detach().reshape(3, height, width)]
    if alpha is not None:
        if alpha.shape[-2:] != (height, width) or alpha.numel() != height * width:
            raise PictureError(f"alpha {tuple(alpha.shape)}", f"expected (1, 1, {height}, {width})")
        planes.append(alpha.detach().reshape(1, height, width))
    planes = [plane.to("cpu", torch.float32) for plane in planes]
    stacked = planes[0] if len(planes) == 1 else torch.cat(planes)
    if not all(math.isfinite(float(bound)) for bound in torch.aminmax(stacked)):
        raise PictureError("the pixels to save are not finite (NaN or infinity)", "expected floats in [0, 1]")
    return np.ascontiguousarray(stacked.permute(1, 2, 0).numpy())
