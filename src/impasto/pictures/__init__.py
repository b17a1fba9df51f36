"""Pictures: files to tensors and back, colour spaces, sizes, tiles and margins, alpha, blending."""

from impasto.pictures.picture import (
    DEFAULT_MAX_PIXELS,
    Picture,
    check_output,
    load,
    read_metadata,
    save,
    to_uint8,
)

__all__ = ["DEFAULT_MAX_PIXELS", "Picture", "check_output", "load", "read_metadata", "save", "to_uint8"]
