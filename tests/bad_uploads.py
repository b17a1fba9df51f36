"""Uploads that must not be accepted, for several test files, and the studio that refuses them."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from serving import clip_bytes, encoded

#: Limits that small files exceed.
SMALL_LIMITS: dict[str, Any] = {
    "upload_bytes": 3_000_000, "pixels": 1_000_000, "frame_pixels": 20_000, "seconds": 2.0, "frames": 15,
    "decode_bytes": 2_000_000_000, "decode_seconds": 20, "files": 3, "result_side": 1024, "client_jobs": 200,
}  # fmt: skip


def png(width: int, height: int, data: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG with any size in its header, whatever its data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb() -> bytes:
    """A PNG of 65000 × 65000 pixels in a few kilobytes."""
    return png(65000, 65000, zlib.compress(bytes(4_000_000)))


def gif_bomb() -> bytes:
    return b"GIF89a" + struct.pack("<HH", 65000, 65000) + encoded("GIF")[10:]


def bmp_bomb() -> bytes:
    data = bytearray(encoded("BMP"))
    data[18:26] = struct.pack("<ii", 60000, 60000)
    return bytes(data)


def tiff_bomb() -> bytes:
    """A TIFF of a hundred megapixels in a few kilobytes."""
    buffer = io.BytesIO()
    Image.new("1", (12000, 9000)).save(buffer, "TIFF", compression="group4")
    return buffer.getvalue()


def polyglot() -> bytes:
    """A ZIP behind the first bytes of a JPEG."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.html", "<script>alert(1)</script>")
    return b"\xff\xd8\xff\xe0" + buffer.getvalue()


def html_after_gif() -> bytes:
    return b"GIF89a/*<html><script>alert(1)</script></html>*/=1;"


def hls() -> bytes:
    """A playlist that would have FFmpeg read another file."""
    return b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


def concat() -> bytes:
    return b"ffconcat version 1.0\nfile '/etc/passwd'\n"


def cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def nan_tiff() -> bytes:
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((8, 8, 3), np.nan, np.float32))
    return buffer.getvalue()


def sound_only(folder: Path) -> bytes:
    import av

    path = folder / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


#: Description → (scratch folder → bytes, status of the refusal, a word of its message).
BAD_UPLOADS: dict[str, tuple[Callable[[Path], bytes], int, str]] = {
    "nothing": (lambda _: b"", 422, "empty"),
    "one byte": (lambda _: b"\x00", 415, "no known"),
    "noise": (lambda _: np.random.RandomState(0).bytes(5000), 415, "no known"),
    "bomb PNG": (lambda _: bomb(), 413, "megapixels"),
    "bomb GIF": (lambda _: gif_bomb(), 413, "megapixels"),
    "bomb BMP": (lambda _: bmp_bomb(), 413, "megapixels"),
    "bomb TIFF": (lambda _: tiff_bomb(), 413, "megapixels"),
    "PNG of no size": (lambda _: png(0, 10), 422, ""),
    "PNG without data": (lambda _: png(10, 10), 422, "damaged"),
    "truncated PNG": (lambda _: cut(encoded("PNG"), 0.5), 422, "damaged"),
    "truncated JPEG": (lambda _: cut(encoded("JPEG"), 0.5), 422, "damaged"),
    "JPEG of a header alone": (lambda _: encoded("JPEG")[:20], 422, "damaged"),
    "truncated WebP": (lambda _: cut(encoded("WEBP"), 0.5), 422, "damaged"),
    "truncated AVIF": (lambda _: cut(encoded("AVIF"), 0.5), 422, "damaged"),
    "JPEG that ends early": (lambda _: encoded("JPEG")[:300] + b"\xff\xd9", 422, "damaged"),
    "TIFF of NaN": (lambda _: nan_tiff(), 422, "not finite"),
    "polyglot of JPEG and ZIP": (lambda _: polyglot(), 422, "damaged"),
    "HTML that begins as a GIF": (lambda _: html_after_gif(), 422, "damaged"),
    "JPEG 2000": (lambda _: encoded("JPEG2000"), 415, "clips: MP4"),
    "PPM": (lambda _: encoded("PPM"), 415, "clips: MP4"),
    "ICO": (lambda _: encoded("ICO"), 415, "clips: MP4"),
    "QOI": (lambda _: b"qoif" + struct.pack(">IIBB", 1, 1, 3, 0) + bytes(8), 415, "clips: MP4"),
    "PSD": (lambda _: b"8BPS\0\1" + struct.pack(">6xHIIHH", 3, 1, 1, 8, 3) + bytes(12), 415, "clips: MP4"),
    "SVG": (lambda _: b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', 415, "SVG"),
    "SVG with a preamble": (lambda _: b'<?xml version="1.0"?>\n<svg width="1"/>', 415, "SVG"),
    "HTML": (lambda _: b"<!doctype html><script>alert(1)</script>", 415, "HTML"),
    "PDF": (lambda _: b"%PDF-1.7\n1 0 obj\n", 415, "PDF"),
    "PostScript": (lambda _: b"%!PS-Adobe-3.0\n(/etc/passwd) run\n", 415, "PostScript"),
    "ZIP": (lambda _: polyglot()[4:], 415, "archive"),
    "gzip": (lambda _: gzip.compress(encoded()), 415, "archive"),
    "text": (lambda _: b"hello", 415, "text"),
    "a shell script": (lambda _: b"#!/bin/sh\nrm -rf /\n", 415, "text"),
    "a playlist": (lambda _: hls(), 415, "text"),
    "a list of files": (lambda _: concat(), 415, "text"),
    "a pickle": (lambda _: b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x02os", 415, "no known"),
    "an ELF program": (lambda _: b"\x7fELF" + bytes(60), 415, "no known"),
    "truncated MP4": (lambda f: cut(clip_bytes(f), 0.4), 422, "damaged"),
    "MP4 of a header alone": (lambda _: b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", 422, "damaged"),
    "MP4 of zeros": (lambda _: b"\0\0\0\x18ftypisom" + bytes(20000), 422, "damaged"),
    "MP4 of sound alone": (sound_only, 415, "moving pictures"),
    "a clip too long": (lambda f: clip_bytes(f, count=16, rate=5), 413, "at most 2 s"),
    "a clip of too many frames": (lambda f: clip_bytes(f, count=16, rate=30), 413, "at most 15 frames"),
    "a WebM cut off": (lambda f: cut(clip_bytes(f, name="in.webm", codec="libvpx-vp9"), 0.2), 422, "decoded"),
    "an AVI of zeros": (lambda _: b"RIFF\0\0\0\0AVI " + bytes(100), 422, "damaged"),
}  # fmt: skip


def assert_refused(response: Any, status: int, word: str) -> dict[str, Any]:
    """A refusal is one line that tells nothing about the machine; returns its JSON."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    assert set(body) == {"detail", "field"}
    assert word in body["detail"]
    assert "\n" not in body["detail"]
    assert "Traceback" not in body["detail"]
    assert "/tmp" not in body["detail"]
    return body


def assert_nothing_left(folder: Path) -> None:
    """No file of a refused request is on the disk."""
    assert list((folder / "jobs").iterdir()) == []
    # Python's own folder for the fork server's socket may be there.
    assert [path for path in (folder / "incoming").iterdir() if not path.name.startswith("pymp")] == []
