"""Files to tensors and back. The oracles are Pillow, tifffile and arithmetic, never our own reader alone."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import resource
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from impasto import pictures
from impasto.errors import PictureError

RECIPE = json.dumps({"style": "Νύχτα.jpg", "iterations": 500, "note": "naïve – 🎨"}, ensure_ascii=False)
ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif"]
HAS_AVIF = Image.init() is not None and "AVIF" in Image.SAVE


def scene(height: int = 24, width: int = 40) -> np.ndarray:
    """(H, W, 3) uint8, smooth enough for JPEG, no two corners alike."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(
        np.uint8
    )


def tensor(array: np.ndarray) -> torch.Tensor:
    """(1, C, H, W) float32 of (H, W, C) uint8."""
    return torch.from_numpy(array.transpose(2, 0, 1)[None].astype(np.float64) / 255).float()


def got(picture: pictures.Picture, top: int = 255) -> np.ndarray:
    """(H, W, 3) whole numbers of a picture, by rounding: must hit exactly."""
    assert picture.pixels.dtype == torch.float32
    assert picture.pixels.is_contiguous()
    exact = picture.pixels[0].double().numpy().transpose(1, 2, 0) * top
    assert np.abs(exact - exact.round()).max() < 0.01
    return exact.round().astype(np.int64)


def write(path: Path, image: Image.Image, kind: str, **options: Any) -> Path:
    image.save(path, kind, **options)
    return path


# ---------------------------------------------------------------------------------------------- reading files


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {}),
     ("WEBP", {"lossless": True}), ("QOI", {}), ("JPEG2000", {})],
)  # fmt: skip
def test_lossless_files_give_their_pixels_whatever_their_name(tmp_path, kind, options):
    path = write(tmp_path / "wrong.jpg", Image.fromarray(scene()), kind, **options)
    picture = pictures.load(path)
    assert np.array_equal(got(picture), scene())
    assert picture.pixels.shape == (1, 3, 24, 40)
    assert picture.size == (24, 40)
    assert picture.alpha is None
    assert picture.source == path


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"] + ["AVIF"] * HAS_AVIF)
def test_lossy_files_come_close(tmp_path, kind):
    path = write(tmp_path / "a", Image.fromarray(scene()), kind, quality=95)
    assert (pictures.load(str(path)).pixels - tensor(scene())).abs().max() < 0.08


def test_a_path_a_pil_picture_an_array_and_a_tensor_agree(tmp_path):
    array = scene()
    path = write(tmp_path / "a.png", Image.fromarray(array), "PNG")
    pictures = [
        pictures.load(source) for source in (path, Image.open(path), array, tensor(array), tensor(array)[0])
    ]
    pictures.append(pictures.load(torch.from_numpy(array.transpose(2, 0, 1).copy())))
    for picture in pictures:
        assert torch.equal(picture.pixels, pictures[0].pixels)
    assert pictures.load(pictures[0]) is pictures[0]


ROW0_COL0 = {  # EXIF 2.3, tag 0x112: where the stored first row and first column belong
    1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
    5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
}  # fmt: skip


def stored_as(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera held that way would have stored, pixel by pixel from the standard's table."""
    height, width = upright.shape[:2]
    row0, col0 = ROW0_COL0[orientation]
    turned = row0 in ("left", "right")
    stored = np.zeros((width, height, 3) if turned else (height, width, 3), upright.dtype)
    for r in range(stored.shape[0]):
        for c in range(stored.shape[1]):
            down, along = (c, r) if turned else (r, c)
            y = height - 1 - down if "bottom" in (row0, col0) else down
            x = width - 1 - along if "right" in (row0, col0) else along
            stored[r, c] = upright[y, x]
    return stored


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    upright = scene(5, 8)
    stored = Image.fromarray(stored_as(upright, orientation))
    exif = Image.Exif()
    exif[274] = orientation
    for kind in ("PNG", "TIFF", "WEBP"):
        path = write(
            tmp_path / kind, stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})
        )
        assert np.array_equal(got(pictures.load(path)), upright), kind
    deep = stored_as(upright, orientation).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "deep", deep, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    assert np.array_equal(got(pictures.load(tmp_path / "deep")), upright)


def test_a_broken_exif_block_does_not_cost_the_picture(tmp_path):
    path = write(tmp_path / "a.png", Image.fromarray(scene()), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(got(pictures.load(path)), scene())


# ------------------------------------------------------------------------------------------------ colour


SRGB_D50 = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
P3_D50 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])


def p3_profile() -> bytes:
    """Display P3: sRGB's curve on other primaries. littlecms's sRGB profile with three tags rewritten."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(struct.unpack(">I", data[128:132])[0]):
        name, offset, _ = struct.unpack(">4sII", data[132 + 12 * i : 144 + 12 * i])
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            column = P3_D50[:, b"rgb".index(name[0])]
            data[offset + 8 : offset + 20] = struct.pack(">3i", *(round(v * 65536) for v in column))
    return bytes(data)


def p3_to_srgb(array: np.ndarray) -> np.ndarray:
    """The same in float64 and by the book, [0, 255]."""
    v = array / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    linear = (linear @ P3_D50.T @ np.linalg.inv(SRGB_D50).T).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_a_wide_profile_is_brought_to_srgb(tmp_path):
    expected = p3_to_srgb(scene())
    assert np.abs(expected - scene()).max() > 15  # or the test could not fail
    path = write(tmp_path / "a.png", Image.fromarray(scene()), "PNG", icc_profile=p3_profile())
    assert np.abs(got(pictures.load(path)) - expected).max() <= 2
    tifffile.imwrite(
        tmp_path / "a.tif", scene().astype(np.uint16) * 257, photometric="rgb", iccprofile=p3_profile()
    )
    assert np.abs(got(pictures.load(tmp_path / "a.tif")) - expected).max() <= 2


def test_a_profile_leaves_alpha_alone(tmp_path):
    alpha = scene()[..., :1]
    rgba = Image.fromarray(np.dstack([scene(), alpha]))
    picture = pictures.load(write(tmp_path / "a.png", rgba, "PNG", icc_profile=p3_profile()))
    assert np.abs(got(picture) - p3_to_srgb(scene())).max() <= 2
    assert picture.alpha is not None
    assert torch.equal(picture.alpha, tensor(alpha))


def test_an_rgb_profile_on_a_grey_picture_keeps_it_grey(tmp_path):
    grey = Image.fromarray(scene()[..., 0])
    pixels = got(pictures.load(write(tmp_path / "a.png", grey, "PNG", icc_profile=p3_profile())))
    assert np.abs(pixels - scene()[..., :1].astype(int)).max() <= 1


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense",
        b"\0" * 200,
        p3_profile()[:150],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ],
    ids=["text", "zeros", "cut", "of another space"],
)
def test_a_broken_profile_is_ignored(tmp_path, profile):
    path = write(tmp_path / "a.png", Image.fromarray(scene()), "PNG", icc_profile=profile)
    assert np.array_equal(got(pictures.load(path)), scene())


CMYK = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 255, 255), (0, 0, 0, 255): (0, 0, 0)}


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])  # Pillow writes the JPEG as Adobe does: inverted
@pytest.mark.parametrize("ink", CMYK)
def test_cmyk(tmp_path, kind, ink):
    path = write(tmp_path / "a", Image.new("CMYK", (16, 16), ink), kind)
    if kind == "JPEG":
        assert b"Adobe" in path.read_bytes()[:200]
    assert np.abs(got(pictures.load(path)) - np.array(CMYK[ink])).max() <= 2


def test_lab_and_ycbcr(tmp_path):
    lab = write(
        tmp_path / "lab.tif", Image.new("LAB", (4, 4), (137, 128, 128)), "TIFF"
    )  # L* 53.7: middle grey
    assert np.abs(got(pictures.load(lab)) - 128).max() <= 2
    ycc = write(tmp_path / "ycc.tif", Image.new("YCbCr", (4, 4), (76, 85, 255)), "TIFF")  # BT.601's red
    assert np.abs(got(pictures.load(ycc)) - np.array([254, 0, 0])).max() <= 2


# ------------------------------------------------------------------------------------------- alpha and depth


def test_alpha_is_kept_and_full_alpha_is_none(tmp_path):
    alpha = scene()[..., 1:2]
    path = write(tmp_path / "a.png", Image.fromarray(np.dstack([scene(), alpha])), "PNG")
    picture = pictures.load(path)
    assert np.array_equal(got(picture), scene())
    assert picture.alpha is not None
    assert torch.equal(picture.alpha, tensor(alpha))
    opaque = Image.fromarray(np.dstack([scene(), np.full_like(alpha, 255)]))
    assert pictures.load(write(path, opaque, "PNG")).alpha is None


def test_palette_with_transparency(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    steps = pictures.load(write(tmp_path / "a.png", image, "PNG", transparency=b"\xff\x80\x00"))
    single = pictures.load(write(tmp_path / "a.gif", image, "GIF", transparency=1))
    for picture, alpha in ((steps, [255, 128, 0]), (single, [255, 0, 255])):
        assert np.array_equal(got(picture)[0, [0, 2]], [[255, 0, 0], [0, 0, 255]])
        assert picture.alpha is not None
        assert (picture.alpha.flatten() * 255).round().tolist() == alpha


def test_grey_grey_with_alpha_one_bit_and_keyed_colours(tmp_path):
    grey = scene()[..., 0]
    assert np.array_equal(
        got(pictures.load(write(tmp_path / "a", Image.fromarray(grey), "PNG"))), grey[..., None].repeat(3, 2)
    )
    both = pictures.load(
        write(tmp_path / "b", Image.fromarray(np.dstack([grey, grey.T.reshape(grey.shape)]), "LA"), "PNG")
    )
    assert np.array_equal(got(both)[..., 1], grey)
    assert both.alpha is not None
    assert np.array_equal((both.alpha[0, 0] * 255).round().numpy(), grey.T.reshape(grey.shape))
    bits = np.eye(9, dtype=bool)
    for kind in ("PNG", "TIFF", "BMP"):
        assert np.array_equal(
            got(pictures.load(write(tmp_path / kind, Image.fromarray(bits), kind)))[..., 0], bits * 255
        )
    keyed = pictures.load(
        write(tmp_path / "c", Image.fromarray(scene()), "PNG", transparency=tuple(map(int, scene()[3, 4])))
    )
    assert keyed.alpha is not None
    assert np.array_equal(keyed.alpha[0, 0].numpy() == 0, (scene() == scene()[3, 4]).all(-1))


DEEP = np.random.default_rng(5).integers(0, 65536, (6, 9, 4)).astype(np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_depth(tmp_path, kind):
    path = write(tmp_path / "a", Image.fromarray(DEEP[..., 0]), kind)
    assert np.array_equal(got(pictures.load(path), 65535)[..., 2], DEEP[..., 0])


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"planarconfig": "separate"}, {"rowsperstrip": 2},
     {"tile": (16, 16)}, {"bigtiff": True}],
    ids=str,
)  # fmt: skip
def test_sixteen_bit_tiff_keeps_its_depth(tmp_path, options):
    array = DEEP[..., :3].transpose(2, 0, 1) if "planarconfig" in options else DEEP[..., :3]
    tifffile.imwrite(tmp_path / "a", array, photometric="rgb", **options)
    assert np.array_equal(got(pictures.load(tmp_path / "a"), 65535), DEEP[..., :3])


def test_deep_tiff_alpha_plain_and_premultiplied_and_white_is_zero(tmp_path):
    tifffile.imwrite(tmp_path / "a", DEEP, photometric="rgb", extrasamples=["unassalpha"])
    picture = pictures.load(tmp_path / "a")
    assert np.array_equal(got(picture, 65535), DEEP[..., :3])
    assert picture.alpha is not None
    assert np.array_equal((picture.alpha[0, 0].double() * 65535).round().numpy(), DEEP[..., 3])
    half = np.full((2, 2, 4), 32768, np.uint16)  # full white, half covering
    tifffile.imwrite(tmp_path / "b", half, photometric="rgb", extrasamples=["assocalpha"])
    assert np.array_equal(got(pictures.load(tmp_path / "b"), 1), np.ones((2, 2, 3)))
    tifffile.imwrite(tmp_path / "c", DEEP[..., 0], photometric="miniswhite")
    assert np.array_equal(got(pictures.load(tmp_path / "c"), 65535)[..., 0], 65535 - DEEP[..., 0].astype(int))


def test_sixteen_bit_rgb_png_is_read_at_eight_bits(tmp_path):
    path = tmp_path / "a.png"
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in DEEP[..., :3])
    path.write_bytes(png(9, 6, rows, depth=16))
    pixels = pictures.load(path).pixels[0].numpy().transpose(1, 2, 0)
    assert np.abs(pixels - DEEP[..., :3] / 65535).max() < 1 / 255
    key = struct.pack(">3H", *DEEP[2, 3, :3].tolist())
    path.write_bytes(png(9, 6, rows, depth=16, before=chunk(b"tRNS", key)))
    alpha = pictures.load(path).alpha
    assert alpha is not None
    assert (alpha == 0).nonzero().tolist() == [[0, 0, 2, 3]]


def test_float_tiff(tmp_path):
    values = np.linspace(-0.1, 1.1, 54, dtype=np.float32).reshape(6, 9)
    tifffile.imwrite(tmp_path / "a", np.dstack([values] * 3), photometric="rgb")
    pixels = pictures.load(tmp_path / "a").pixels[0, 1].numpy()
    assert np.array_equal(pixels, values.clip(0, 1))
    tifffile.imwrite(tmp_path / "b", values.astype(np.float64), photometric="minisblack")
    assert np.array_equal(pictures.load(tmp_path / "b").pixels[0, 2].numpy(), pixels)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_many(tmp_path, kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:], **options)
    assert np.array_equal(got(pictures.load(tmp_path / "a")), np.asarray(frames[0]))


# --------------------------------------------------------------------------------------- arrays and tensors


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float16, np.float32, np.float64, bool])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4), (4, 5, 2)])
def test_arrays(dtype, shape):
    unit = np.random.default_rng(1).integers(0, 2, shape).astype(np.float64)
    array = (unit * (np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1)).astype(dtype)
    picture = pictures.load(array)
    full = unit[..., None] if unit.ndim == 2 else unit
    rgb = full[..., :3] if full.shape[2] > 2 else full[..., :1].repeat(3, 2)
    assert np.array_equal(got(picture, 1), rgb)
    assert (picture.alpha is None) == (full.shape[2] % 2 == 1)
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha[0, 0].numpy(), full[..., -1])


def test_the_picture_owns_its_memory():
    array, source = np.zeros((4, 4, 3), np.float32), torch.zeros(1, 3, 4, 4, requires_grad=True)
    loaded = [pictures.load(array), pictures.load(source)]
    array[:] = 1
    source.data.fill_(1)
    assert all(picture.pixels.sum() == 0 and not picture.pixels.requires_grad for picture in loaded)
    assert pictures.load(torch.rand(3, 4, 4).bfloat16()).pixels.dtype == torch.float32


BAD_ARRAYS: dict[str, tuple[Any, str]] = {
    "NaN": (np.full((4, 4, 3), np.nan), "not finite"),
    "infinity": (torch.full((3, 4, 4), torch.inf), "not finite"),
    "one NaN": (np.where(np.eye(4) == 1, np.nan, 0.5), "not finite"),
    "0 to 255 floats": (np.full((4, 4, 3), 200.0), "floats from 200"),
    "-1 to 1 floats": (torch.linspace(-1, 1, 48).reshape(3, 4, 4), "floats from -1 to 1"),
    "int64": (np.ones((4, 4, 3), np.int64), "holds int64"),
    "complex": (np.ones((4, 4, 3), complex), "holds complex"),
    "objects": (np.full((4, 4), None), "holds object"),
    "1-D": (np.ones(4), r"\(4,\)"),
    "channels first": (np.ones((3, 8, 8)), "transpose"),
    "channels last tensor": (torch.ones(8, 8, 3), "permute"),
    "batch": (torch.ones(2, 3, 8, 8), "one picture at a time"),
    "five channels": (np.ones((4, 4, 5)), "expected|H, W, 3"),
    "empty array": (np.ones((0, 4, 3)), "at least 1×1"),
    "empty tensor": (torch.ones(3, 0, 4), "at least 1×1"),
    "meta tensor": (torch.ones(3, 4, 4, device="meta"), "cannot be read"),
    "sparse tensor": (torch.ones(3, 4, 4).to_sparse(), "a tensor"),
    "None": (None, "NoneType"),
    "bytes": (b"a.png", "bytes"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_refused(name):
    source, message = BAD_ARRAYS[name]
    with pytest.raises(PictureError, match=message):
        pictures.load(source)


# ------------------------------------------------------------------------------------------------ bad files


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


def test_bad_places_are_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    write(tmp_path / "a.png", Image.fromarray(scene()), "PNG")
    for source, message in [
        (tmp_path / "none.png", "there is no file"),
        (tmp_path / "a.png" / "b.png", "there is no file"),
        (tmp_path, "is a folder"),
        ("", "is empty"),
        ("a\0b.png", "null|embedded"),
        ("x" * 5000, "too long"),
        ("https://example.org/a.jpg", "web address"),
        (tmp_path / "pipe.png", "regular file"),
        (tmp_path / "loop.png", "loop|links"),
    ]:
        with pytest.raises(PictureError, match=message):
            pictures.load(source)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom chmod does not stop
    with pytest.raises(PictureError, match="permission denied"):
        pictures.load(tmp_path / "a.png")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("odd\nlines"), struct.error("x"), AssertionError()]
)
def test_whatever_a_decoder_raises_becomes_one_error(tmp_path, monkeypatch, error):
    path = write(tmp_path / "a.png", Image.fromarray(scene()), "PNG")

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(PictureError) as caught:
        pictures.load(path)
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path, kind):
    data, path = encoded(kind), tmp_path / "a"
    path.write_bytes(data)
    whole = pictures.load(path).pixels
    for length in sorted({*range(1, len(data), max(1, len(data) // 40)), *range(len(data) - 16, len(data))}):
        path.write_bytes(data[:length])
        try:
            assert torch.equal(pictures.load(path).pixels, whole), length
        except PictureError:
            continue
        assert length > len(data) - 24  # only closing marks and checksums are missing


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_bytes_never_raise_anything_else(tmp_path, kind):
    rng, data, path = random.Random(kind), encoded(kind), tmp_path / "a"
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(min(len(data), rng.choice([64, 9999])))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            pixels = pictures.load(path, max_pixels=10**6).pixels
            assert torch.isfinite(pixels).all()
        except PictureError:
            refused += 1
    assert refused > 0


def test_truncation_is_refused_even_where_another_library_allowed_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = write(tmp_path / "a", Image.fromarray(noise), "JPEG")
    path.write_bytes(path.read_bytes()[:-2000])
    Image.open(path).load()  # half of it grey, and no complaint
    with pytest.raises(PictureError, match="incomplete"):
        pictures.load(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_the_size_limit_is_the_callers_and_nothing_is_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png", Image.fromarray(scene()), "PNG")
    before = Image.MAX_IMAGE_PIXELS
    assert pictures.load(path, max_pixels=24 * 40).size == (24, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # another library's limit is not ours
    assert pictures.load(path).size == (24, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", before)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PictureError, match=r"40×24.*--max-pixels 960"):
        pictures.load(path, max_pixels=24 * 40 - 1)
    tifffile.imwrite(tmp_path / "b.tif", DEEP[..., 0])
    with pytest.raises(PictureError, match="--max-pixels"):
        pictures.load(tmp_path / "b.tif", max_pixels=53)
    with pytest.raises(PictureError, match="--max-pixels"):
        pictures.load(Image.new("L", (9, 6)), max_pixels=53)
    assert before == Image.MAX_IMAGE_PIXELS


def test_pillows_warnings_stay_inside_and_the_filters_are_restored(tmp_path, recwarn):
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"x"}
    data = encoded("JPEG", exif=exif.tobytes()[:-9])  # Pillow: "Corrupt EXIF data"
    (tmp_path / "a").write_bytes(data)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        Image.open(tmp_path / "a").getexif().get_ifd(0x8769)
    assert seen  # or the test could not fail
    filters = list(warnings.filters)
    assert pictures.read_metadata(tmp_path / "a") is None
    pictures.load(tmp_path / "a")
    assert list(warnings.filters) == filters
    assert not recwarn.list


def test_many_threads(tmp_path):
    arrays = [np.roll(scene(), i, axis=1) for i in range(8)]
    paths = [write(tmp_path / f"{i}.png", Image.fromarray(a), "PNG") for i, a in enumerate(arrays)]
    filters, wrong = list(warnings.filters), []

    def work(i: int) -> None:
        for k in range(10):
            if not np.array_equal(got(pictures.load(paths[i])), arrays[i]):
                wrong.append((i, k))
            pictures.save(tmp_path / "same.png", tensor(arrays[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert list(warnings.filters) == filters
    assert any(np.array_equal(np.asarray(Image.open(tmp_path / "same.png")), array) for array in arrays)
    assert not list(tmp_path.glob("*.partial"))


# -------------------------------------------------------------------------------------------------- writing


@pytest.fixture(params=ENDINGS)
def ending(request) -> str:
    if request.param == ".avif" and not HAS_AVIF:
        pytest.skip("this Pillow has no AVIF")
    return request.param


def test_round_trip_with_recipe_and_the_same_bytes_twice(tmp_path, ending):
    path = tmp_path / f"out{ending}"
    assert pictures.save(path, tensor(scene()), metadata=RECIPE) == path
    first = path.read_bytes()
    assert pictures.read_metadata(path) == RECIPE
    lossless = ending in (".png", ".tif", ".tiff")
    error = (pictures.load(path).pixels - tensor(scene())).abs().max()
    assert error == 0 if lossless else error < 0.06
    pictures.writing._srgb_profile.cache_clear()
    pictures.save(str(path), tensor(scene())[0], metadata=RECIPE)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_other_programs_see_an_srgb_picture(tmp_path, ending):
    pictures.save(tmp_path / f"a{ending}", tensor(scene()), metadata=RECIPE)
    with Image.open(tmp_path / f"a{ending}") as image:
        assert image.size == (40, 24)
        assert image.mode == "RGB"
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        assert struct.unpack(">H", image.info["icc_profile"][24:26]) == (2000,)  # no clock in our files
        assert np.abs(np.asarray(image).astype(int) - scene()).max() < 16
        if ending == ".png":
            assert image.info["impasto"] == RECIPE
        if ending == ".jpg":
            assert image.layer[0][1:3] == image.layer[1][1:3]  # 4:4:4: chroma sampled as luma


def test_metadata_odd_texts(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    for text in (None, "", "{}", json.dumps({"k": "x" * 20000}), "line\nline\ttab", '"é"'):
        pictures.save(path, tensor(scene()), metadata=text)
        assert pictures.read_metadata(path) == (text or None)
    pictures.save(path, tensor(scene()), metadata='{"file": "\udce9"}')  # a file name that is no UTF-8
    assert json.loads(pictures.read_metadata(path) or "") == {"file": "\udce9"}


def test_other_programs_texts_are_not_taken_for_ours(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEEP[..., 0], description="camera", metadata=None)
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"ASCII\0\0\0hello"}
    write(tmp_path / "b.jpg", Image.fromarray(scene()), "JPEG", exif=exif)
    write(tmp_path / "c.png", Image.fromarray(scene()), "PNG")
    assert [pictures.read_metadata(tmp_path / n) for n in ("a.tif", "b.jpg", "c.png")] == [None] * 3
    (tmp_path / "d.jpg").write_text("<html>")
    with pytest.raises(PictureError, match="HTML"):
        pictures.read_metadata(tmp_path / "d.jpg")
    with pytest.raises(PictureError, match="no file"):
        pictures.read_metadata(tmp_path / "e.jpg")


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".avif"])
def test_alpha_round_trip(tmp_path, ending):
    if ending == ".avif" and not HAS_AVIF:
        pytest.skip("this Pillow has no AVIF")
    alpha = tensor(scene()[..., :1])
    pictures.save(tmp_path / f"a{ending}", tensor(scene()), alpha=alpha)
    back = pictures.load(tmp_path / f"a{ending}")
    assert back.alpha is not None
    assert (back.alpha - alpha).abs().max() < (0.02 if ending == ".avif" else 1e-6)
    if ending in (".png", ".tif"):
        assert torch.equal(back.pixels, tensor(scene()))


def test_jpeg_lays_alpha_on_white(tmp_path):
    red = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1).expand(1, 3, 16, 16)
    pictures.save(tmp_path / "a.jpg", red, alpha=torch.full((1, 1, 16, 16), 0.5))
    assert np.abs(np.asarray(Image.open(tmp_path / "a.jpg")).astype(int) - [255, 128, 128]).max() <= 2


def test_rounding_is_to_the_nearest(tmp_path):
    """Every level and the points just beside the half-way between two levels."""
    for bits, ending in ((8, ".png"), (8, ".tif"), (16, ".tif")):
        top = 2**bits - 1
        levels = np.arange(0, top, 1 if bits == 8 else 97)
        values = np.concatenate([levels, levels + 0.45, levels + 0.55])[None, None].repeat(3, 1) / top
        pictures.save(tmp_path / f"a{ending}", torch.from_numpy(values)[:, :, None], bit_depth=bits)
        stored = (
            np.asarray(Image.open(tmp_path / "a.png"))
            if ending == ".png"
            else tifffile.imread(tmp_path / "a.tif")
        )
        assert stored.dtype == (np.uint8 if bits == 8 else np.uint16)
        assert np.array_equal(stored[0, :, 0], np.concatenate([levels, levels, levels + 1]))


def test_to_uint8_clamps_and_rounds():
    pixels = torch.tensor([-0.3, 0.0, 0.5, 1.0, 1.7, 0.1]).reshape(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert pictures.to_uint8(pixels)[0, :, 0].tolist() == [0, 0, 128, 255, 255, 26]
    assert pictures.to_uint8(pixels).shape == (1, 6, 3)


pictures8 = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4])))
pictures16 = hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4])))
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def round_trip(path: Path, array: np.ndarray, bits: int) -> None:
    top = 2**bits - 1
    planes = torch.from_numpy(array.astype(np.float64).transpose(2, 0, 1)[None] / top).float()
    pictures.save(path, planes[:, :3], alpha=planes[:, 3:] if array.shape[2] == 4 else None, bit_depth=bits)
    back = pictures.load(path)
    assert np.array_equal(got(back, top), array[..., :3])
    alpha = (
        np.full(array.shape[:2], top)
        if back.alpha is None
        else (back.alpha[0, 0].double() * top).round().numpy()
    )
    assert np.array_equal(alpha, array[..., 3] if array.shape[2] == 4 else np.full(array.shape[:2], top))


@quick
@given(array=pictures8)
def test_any_picture_survives_png(tmp_path, array):
    round_trip(tmp_path / "a.png", array, 8)


@quick
@given(array=pictures16)
def test_any_picture_survives_deep_tiff(tmp_path, array):
    round_trip(tmp_path / "a.tif", array, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"pixels": torch.full((1, 3, 4, 4), torch.nan)}, "not finite"),
     ({"pixels": torch.full((1, 3, 4, 4), torch.inf)}, "not finite"),
     ({"alpha": torch.full((1, 1, 4, 4), torch.nan)}, "not finite"),
     ({"pixels": torch.rand(2, 3, 4, 4)}, "2 pictures"),
     ({"pixels": torch.rand(4, 4, 3)}, r"\(1, 3, H, W\)"),
     ({"pixels": torch.rand(1, 3, 0, 4)}, r"\(1, 3, H, W\)"),
     ({"alpha": torch.rand(1, 1, 4, 5)}, "alpha"),
     ({"quality": 0}, "quality 0"),
     ({"bit_depth": 16}, "16 bits in JPEG.*tif"),
     ({"bit_depth": 12}, "12 bits"),
     ({"metadata": "x" * 70000}, "metadata"),
     ({"pixels": torch.zeros(1, 3, 1, 65501)}, "65501×1.*65500")],
)  # fmt: skip
def test_what_cannot_be_saved_is_refused_and_the_old_file_stays(tmp_path, arguments, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"old")
    with pytest.raises(PictureError, match=message):
        pictures.save(path, **{"pixels": torch.rand(1, 3, 4, 4), **arguments})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def disk_full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["os.fsync", "os.replace", "PIL.Image.Image.save"])
def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, where):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(where, disk_full)
    with pytest.raises(PictureError, match="disk is full"):
        pictures.save(path, tensor(scene()))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_really_stops_half_way(tmp_path):
    """No mock: the system itself refuses to let a file grow beyond 4 kB."""
    path, noise = tmp_path / "a.png", torch.rand(1, 3, 64, 64)
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(PictureError, match="could not be written"):
            pictures.save(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    pictures.save(path, noise)  # and with room it works


def test_an_interrupt_while_writing_leaves_no_litter(tmp_path, monkeypatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pictures.save(tmp_path / "a.png", tensor(scene()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_umask_is_honoured(tmp_path, mask):
    before = os.umask(mask)
    try:
        pictures.save(tmp_path / "a.png", tensor(scene()))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o666 & ~mask


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "latest.png").symlink_to("deep/a.png")
    pictures.save(tmp_path / "latest.png", tensor(scene()))
    assert (tmp_path / "latest.png").is_symlink()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "a.png")), scene())


# ------------------------------------------------------------------------------------- before the work starts


@pytest.fixture
def place(tmp_path) -> Iterator[Path]:
    """A folder with one picture; nothing that `check_output` does may change what is in it."""
    write(tmp_path / "in.png", Image.fromarray(scene()), "PNG")
    (tmp_path / "sub").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("in.png")
    os.link(tmp_path / "in.png", tmp_path / "hard.png")
    os.mkfifo(tmp_path / "pipe.png")
    before = sorted(p.name for p in tmp_path.iterdir())
    yield tmp_path
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [("out.txt", "ending.*png"), ("out", "ending"), (".png", "ending"), ("out.gif", "ending"), ("", "ending"),
     ("none/out.png", "does not exist.*mkdir"), ("in.png/out.png", "folder|directory"),
     ("folder.png", "is a folder"),
     ("pipe.png", "not a regular file"), ("in.png", "also an input"), ("link.png", "also an input"),
     ("hard.png", "also an input"), ("sub/../in.png", "also an input"), ("x" * 300 + ".png", "too long"),
     ("a\0.png", "null|embedded")],
)  # fmt: skip
def test_outputs_that_cannot_be(place, name, message):
    with pytest.raises(PictureError, match=message):
        pictures.check_output(
            f"{place}/{name}" if name else name, inputs=[place / "missing.png", place / "in.png"]
        )


def test_outputs_that_can_be(place, ending):
    for name in (f"out{ending}", f"OUT{ending.upper()}", f"sub/é{ending}", f"{'x' * 240}{ending}"):
        assert pictures.check_output(place / name, inputs=[place / "in.png"]) == place / name
    assert pictures.check_output(place / "in.png") == place / "in.png"  # an older result may be replaced
    assert pictures.check_output(place / "a.tif", bit_depth=16, size=(70000, 70000)) == place / "a.tif"


def test_outputs_too_large_or_too_deep_for_their_format(place):
    with pytest.raises(PictureError, match=r"16 bits in PNG.*\.tif"):
        pictures.check_output(place / "a.png", bit_depth=16)
    with pytest.raises(PictureError, match=r"20000×10 pixels in WEBP.*16383"):
        pictures.check_output(place / "a.webp", size=(10, 20000))


def test_a_folder_that_cannot_be_written_to(place, monkeypatch):
    def read_only(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(PictureError, match=r"cannot be written to.*Read-only"):
        pictures.check_output(place / "a.png")


def test_save_refuses_an_input_too(place):
    before = (place / "in.png").read_bytes()
    with pytest.raises(PictureError, match="also an input"):
        pictures.save(place / "hard.png", tensor(scene()), inputs=[str(place / "in.png")])
    assert (place / "in.png").read_bytes() == before
