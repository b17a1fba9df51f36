"""Orientation, colour profiles, alpha and depth of files; the oracles are Pillow, tifffile and arithmetic."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from impasto import pictures
from picture_files import (
    DEEP,
    chunk,
    levels,
    png,
    scene,
    tensor,
    write,
)

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
        assert np.array_equal(levels(pictures.load(path)), upright), kind
    deep = stored_as(upright, orientation).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "deep", deep, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    assert np.array_equal(levels(pictures.load(tmp_path / "deep")), upright)


def test_a_broken_exif_block_does_not_cost_the_picture(tmp_path):
    path = write(tmp_path / "a.png", Image.fromarray(scene()), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(levels(pictures.load(path)), scene())


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
    assert np.abs(levels(pictures.load(path)) - expected).max() <= 2
    tifffile.imwrite(
        tmp_path / "a.tif", scene().astype(np.uint16) * 257, photometric="rgb", iccprofile=p3_profile()
    )
    assert np.abs(levels(pictures.load(tmp_path / "a.tif")) - expected).max() <= 2


def test_a_profile_leaves_alpha_alone(tmp_path):
    alpha = scene()[..., :1]
    rgba = Image.fromarray(np.dstack([scene(), alpha]))
    picture = pictures.load(write(tmp_path / "a.png", rgba, "PNG", icc_profile=p3_profile()))
    assert np.abs(levels(picture) - p3_to_srgb(scene())).max() <= 2
    assert picture.alpha is not None
    assert torch.equal(picture.alpha, tensor(alpha))


def test_an_rgb_profile_on_a_grey_picture_keeps_it_grey(tmp_path):
    grey = Image.fromarray(scene()[..., 0])
    pixels = levels(pictures.load(write(tmp_path / "a.png", grey, "PNG", icc_profile=p3_profile())))
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
    assert np.array_equal(levels(pictures.load(path)), scene())


CMYK = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 255, 255), (0, 0, 0, 255): (0, 0, 0)}


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])  # Pillow writes the JPEG as Adobe does: inverted
@pytest.mark.parametrize("ink", CMYK)
def test_cmyk(tmp_path, kind, ink):
    path = write(tmp_path / "a", Image.new("CMYK", (16, 16), ink), kind)
    if kind == "JPEG":
        assert b"Adobe" in path.read_bytes()[:200]
    assert np.abs(levels(pictures.load(path)) - np.array(CMYK[ink])).max() <= 2


def test_lab_and_ycbcr(tmp_path):
    lab = write(
        tmp_path / "lab.tif", Image.new("LAB", (4, 4), (137, 128, 128)), "TIFF"
    )  # L* 53.7: middle grey
    assert np.abs(levels(pictures.load(lab)) - 128).max() <= 2
    ycc = write(tmp_path / "ycc.tif", Image.new("YCbCr", (4, 4), (76, 85, 255)), "TIFF")  # BT.601's red
    assert np.abs(levels(pictures.load(ycc)) - np.array([254, 0, 0])).max() <= 2


def test_alpha_is_kept_and_full_alpha_is_none(tmp_path):
    alpha = scene()[..., 1:2]
    path = write(tmp_path / "a.png", Image.fromarray(np.dstack([scene(), alpha])), "PNG")
    picture = pictures.load(path)
    assert np.array_equal(levels(picture), scene())
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
        assert np.array_equal(levels(picture)[0, [0, 2]], [[255, 0, 0], [0, 0, 255]])
        assert picture.alpha is not None
        assert (picture.alpha.flatten() * 255).round().tolist() == alpha


def test_grey_grey_with_alpha_one_bit_and_keyed_colours(tmp_path):
    grey = scene()[..., 0]
    assert np.array_equal(
        levels(pictures.load(write(tmp_path / "a", Image.fromarray(grey), "PNG"))),
        grey[..., None].repeat(3, 2),
    )
    both = pictures.load(
        write(tmp_path / "b", Image.fromarray(np.dstack([grey, grey.T.reshape(grey.shape)]), "LA"), "PNG")
    )
    assert np.array_equal(levels(both)[..., 1], grey)
    assert both.alpha is not None
    assert np.array_equal((both.alpha[0, 0] * 255).round().numpy(), grey.T.reshape(grey.shape))
    bits = np.eye(9, dtype=bool)
    for kind in ("PNG", "TIFF", "BMP"):
        assert np.array_equal(
            levels(pictures.load(write(tmp_path / kind, Image.fromarray(bits), kind)))[..., 0], bits * 255
        )
    keyed = pictures.load(
        write(tmp_path / "c", Image.fromarray(scene()), "PNG", transparency=tuple(map(int, scene()[3, 4])))
    )
    assert keyed.alpha is not None
    assert np.array_equal(keyed.alpha[0, 0].numpy() == 0, (scene() == scene()[3, 4]).all(-1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_depth(tmp_path, kind):
    path = write(tmp_path / "a", Image.fromarray(DEEP[..., 0]), kind)
    assert np.array_equal(levels(pictures.load(path), 65535)[..., 2], DEEP[..., 0])


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"planarconfig": "separate"}, {"rowsperstrip": 2},
     {"tile": (16, 16)}, {"bigtiff": True}],
    ids=str,
)  # fmt: skip
def test_sixteen_bit_tiff_keeps_its_depth(tmp_path, options):
    array = DEEP[..., :3].transpose(2, 0, 1) if "planarconfig" in options else DEEP[..., :3]
    tifffile.imwrite(tmp_path / "a", array, photometric="rgb", **options)
    assert np.array_equal(levels(pictures.load(tmp_path / "a"), 65535), DEEP[..., :3])


def test_deep_tiff_alpha_plain_and_premultiplied_and_white_is_zero(tmp_path):
    tifffile.imwrite(tmp_path / "a", DEEP, photometric="rgb", extrasamples=["unassalpha"])
    picture = pictures.load(tmp_path / "a")
    assert np.array_equal(levels(picture, 65535), DEEP[..., :3])
    assert picture.alpha is not None
    assert np.array_equal((picture.alpha[0, 0].double() * 65535).round().numpy(), DEEP[..., 3])
    half = np.full((2, 2, 4), 32768, np.uint16)  # full white, half covering
    tifffile.imwrite(tmp_path / "b", half, photometric="rgb", extrasamples=["assocalpha"])
    assert np.array_equal(levels(pictures.load(tmp_path / "b"), 1), np.ones((2, 2, 3)))
    tifffile.imwrite(tmp_path / "c", DEEP[..., 0], photometric="miniswhite")
    assert np.array_equal(
        levels(pictures.load(tmp_path / "c"), 65535)[..., 0], 65535 - DEEP[..., 0].astype(int)
    )


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
