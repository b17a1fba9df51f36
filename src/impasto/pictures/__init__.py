"""Pictures: reading and writing files, colour spaces, sizes, tiles and margins, transparency, blending."""

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
from impasto.pictures.picture import (
    DEFAULT_MAX_PIXELS,
    Picture,
    load,
    load_bytes,
    read_metadata,
    require_usable,
)

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
