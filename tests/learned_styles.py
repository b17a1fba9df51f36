"""A style as ``impasto learn`` saves it, and damaged ones, for several test files."""

from __future__ import annotations

import dataclasses
import json
import struct
from functools import cache
from pathlib import Path

from clips import texture
from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork
from impasto.networks.registry import load_encoder
from impasto.video.store import from_pixels


@cache
def learned_style(folder: Path, seed: int = 7) -> bytes:
    """The file of a style, with a decoder of its own."""
    decoder = load_decoder()
    style = InstantNetwork(load_encoder(), decoder).remember(from_pixels(texture(64, 64, seed)))
    path = folder / "learned.safetensors"
    dataclasses.replace(style, decoder=decoder.state_dict()).save(path)
    return path.read_bytes()


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with any header, whatever its data, and any length of it, whatever the header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


#: Description → file that begins as a learned style does.
BAD_STYLES: dict[str, bytes] = {
    "no tensor": safetensors({}),
    "a header that never ends": safetensors({"a": 1})[:-1],
    "a tensor beyond the file": safetensors(
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}, bytes(64)
    ),
    "a shape that overflows": safetensors(
        {"a": {"dtype": "F32", "shape": [1 << 33, 1 << 33], "data_offsets": [0, 64]}}, bytes(64)
    ),
    "deep JSON": struct.pack("<Q", 60000) + b'{"a":' * 12000,
    "another network": safetensors(
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "__metadata__": {"format": "pt"}},
        bytes(16),
    ),
    "an empty style": safetensors({"__metadata__": {"format": "impasto instant style 1"}}),
}
