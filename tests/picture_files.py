"""Picture files for tests, written by Pillow and tifffile, and their exact values."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image

from impasto import pictures

RECIPE = json.dumps({"style": "Νύχτα.jpg", "iterations": 500, "note": "naïve – 🎨"}, ensure_ascii=False)
ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif"]
HAS_AVIF = Image.init() is not None and "AVIF" in Image.SAVE


def scene(height: int = 24, width: int = 40) -> np.ndarray:
    """(H, W, 3) uint8, smooth enough for JPEG; all four corners differ, so that rotations are noticed."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(
        np.uint8
    )


def tensor(array: np.ndarray) -> torch.Tensor:
    """(1, C, H, W) float32 of (H, W, C) uint8."""
    return torch.from_numpy(array.transpose(2, 0, 1)[None].astype(np.float64) / 255).float()


def levels(picture: pictures.Picture, top: int = 255) -> np.ndarray:
    """(H, W, 3) whole numbers of a picture, whose values must lie exactly on them."""
    assert picture.pixels.dtype == torch.float32
    assert picture.pixels.is_contiguous()
    scaled = picture.pixels[0].double().numpy().transpose(1, 2, 0) * top
    assert np.abs(scaled - scaled.round()).max() < 0.01
    return scaled.round().astype(np.int64)


def write(path: Path, image: Image.Image, kind: str, **options: Any) -> Path:
    image.save(path, kind, **options)
    return path


DEEP = np.random.default_rng(5).integers(0, 65536, (6, 9, 4)).astype(np.uint16)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, rows: bytes, depth: int = 8, before: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene()).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def psd(
    array: np.ndarray, *, depth: int = 8, mode: int = 3, resources: bytes = b"", layers: bytes = b""
) -> bytes:
    """A Photoshop file whose flattened picture is (H, W, C), not compressed.

    Args:
        mode: 1 grey, 3 RGB, 4 CMYK.
        resources: made by :func:`psd_resource`.
        layers: contents of the section of layers.
    """
    height, width, channels = array.shape
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, channels, height, width, depth, mode)
    sections = b"".join(struct.pack(">I", len(part)) + part for part in (b"", resources, layers))
    return header + sections + struct.pack(">H", 0) + np.moveaxis(array, 2, 0).tobytes()


def psd_resource(number: int, data: bytes) -> bytes:
    """An image resource of a Photoshop file."""
    return (
        struct.pack(">4sHH", b"8BIM", number, 0)
        + struct.pack(">I", len(data))
        + data
        + b"\0" * (len(data) % 2)
    )
