"""What a file is, by its content; what is not a picture is refused and named."""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from impasto import pictures
from impasto.errors import PictureError
from picture_files import (
    DEEP,
    HAS_AVIF,
    encoded,
    levels,
    png,
    psd,
    psd_resource,
    scene,
    tiff,
    write,
)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
def test_a_header_tells_format_and_size(tmp_path, kind):
    path = write(tmp_path / "wrong.txt", Image.fromarray(scene()), kind)
    assert pictures.read_header(path) == pictures.PictureHeader(kind, 24, 40)


def test_the_header_of_a_deep_tiff(tmp_path):
    (tmp_path / "a").write_bytes(tiff(DEEP[..., :3], photometric="rgb"))
    assert pictures.read_header(tmp_path / "a") == pictures.PictureHeader("TIFF", 6, 9)


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "'content' is empty"), (b"<html>", "'content' is an HTML page"),
                          (b"\x89PNG\r\n\x1a\n", "'content' is a damaged or incomplete PNG file")],
)  # fmt: skip
def test_a_header_that_cannot_be_read_is_refused_under_the_callers_name(tmp_path, data, message):
    (tmp_path / "upload-17").write_bytes(data)
    with pytest.raises(PictureError, match=message):
        pictures.read_header(tmp_path / "upload-17", "content")


@pytest.mark.parametrize(
    ("name", "header", "samples", "top"),
    [("a.ppm", b"P6 9 6 255\n", (DEEP[..., :3] >> 8).astype(np.uint8), 255),
     ("a.pgm", b"P5 9 6 255\n", (DEEP[..., 0] >> 8).astype(np.uint8), 255),
     ("deep.pgm", b"P5 9 6 65535\n", DEEP[..., 0].astype(">u2"), 65535)],
)  # fmt: skip
def test_ppm_and_pgm(tmp_path, name, header, samples, top):
    (tmp_path / name).write_bytes(header + samples.tobytes())
    expected = samples if samples.ndim == 3 else samples[..., None].repeat(3, 2)
    assert np.array_equal(levels(pictures.load(tmp_path / name), top), expected)
    assert Path(name).suffix in pictures.READABLE_SUFFIXES


def test_every_usual_ending_is_one_that_is_read(tmp_path):
    Image.init()
    formats = {Image.EXTENSION.get(suffix) for suffix in pictures.READABLE_SUFFIXES if suffix[:3] != ".he"}
    formats -= {"PSD"}  # which Pillow cannot write; see below
    for kind in formats - {"AVIF"} | ({"AVIF"} if HAS_AVIF else set()):
        mode = "L" if kind == "GIF" else "RGB"
        write(tmp_path / "a", Image.fromarray(scene()).convert(mode), kind)
        assert pictures.load(tmp_path / "a").size == (24, 40), kind


def test_heic_is_read_upright_where_pillow_heif_is(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    flat = np.zeros((32, 64, 3), np.uint8)
    flat[:16], flat[16:] = (200, 40, 40), (40, 40, 200)  # red above blue
    exif = Image.Exif()
    exif[274] = 6  # the camera was held so that the stored top is the right
    pillow_heif.from_pillow(Image.fromarray(flat)).save(tmp_path / "plain.heic", quality=95)
    pillow_heif.from_pillow(Image.fromarray(flat)).save(
        tmp_path / "turned.heic", quality=95, exif=exif.tobytes()
    )
    plain, turned = (pictures.load(tmp_path / name) for name in ("plain.heic", "turned.heic"))
    assert plain.size == (32, 64)
    assert (plain.pixels[0, :, 4, 32] - torch.tensor([200, 40, 40]) / 255).abs().max() < 0.05
    assert turned.size == (64, 32)
    assert (turned.pixels[0, :, 32, 28] - torch.tensor([200, 40, 40]) / 255).abs().max() < 0.05
    assert pictures.read_header(tmp_path / "plain.heic").format == "HEIF"


def test_heic_without_pillow_heif_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(PictureError, match=r"an HEIC picture, .*pip install 'impasto\[heic\]'"):
        pictures.load(tmp_path / "a.heic")


BAD_FILES: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "empty": (b"", "is empty"),
    "one byte": (b"\x89", "format|text"),
    "html": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "is an HTML page"),
    "html after space and BOM": (b"\xef\xbb\xbf\n  <HTML lang=en>", "is an HTML page"),
    "xhtml": (b"<?xml version='1.0'?><html xmlns='x'><svg/></html>", "is an HTML page"),
    "svg": (b"<?xml version='1.0'?>\n<svg xmlns='x'></svg>", "is an SVG drawing"),
    "text": ("not a picture, né?\n".encode() * 9, "is a text file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
    "mp4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "impasto video"),
    "mov": (b"\0\0\0\x14ftypqt  \0\0\0\0", "impasto video"),
    "mkv": (b"\x1aE\xdf\xa3\x01\0\0\0", "impasto video"),
    "avi": (b"RIFF\0\0\1\0AVI LIST", "impasto video"),
    "mpeg": (b"\0\0\x01\xba\x44\0", "impasto video"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC|damaged"),
    "jpeg xl": (b"\xff\x0a\xfa\x1f", "JPEG XL"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
    "zip": (b"PK\x03\x04\x14\0", "archive"),
    "noise": (bytes(random.Random(0).randbytes(999)), "no known picture format"),
    "zeros": (bytes(999), "no known picture format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
    "cut jpeg": (lambda: encoded("JPEG")[:-200], "damaged or incomplete JPEG"),
    "cut progressive jpeg": (lambda: encoded("JPEG", progressive=True)[:-40], "damaged or incomplete JPEG"),
    "jpeg header only": (b"\xff\xd8\xff\xe0", "damaged or incomplete JPEG"),
    "cut png": (lambda: encoded("PNG")[:-60], "damaged or incomplete PNG"),
    "png signature only": (b"\x89PNG\r\n\x1a\n", "damaged or incomplete PNG"),
    "png with a wrong checksum": (
        lambda: encoded("PNG").replace(b"IHDR\0\0\0\x28", b"IHDR\0\0\0\x27"),
        "PNG",
    ),
    "zero-size png": (png(0, 4, b""), "PNG|at least 1×1"),
    "zero-size gif": (b"GIF89a\0\0\0\0\0\0\0;", "GIF|at least 1×1"),
    "cut webp": (lambda: encoded("WEBP")[:-9], "damaged or incomplete WEBP"),
    "cut tiff": (lambda: tiff(DEEP[..., :3], photometric="rgb")[:-9], "damaged or incomplete TIFF"),
    "cut packed tiff": (lambda: tiff(DEEP[..., :3], photometric="rgb", compression="zlib")[:-9], "TIFF"),
    "tiff signature only": (b"II*\0\x08\0\0\0", "damaged or incomplete TIFF"),
    "cut bmp": (lambda: encoded("BMP")[:-9], "damaged or incomplete BMP"),
    "cut gif": (lambda: encoded("GIF")[:-90], "damaged or incomplete GIF"),
    "NaN tiff": (lambda: tiff(np.full((4, 4), np.nan, np.float32), photometric="minisblack"), "not finite"),
    "0 to 255 float tiff": (
        lambda: tiff(np.full((4, 4), 99, np.float32), photometric="minisblack"),
        "floats from 99",
    ),
    "raw": (lambda: tiff(DEEP[..., 0], extratags=[(50706, 1, 4, b"\1\4\0\0", True)]), "camera raw"),
    "bomb png": (png(30000, 30000, b""), "900 megapixels.*--max-pixels 900000000"),
    "bomb bmp": (
        lambda: encoded("BMP")[:18] + struct.pack("<ii", 50000, 50000) + encoded("BMP")[26:],
        "--max-pixels",
    ),
    "bomb gif": (b"GIF89a\xff\xff\xff\xff\0\0\0;", "--max-pixels|GIF"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path, name, capfd):
    data, message = BAD_FILES[name]
    path = tmp_path / "holiday.jpg"  # the name says picture; the content decides
    path.write_bytes(data if isinstance(data, bytes) else data())
    with pytest.raises(PictureError, match=message) as caught:
        pictures.load(path)
    assert "holiday.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


# -- Photoshop -----------------------------------------------------------------------------------------------


def test_a_photoshop_file_is_read_as_its_flattened_picture(tmp_path):
    data = psd(scene(), layers=bytes(40), resources=psd_resource(1057, b"\0\0\0\1\1"))
    (tmp_path / "a.psd").write_bytes(data)
    assert np.array_equal(levels(pictures.load(tmp_path / "a.psd")), scene())
    assert pictures.read_header(tmp_path / "a.psd") == pictures.PictureHeader("PSD", 24, 40)


def test_a_photoshop_file_in_grey_and_one_with_alpha(tmp_path):
    (tmp_path / "grey.psd").write_bytes(psd(scene()[..., :1], mode=1))
    assert np.array_equal(levels(pictures.load(tmp_path / "grey.psd")), scene()[..., [0, 0, 0]])
    alpha = np.full((24, 40, 1), 51, np.uint8)
    (tmp_path / "alpha.psd").write_bytes(psd(np.dstack([scene(), alpha])))
    picture = pictures.load(tmp_path / "alpha.psd")
    assert picture.alpha is not None
    assert torch.allclose(picture.alpha, torch.tensor(0.2))


@pytest.mark.parametrize(
    ("data", "message"),
    [(psd(DEEP[..., :3], depth=16), "16 bits a channel; 8 bits can be read; convert it"),
     (psd(scene(), resources=psd_resource(1057, b"\0\0\0\1\0")), "Maximise Compatibility"),
     (psd(scene())[:200], "damaged or incomplete PSD"),
     (psd(scene())[:24], "damaged or incomplete PSD")],
)  # fmt: skip
def test_photoshop_files_that_cannot_be_read(tmp_path, data, message):
    (tmp_path / "a.psd").write_bytes(data)
    with pytest.raises(PictureError, match=message):
        pictures.load(tmp_path / "a.psd")
