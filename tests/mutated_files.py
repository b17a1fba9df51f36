"""Damaged and hostile files made from sound ones of each accepted format, as a fuzzer makes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

from PIL import features

from bad_uploads import concat, hls
from serving import clip_bytes, encoded

#: A playlist and a manifest that would have FFmpeg read other files, or the network.
_DASH = (
    b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    b"<Representation><BaseURL>file:///etc/passwd</BaseURL></Representation></AdaptationSet></Period></MPD>"
)
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_MAX_BYTES = 200_000


def _heif() -> bytes:
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return encoded("HEIF")


@cache
def sound_files(folder: Path) -> dict[str, bytes]:
    """Format → a small file of it, of every format that this machine can write."""
    pictures: dict[str, Callable[[], bytes]] = {
        "PNG": lambda: encoded("PNG"),
        "interlaced PNG": lambda: encoded("PNG", (33, 17), seed=2, optimize=True),
        "JPEG": lambda: encoded("JPEG"),
        "progressive JPEG": lambda: encoded("JPEG", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
        "WebP": lambda: encoded("WEBP"),
        "lossless WebP": lambda: encoded("WEBP", lossless=True),
        "TIFF": lambda: encoded("TIFF"),
        "LZW TIFF": lambda: encoded("TIFF", compression="tiff_lzw"),
        "JPEG TIFF": lambda: encoded("TIFF", compression="jpeg"),
        "BMP": lambda: encoded("BMP"),
        "GIF": lambda: encoded("GIF"),
    }
    if features.check("avif"):
        pictures["AVIF"] = lambda: encoded("AVIF")
    with suppress(Exception):  # no pillow-heif here, or one that only reads
        pictures["HEIF"] = partial(bytes, _heif())
    clips = {
        "MP4": ("in.mp4", {}),
        "MOV": ("in.mov", {"codec": "mpeg4"}),
        "WebM": ("in.webm", {"codec": "libvpx-vp9"}),
        "MKV": ("in.mkv", {"codec": "ffv1"}),
        "AVI": ("in.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        "MPEG-TS": ("in.ts", {"codec": "mpeg2video"}),
    }
    made = {name: make() for name, make in pictures.items()}
    return made | {name: clip_bytes(folder, name=file, **options) for name, (file, options) in clips.items()}


def mutated(data: bytes, others: list[bytes], seed: int) -> bytes:
    """One to eight changes to a file: bits, numbers, blocks, its end, or parts of another one.

    Args:
        others: sound files of other formats, for files that are two formats at once.
    """
    chance = random.Random(seed)
    changed = bytearray(data)
    changes = (_flip, _number, _cut_out, _repeat, _truncate, _insert, _splice, _playlist, _grow)
    weights = (6, 6, 2, 2, 2, 2, 1, 1, 1)
    for change in chance.choices(changes, weights, k=chance.randint(1, 8)):
        if changed:
            change(changed, others, chance)
    return bytes(changed[:_MAX_BYTES])


def _place(data: bytearray, chance: random.Random) -> int:
    """Somewhere, half of the time in the header, where a change does most."""
    return chance.randrange(min(len(data), 256) if chance.random() < 0.5 else len(data))


def _flip(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _number(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    """A size, a count or an offset becomes one at the edge of its range."""
    at, width = _place(data, chance), chance.choice((1, 2, 4))
    value = chance.choice(_INTERESTING) % (1 << 8 * width)
    data[at : at + width] = value.to_bytes(width, chance.choice(("big", "little")))


def _block(data: bytearray, chance: random.Random) -> slice:
    at = _place(data, chance)
    return slice(at, at + chance.choice((1, 4, 16, 64, 1024)))


def _cut_out(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    del data[_block(data, chance)]


def _repeat(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    block = _block(data, chance)
    data[block.start : block.start] = data[block] * chance.choice((1, 2, 50))


def _truncate(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    del data[chance.randrange(1, len(data) + 1) :]


def _insert(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    data[at:at] = chance.choice((chance.randbytes(16), bytes(64), b"\xff" * 64))


def _splice(data: bytearray, others: list[bytes], chance: random.Random) -> None:
    """The beginning of this file, the rest of another."""
    other = chance.choice(others)
    data[_place(data, chance) :] = other[chance.randrange(len(other)) :]


def _playlist(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    """A playlist behind the first bytes of a picture or clip."""
    data[chance.choice((8, 12, 32, 512)) :] = chance.choice((_DASH, hls(), concat()))


def _grow(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    data.extend(chance.choice((b"\0", b"\xff", bytes(data[:64]))) * chance.choice((1, 100, 1000)))
