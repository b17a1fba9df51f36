"""Pictures: reading and writing files, colour spaces, sizes, tiles and margins, transparency, blending."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.pictures.formats import (
        HEAD_BYTES,
        READABLE_SUFFIXES,
        PictureHeader,
        format_of,
        not_a_picture,
        read_header,
    )
    from impasto.pictures.layers import Layer, check_layers_output, save_layers
    from impasto.pictures.output import check_encoding, check_output, save, to_bytes, to_uint8
    from impasto.pictures.picture import Picture, from_file, load, load_bytes, read_metadata, require_usable
    from impasto.pictures.reading import DEFAULT_MAX_PIXELS

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "HEAD_BYTES",
    "READABLE_SUFFIXES",
    "Layer",
    "Picture",
    "PictureHeader",
    "check_encoding",
    "check_layers_output",
    "check_output",
    "format_of",
    "from_file",
    "load",
    "load_bytes",
    "not_a_picture",
    "read_header",
    "read_metadata",
    "require_usable",
    "save",
    "save_layers",
    "to_bytes",
    "to_uint8",
]

_HOME = {
    "DEFAULT_MAX_PIXELS": "reading",
    "HEAD_BYTES": "formats",
    "Layer": "layers",
    "READABLE_SUFFIXES": "formats",
    "Picture": "picture",
    "PictureHeader": "formats",
    "check_encoding": "output",
    "check_layers_output": "layers",
    "check_output": "output",
    "format_of": "formats",
    "from_file": "picture",
    "load": "picture",
    "load_bytes": "picture",
    "not_a_picture": "formats",
    "read_header": "formats",
    "read_metadata": "picture",
    "require_usable": "picture",
    "save": "output",
    "save_layers": "layers",
    "to_bytes": "output",
    "to_uint8": "output",
}


def __getattr__(name: str) -> Any:
    """Load on first use: reading a file needs no PyTorch."""
    if name not in _HOME:
        raise AttributeError(f"module 'impasto.pictures' has no attribute {name!r}")
    return getattr(import_module(f"impasto.pictures.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
