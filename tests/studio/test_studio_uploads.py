"""Bad uploads: each one a clear refusal of one line, none a failure of the server, none leaves a file."""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from impasto.studio.http.app import create_app
from impasto.studio.sandbox import isolation
from impasto.studio.sandbox.isolation import RefusedError
from impasto.studio.settings import StudioSettings
from serving import clip_bytes, encoded, post

LIMITS: dict[str, Any] = {
    "upload_bytes": 3_000_000, "pixels": 1_000_000, "frame_pixels": 20_000, "seconds": 2.0, "frames": 15,
    "decode_bytes": 2_000_000_000, "decode_seconds": 20, "files": 3, "result_side": 1024, "client_jobs": 200,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(folder: Path) -> TestClient:
    """No worker: what is accepted waits."""
    app = create_app(StudioSettings(data=folder, **LIMITS))
    return TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)


# -- files -------------------------------------------------------------------------------------------------


def png(width: int, height: int, data: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb() -> bytes:
    """65000 × 65000 pixels in a few kilobytes."""
    return png(65000, 65000, zlib.compress(bytes(4_000_000)))


def gif_bomb() -> bytes:
    return b"GIF89a" + struct.pack("<HH", 65000, 65000) + encoded("GIF")[10:]


def bmp_bomb() -> bytes:
    found = bytearray(encoded("BMP"))
    found[18:26] = struct.pack("<ii", 60000, 60000)
    return bytes(found)


def tiff_bomb() -> bytes:
    """A hundred megapixels of nothing, well packed."""
    buffer = io.BytesIO()
    Image.new("1", (12000, 9000)).save(buffer, "TIFF", compression="group4")
    return buffer.getvalue()


def polyglot() -> bytes:
    """A ZIP that begins as a JPEG's first bytes."""
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


def clips(folder: Path, **options: Any) -> bytes:
    return clip_bytes(folder, **options)


#: what it is → (its bytes, status, a word of the line)
BAD: dict[str, tuple[Callable[[Path], bytes], int, str]] = {
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
    "JPEG with a wound": (lambda _: encoded("JPEG")[:300] + b"\xff\xd9", 422, "damaged"),
    "TIFF of NaN": (lambda _: nan_tiff(), 422, "not finite"),
    "polyglot of JPEG and ZIP": (lambda _: polyglot(), 422, "damaged"),
    "HTML that begins as a GIF": (lambda _: html_after_gif(), 422, "damaged"),
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
    "truncated MP4": (lambda f: cut(clips(f), 0.4), 422, "damaged"),
    "MP4 of a header alone": (lambda _: b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", 422, "damaged"),
    "MP4 of lies": (lambda _: b"\0\0\0\x18ftypisom" + bytes(20000), 422, "damaged"),
    "MP4 of sound alone": (sound_only, 415, "moving pictures"),
    "a clip too long": (lambda f: clips(f, count=16, rate=5), 413, "at most 2 s"),
    "a clip of too many frames": (lambda f: clips(f, count=16, rate=30), 413, "at most 15 frames"),
    "a WebM cut off": (lambda f: cut(clips(f, name="in.webm", codec="libvpx-vp9"), 0.2), 422, "decoded"),
    "an AVI of nothing": (lambda _: b"RIFF\0\0\0\0AVI " + bytes(100), 422, "damaged"),
}  # fmt: skip


def _nothing_left(folder: Path) -> None:
    assert list((folder / "jobs").iterdir()) == []
    assert [one for one in (folder / "incoming").iterdir() if not one.name.startswith("pymp")] == []


def _refused(answer: Any, status: int, word: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    said: dict[str, Any] = answer.json()
    assert set(said) == {"detail", "field"}
    assert word in said["detail"]
    assert "\n" not in said["detail"]
    assert "Traceback" not in said["detail"]
    assert "/tmp" not in said["detail"]
    return said


@pytest.mark.parametrize("name", BAD)
def test_bad_contents(studio: TestClient, folder: Path, tmp_path: Path, name: str) -> None:
    build, status, word = BAD[name]
    said = _refused(post(studio, build(tmp_path)), status, word)
    assert said["field"] == "content"
    _nothing_left(folder)


@pytest.mark.parametrize("name", ["nothing", "bomb PNG", "truncated JPEG", "SVG", "polyglot of JPEG and ZIP"])
@pytest.mark.parametrize("part", ["style", "mask", "style_mask"])
def test_bad_styles_and_masks(studio: TestClient, folder: Path, tmp_path: Path, part: str, name: str) -> None:
    build, status, word = BAD[name]
    files = [(part, ("x", build(tmp_path)))]
    if part == "style_mask":
        files.append(("mask", ("x", encoded("PNG"))))
    said = _refused(post(studio, files=files), status, word)
    assert said["field"] == part
    _nothing_left(folder)


def test_a_clip_is_no_style(studio: TestClient, folder: Path, tmp_path: Path) -> None:
    _refused(post(studio, files=[("style", ("x", clip_bytes(tmp_path)))]), 415, "is a clip")
    _nothing_left(folder)


DEEP = "[" * 100_000

#: what is wrong → (parts of the form, a word of the line, the field)
SETTINGS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "unknown setting": ({"recipe": '{"sise": 3}'}, "unknown setting 'sise'", "sise"),
    "out of range": ({"recipe": '{"history": 0}'}, "history", "history"),
    "wrong type": ({"recipe": '{"size": {"a": 1}}'}, "size", "size"),
    "NaN": ({"recipe": '{"content_weight": NaN}'}, "not JSON", "recipe"),
    "Infinity": ({"recipe": '{"content_weight": -Infinity}'}, "not JSON", "recipe"),
    "infinite by digits": ({"recipe": '{"content_weight": 1e999}'}, "content_weight", "content_weight"),
    "no JSON": ({"recipe": "{size: 3}"}, "not JSON", "recipe"),
    "no object": ({"recipe": "[1]"}, "not a JSON object", "recipe"),
    "deep JSON": ({"recipe": DEEP}, "not JSON", "recipe"),
    "deep inside": ({"recipe": '{"size": ' + DEEP + "}"}, "not JSON", "recipe"),
    "a number of 5000 digits": ({"recipe": '{"seed": ' + "9" * 5000 + "}"}, "", "recipe"),
    "a path": ({"recipe": '{"weights": "/etc/passwd"}'}, "not taken from a client", "weights"),
    "a start that is not there": ({"recipe": '{"init": "picture"}'}, "init", "init"),
    "an encoder that is not here": ({"recipe": '{"encoder": "vgg19"}'}, "not here", "encoder"),
    "too large a result": ({"recipe": '{"size": 2000}'}, "at most 1024", "size"),
    "too small for the layers": ({"recipe": '{"size": 4}'}, "at least", "size"),
    "unknown preset": ({"preset": "../../etc"}, "unknown preset", "preset"),
    "unknown style": ({"style_id": "../wave"}, "unknown style", "style"),
    "clip settings out of range": ({"video": '{"passes": 0}'}, "passes", "video.passes"),
    "unknown clip setting": ({"video": '{"speed": 1}'}, "unknown setting", "video.speed"),
    "clip settings for a picture": ({"video": '{"passes": 2}'}, "for a picture", "video"),
    "raft without torchvision": ({"video": '{"flow": "raft"}'}, "torchvision", "video.flow"),
    "blend of another count": ({"recipe": '{"style_blend": [1, 2]}'}, "style weights", None),
    "unknown part": ({"url": "http://127.0.0.1/"}, "unknown part", None),
    "a file's name as text": ({"mask": "mask.png"}, "is text", "mask"),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_bad_settings(studio: TestClient, folder: Path, name: str) -> None:
    parts, word, field = SETTINGS[name]
    if name == "raft without torchvision" and "torchvision" in sys.modules:
        pytest.skip("torchvision is here")
    said = _refused(post(studio, **parts), 422, word)
    if field is not None:
        assert said["field"] == field
    _nothing_left(folder)


def test_masks_that_do_not_fit(studio: TestClient, folder: Path) -> None:
    mask, colours = encoded("PNG", (20, 90)), encoded("PNG", (64, 48))
    _refused(post(studio, files=[("mask", ("x", mask))]), 422, "")
    _refused(post(studio, files=[("style_mask", ("x", colours))]), 422, "")
    _refused(
        post(studio, files=[("style", ("x", encoded("PNG", seed=n))) for n in range(4)]), 422, "at most 3"
    )
    _nothing_left(folder)


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", "", 415),
        (b"content=x", "application/x-www-form-urlencoded", 415),
        (b"no boundary", "multipart/form-data", 400),
        (b"--b\r\nnonsense", FORM, 422),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", FORM, 400),
        (b"--b--\r\n", FORM, 422),
        (b"x" * 5000, 'multipart/form-data; boundary="' + "b" * 400 + '"', 400),
    ],
)  # fmt: skip
def test_bad_bodies(studio: TestClient, folder: Path, body: bytes, kind: str, status: int) -> None:
    answer = studio.post("/v1/jobs", content=body, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status, answer.text
    assert "\n" not in answer.json()["detail"]
    _nothing_left(folder)


def test_thousands_of_parts_are_not_read(studio: TestClient, folder: Path) -> None:
    files = [("style", ("x", b"")) for _ in range(3000)]
    answer = studio.post("/v1/jobs", files=files)
    assert answer.status_code == 400
    assert "Too many files" in answer.json()["detail"]
    answer = studio.post("/v1/jobs", files=[("preset", (None, "fast"))] * 3000)
    assert answer.status_code == 400
    answer = studio.post("/v1/jobs", files=[("recipe", (None, "1" * 2_000_000))])
    assert answer.status_code == 400
    _nothing_left(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/cron.d/x",
        "/etc/passwd",
        "..\\..\\x",
        "a\0b.png",
        "x.php",
        "con",
        "🦊" * 300,
        "",
        "-rf",
        "..",
    ],
)
def test_names_of_files_are_never_used(studio: TestClient, folder: Path, name: str) -> None:
    answer = studio.post(
        "/v1/jobs",
        files=[("content", (name or "x", encoded("PNG"))), ("style", (name or "x", encoded("PNG", seed=3)))],
        data={"recipe": json.dumps({"size": 48})},
    )
    if answer.status_code in (400, 422):  # a name that breaks the form itself
        _nothing_left(folder)
        return
    assert answer.status_code == 202
    job = answer.json()["id"]
    there = sorted(one.name for one in (folder / "jobs" / job).iterdir())
    assert there == ["content", "content.jpg", "content.png", "style-0", "style-0.png", "style-0.webp"]
    assert studio.delete(f"/v1/jobs/{job}").status_code == 204
    create_sweep(studio)
    _nothing_left(folder)


def create_sweep(studio: TestClient) -> None:
    """What the supervisor does each minute."""
    from impasto.studio.queue.keeping import sweep

    running = studio.app.state.studio  # type: ignore[attr-defined]
    sweep(running.jobs, running.settings)


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "HEIF", "PNG16", "alpha"]
)
def test_good_pictures_of_every_kind(studio: TestClient, kind: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif", reason="no pillow-heif").register_heif_opener()
    buffer = io.BytesIO()
    if kind == "PNG16":
        Image.fromarray((np.arange(3072).reshape(48, 64) * 20).astype(np.uint16)).save(buffer, "PNG")
    elif kind == "alpha":
        Image.new("RGBA", (64, 48), (200, 30, 30, 128)).save(buffer, "PNG")
    data = buffer.getvalue() or encoded(kind)
    answer = post(studio, data)
    assert answer.status_code == 202, answer.text
    assert answer.json()["size"] == [36, 48]
    assert studio.get(answer.json()["content"]).headers["content-type"] == "image/jpeg"
    look = studio.post("/v1/look", files={"content": ("x", data)})
    assert (look.status_code, look.headers["x-impasto-size"]) == (200, "64x48")


def test_the_same_checks_for_a_look(studio: TestClient, folder: Path, tmp_path: Path) -> None:
    for name in ("nothing", "bomb PNG", "truncated JPEG", "SVG", "a clip too long"):
        build, status, word = BAD[name]
        _refused(studio.post("/v1/look", files={"content": ("x", build(tmp_path))}), status, word)
    clip = studio.post("/v1/look", files={"content": ("x", clip_bytes(tmp_path))})
    assert (clip.status_code, clip.headers["x-impasto-kind"], clip.headers["x-impasto-size"]) == (
        200,
        "video",
        "96x64",
    )
    assert list((folder / "incoming").glob("????????????????")) == []


# -- the child that decodes ----------------------------------------------------------------------------------


def _hungry() -> int:
    return len(bytearray(3_000_000_000))


def _busy() -> None:
    while True:
        pass


def _crash() -> None:
    import ctypes

    ctypes.string_at(0)


@pytest.mark.parametrize("function", [_hungry, _busy, _crash])
def test_a_decoder_that_takes_too_much_or_breaks_is_one_line(function: Callable[..., Any]) -> None:
    begin = time.monotonic()
    with pytest.raises(RefusedError, match="more memory or time"):
        isolation.run(function, memory=1_000_000_000, seconds=1)
    assert time.monotonic() - begin < 30
