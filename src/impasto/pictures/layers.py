"""Writes pictures as layers of one file for editors: OpenRaster (.ora), or TIFF with a page for each layer.

GIMP, Krita and MyPaint open OpenRaster (https://www.openraster.org). GIMP and Krita open the pages of a TIFF
as layers, the first page lowest, named by the tag PageName.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from impasto.errors import PictureError
from impasto.files import write_atomically
from impasto.pictures.boundary import only_picture_errors
from impasto.pictures.decode import Samples, whole_numbers
from impasto.pictures.encode import encode, srgb_profile
from impasto.pictures.output import check_target, output_samples

__all__ = ["LAYER_ENDINGS", "Layer", "check_layers_output", "grey_layer", "save_layers"]

LAYER_ENDINGS = (".ora", ".tif", ".tiff")
#: Longest side of the thumbnail in an OpenRaster file, in pixels.
THUMBNAIL = 256
#: The date of all entries of an OpenRaster file, so that equal layers give equal bytes.
DATE = (2000, 1, 1, 0, 0, 0)
TAG_PAGE_NAME = 285


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of a file.

    Attributes:
        name: as editors show it.
        pixels: (1, 3, H, W), float, sRGB, [0, 1].
        alpha: (1, 1, H, W) in [0, 1]; None: opaque.
        visible: whether an editor shows it at first. TIFF cannot say so.
    """

    name: str
    pixels: Tensor
    alpha: Tensor | None = None
    visible: bool = True


def check_layers_output(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> Path:
    """Check, before the work starts, whether :func:`save_layers` can write to ``path``.

    Raises:
        PictureError: an unknown ending, a folder that is missing, or one of the inputs.
    """
    name = os.fspath(path)
    if Path(name).suffix.lower() not in LAYER_ENDINGS:
        raise PictureError(f"layers in '{name}'", f"expected {', '.join(LAYER_ENDINGS)}", "rename it")
    with only_picture_errors(f"'{name}' cannot be written"):
        check_target(name, Path(os.path.realpath(name)), inputs)
    return Path(name)


def save_layers(
    path: str | os.PathLike[str],
    layers: Sequence[Layer],
    *,
    bit_depth: int = 8,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Write layers atomically, with an sRGB profile and no date: the same layers give the same bytes.

    Args:
        path: .ora, .tif or .tiff.
        layers: from the lowest up, all of one size.
        bit_depth: 8 or 16 a channel.
        inputs: files that must not be overwritten.

    Raises:
        PictureError: the file cannot be written, or the layers differ in size; an older file is untouched.
    """
    checked = check_layers_output(path, inputs)
    if bit_depth not in (8, 16):
        raise PictureError(f"layers of {bit_depth} bits", "expected 8 or 16")
    samples = [output_samples(layer.pixels, layer.alpha) for layer in layers]
    if len({each.shape[:2] for each in samples}) != 1:
        sizes = ", ".join(f"{each.shape[1]}×{each.shape[0]}" for each in samples) or "none"
        raise PictureError(f"layers of sizes {sizes}", "one or more of one size")
    with only_picture_errors(f"'{checked}' could not be written"):
        pack = _open_raster if checked.suffix.lower() == ".ora" else _pages
        write_atomically(checked, pack(layers, samples, bit_depth))
    return checked


def _open_raster(layers: Sequence[Layer], samples: Sequence[Samples], bit_depth: int) -> bytes:
    """An OpenRaster file, version 0.0.5 of the specification."""
    merged = _merged([each for layer, each in zip(layers, samples, strict=True) if layer.visible], samples[0])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # First and uncompressed, so that programs recognise the file by its first bytes.
        _add(archive, "mimetype", b"image/openraster")
        _add(archive, "stack.xml", _stack(layers, samples[0].shape), zipfile.ZIP_DEFLATED)
        for index, each in enumerate(samples):
            _add(archive, f"data/layer{index}.png", _png(each, bit_depth))
        _add(archive, "mergedimage.png", _png(merged, bit_depth))
        _add(archive, "Thumbnails/thumbnail.png", _thumbnail(merged))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    archive.writestr(zipfile.ZipInfo(name, DATE), data, compression)


def _stack(layers: Sequence[Layer], shape: Sequence[int]) -> bytes:
    image = ElementTree.Element("image", version="0.0.5", w=str(shape[1]), h=str(shape[0]))
    stack = ElementTree.SubElement(image, "stack")
    for index, layer in reversed(list(enumerate(layers))):  # the file lists the uppermost first
        attributes = {
            "name": layer.name,
            "src": f"data/layer{index}.png",
            "x": "0",
            "y": "0",
            "opacity": "1.0",
            "visibility": "visible" if layer.visible else "hidden",
            "composite-op": "svg:src-over",
        }
        ElementTree.SubElement(stack, "layer", attributes)
    return bytes(ElementTree.tostring(image, encoding="UTF-8", xml_declaration=True))


def _merged(visible: Sequence[Samples], like: Samples) -> Samples:
    """The layers as an editor shows them, each over the one below: (H, W, 3) or (H, W, 4), float32."""
    colours, alpha = np.zeros_like(like[..., :3]), np.zeros_like(like[..., :1])
    for each in visible:
        own = each[..., 3:].clip(0, 1) if each.shape[2] == 4 else np.ones_like(alpha)
        together = own + alpha * (1 - own)
        mixed = each[..., :3].clip(0, 1) * own + colours * (alpha * (1 - own))
        colours = np.divide(mixed, together, out=np.zeros_like(mixed), where=together > 0)
        alpha = together
    return colours if bool((alpha == 1).all()) else np.concatenate([colours, alpha], axis=2)


def _thumbnail(samples: Samples) -> bytes:
    image = Image.fromarray(whole_numbers(samples, 255))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _png(samples: Samples, bit_depth: int) -> bytes:
    return encode("PNG", samples, None, 8, 100) if bit_depth == 8 else _deep_png(samples)


def _deep_png(samples: Samples) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write in colour."""
    values = whole_numbers(samples, 65535).astype(">u2")
    height, width, channels = values.shape
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(height, -1)
    # Each row as its difference from the one above (filter 2, "Up"), which deflate compresses better.
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), differences], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 16, 6 if channels == 4 else 2, 0, 0, 0)
    profile = b"sRGB\0\0" + zlib.compress(srgb_profile())
    chunks = [
        (b"IHDR", header),
        (b"iCCP", profile),
        (b"IDAT", zlib.compress(filtered.tobytes(), 6)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _pages(layers: Sequence[Layer], samples: Sequence[Samples], bit_depth: int) -> bytes:
    """A TIFF with a page for each layer."""
    import tifffile

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for layer, each in zip(layers, samples, strict=True):
            name = layer.name.encode()
            writer.write(
                whole_numbers(each, 2**bit_depth - 1),
                photometric="rgb",
                extrasamples=["unassalpha"] if each.shape[2] == 4 else None,
                compression="zlib",
                predictor=True,
                iccprofile=srgb_profile(),
                software="impasto",
                extratags=[(TAG_PAGE_NAME, "s", len(name) + 1, name + b"\0", True)],
                metadata=None,
            )
    return buffer.getvalue()


def grey_layer(name: str, mask: Tensor) -> Layer:
    """A mask (1, 1, H, W) in [0, 1] as a grey layer that is hidden at first."""
    return Layer(name, torch.cat([mask, mask, mask], 1), visible=False)
