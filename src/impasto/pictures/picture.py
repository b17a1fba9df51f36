"""Loads picture files, arrays, PIL pictures and tensors as a ``Picture``.

Inside Impasto a picture is (1, 3, H, W), float32, sRGB, [0, 1]. Anything wrong with a file, a folder or an
array raises ``PictureError``. A file's format is recognised by its content; its name does not matter.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from impasto.errors import PictureError
from impasto.pictures import decode, encode
from impasto.pictures.alpha import require_coverage
from impasto.pictures.boundary import only_picture_errors, quiet_decoders
from impasto.pictures.decode import Samples
from impasto.pictures.formats import open_header, open_picture_file, recognised
from impasto.pictures.reading import DEFAULT_MAX_PIXELS, decode_file, read_samples

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "MIN_SIDE",
    "Picture",
    "from_file",
    "load",
    "load_bytes",
    "read_metadata",
    "require_usable",
]

#: Least width and height in pixels of a content or a style; a smaller one shows nothing.
MIN_SIDE = 8


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory.

    Attributes:
        pixels: (1, 3, H, W) float32, sRGB, [0, 1]; colours are not multiplied by alpha.
        alpha: (1, 1, H, W) float32, [0, 1], 1 = opaque; None when the picture is opaque everywhere.
        source: the file it came from, if any.
    """

    pixels: torch.Tensor
    alpha: torch.Tensor | None = None
    source: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.pixels.shape[-2]), int(self.pixels.shape[-1])


def load(
    source: str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | torch.Tensor | Picture,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    enough: int | None = None,
) -> Picture:
    """Load a picture from a file, an array, a tensor or Pillow, as a ``Picture`` on the CPU.

    Files are turned upright (EXIF) and converted to sRGB (a broken profile is ignored); of several frames or
    pages the first is taken. Grey becomes three equal channels.

    Args:
        source: a path; a PIL picture; an array (H, W), (H, W, 1 to 4), channels last; a tensor (H, W),
            (C, H, W) or (1, C, H, W) with C = 1, 3 or 4. Arrays and tensors are uint8, uint16, bool, or
            float in [0, 1]; an overshoot of up to 0.5 is clamped. A ``Picture`` is returned unchanged.
        max_pixels: largest width × height of a file, checked before it is decoded.
        enough: pixels of the long side to which a JPEG may be reduced while it is decoded, for one that is
            scaled down afterwards; None: decode it whole.

    Raises:
        PictureError: it cannot be read, is incomplete or too large, or has values that are NaN, infinite or
            on another scale.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, torch.Tensor):
        with only_picture_errors("the tensor cannot be read"):
            return _picture(decode.scale(_channels_last(source), "the tensor"))
    if isinstance(source, np.ndarray):
        with only_picture_errors("the array cannot be read"):
            return _picture(decode.scale(_with_channels(source), "the array"))
    if isinstance(source, Image.Image):
        with only_picture_errors("the PIL picture cannot be decoded"), quiet_decoders():
            decode.check_size(source.size, max_pixels, "the PIL picture")
            return _picture(decode.decode(source, "the PIL picture"))
    if isinstance(source, (str, os.PathLike)):
        return from_file(read_samples(source, max_pixels=max_pixels, enough=enough), source)
    raise PictureError(
        f"a picture was given as {type(source).__name__}", "expected a path, PIL picture, array or tensor"
    )


def load_bytes(data: bytes, name: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Load a picture from the contents of a file, as :func:`load` loads the file.

    Args:
        data: all bytes of the file.
        name: its path, for messages and for ``Picture.source``; it need not exist on this machine.
    """
    with io.BytesIO(data) as file, recognised(file, name) as format_name:
        return _picture(decode_file(file, format_name, name, max_pixels), Path(name))


def from_file(samples: Samples, path: str | os.PathLike[str]) -> Picture:
    """The ``Picture`` of a file that :func:`~impasto.pictures.reading.read_samples` has read.

    Args:
        samples: (H, W, 1 to 4) float32 in [0, 1]; the picture may share their memory.
    """
    return _picture(samples, Path(path))


def _channels_last(tensor: torch.Tensor) -> Samples:
    """A tensor (H, W), (C, H, W) or (1, C, H, W) as an array (H, W, C)."""
    shape = tuple(tensor.shape)
    if tensor.layout is not torch.strided or (tensor.ndim == 4 and shape[0] != 1):
        raise PictureError(
            f"a tensor {shape}", "expected (3, H, W) or (1, 3, H, W)", "give one picture at a time"
        )
    if tensor.ndim == 4:
        tensor = tensor[0]
    if tensor.ndim not in (2, 3) or (tensor.ndim == 3 and tensor.shape[0] not in (1, 3, 4)):
        remedy = "move the channels first: tensor.permute(2, 0, 1)" if shape[-1:] in ((3,), (4,)) else ""
        raise PictureError(f"a tensor {shape}", "expected (3, H, W) or (1, 3, H, W)", remedy)
    tensor = tensor.detach().cpu()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # NumPy has no bfloat16
    return _with_channels(tensor.permute(1, 2, 0).numpy() if tensor.ndim == 3 else tensor.numpy())


def _with_channels(array: Samples) -> Samples:
    """An array (H, W) or (H, W, C) as (H, W, C), C = 1 to 4; ``PictureError`` for other or empty ones."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        remedy = (
            "move the channels last: array.transpose(1, 2, 0)" if array.ndim == 3 and len(array) == 3 else ""
        )
        raise PictureError(f"an array {array.shape}", "expected (H, W), (H, W, 3) or (H, W, 4)", remedy)
    if 0 in array.shape:
        raise PictureError(f"a picture of shape {array.shape}", "expected at least 1×1 pixels")
    return array[..., None] if array.ndim == 2 else array


def _picture(samples: Samples, source: Path | None = None) -> Picture:
    """A ``Picture`` from (H, W, 1 to 4) float32 in [0, 1]; it may share the memory of ``samples``."""
    channels = samples.shape[2]
    colours = samples[..., :3] if channels > 2 else samples[..., [0, 0, 0]]
    alpha = None if channels in (1, 3) or bool((samples[..., -1] == 1).all()) else samples[..., -1:]
    return Picture(_channels_first(colours), None if alpha is None else _channels_first(alpha), source)


def _channels_first(samples: Samples) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(samples, 2, 0), dtype=np.float32)[None])


def require_usable(picture: Picture, role: str) -> None:
    """Raise ``PictureError`` when a picture is too small, or too transparent, to be a content or a style.

    Args:
        role: how the message calls the picture: ``content``, ``style``.
    """
    height, width = picture.size
    if min(height, width) < MIN_SIDE:
        raise PictureError(
            f"the {role} picture is {width}×{height} pixels",
            f"at least {MIN_SIDE} on each side",
            "choose a larger picture",
        )
    if picture.alpha is not None:
        require_coverage(picture.alpha, role)


def read_metadata(path: str | os.PathLike[str]) -> str | None:
    """The text that ``save`` embedded in a file, or None if Impasto wrote none.

    Raises:
        PictureError: no such file, or not a picture.
    """
    name = os.fspath(path)
    with open_picture_file(name) as (file, format_name):
        if format_name == "TIFF":
            return encode.extract_from_tiff(file)
        return encode.extract(open_header(format_name, file, name))
