"""Anything that stands for a picture becomes the same ``Picture``."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from PIL import Image, PngImagePlugin

from clips import texture
from impasto import pictures
from impasto.errors import PictureError
from impasto.pictures.geometry import resample
from picture_files import (
    DEEP,
    HAS_AVIF,
    levels,
    scene,
    tensor,
    write,
)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {}),
     ("WEBP", {"lossless": True}), ("QOI", {}), ("JPEG2000", {})],
)  # fmt: skip
def test_lossless_files_give_their_pixels_whatever_their_name(tmp_path, kind, options):
    path = write(tmp_path / "wrong.jpg", Image.fromarray(scene()), kind, **options)
    picture = pictures.load(path)
    assert np.array_equal(levels(picture), scene())
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
    channels_first = torch.from_numpy(array.transpose(2, 0, 1).copy())
    sources = (path, Image.open(path), array, tensor(array), tensor(array)[0], channels_first)
    first, *others = (pictures.load(source) for source in sources)
    for picture in others:
        assert torch.equal(picture.pixels, first.pixels)
    assert pictures.load(first) is first


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_many(tmp_path, kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:], **options)
    assert np.array_equal(levels(pictures.load(tmp_path / "a")), np.asarray(frames[0]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float16, np.float32, np.float64, bool])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4), (4, 5, 2)])
def test_arrays(dtype, shape):
    unit = np.random.default_rng(1).integers(0, 2, shape).astype(np.float64)
    array = (unit * (np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1)).astype(dtype)
    picture = pictures.load(array)
    full = unit[..., None] if unit.ndim == 2 else unit
    rgb = full[..., :3] if full.shape[2] > 2 else full[..., :1].repeat(3, 2)
    assert np.array_equal(levels(picture, 1), rgb)
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


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 300), (300, 7)])
def test_a_content_or_style_of_a_few_pixels_is_refused(height, width):
    picture = pictures.load(np.zeros((height, width, 3), np.uint8))
    with pytest.raises(PictureError, match=rf"the content picture is {width}×{height} pixels; at least 8 on"):
        pictures.require_usable(picture, "content")


def test_what_makes_a_content_or_style_usable():
    pictures.require_usable(pictures.load(np.zeros((8, 8, 3), np.uint8)), "style")
    transparent = pictures.load(np.zeros((9, 9, 4), np.uint8))
    with pytest.raises(PictureError, match="the style picture is transparent all over"):
        pictures.require_usable(transparent, "style")


@pytest.mark.parametrize(
    ("enough", "long_side"), [(100, 160), (160, 160), (161, 320), (640, 640), (5000, 1280)]
)
def test_a_jpeg_is_reduced_while_it_is_decoded(tmp_path, enough, long_side):
    """To an eighth, a quarter or a half, and no further than to what is enough."""
    path = tmp_path / "x.jpg"
    Image.fromarray(texture(960, 1280)).save(path)
    assert pictures.load(path, enough=enough).size == (long_side * 3 // 4, long_side)


def test_a_reduced_jpeg_is_the_same_picture(tmp_path):
    """Scaled to a third of what was enough, it is the whole picture scaled, to a grey level or two."""
    path = tmp_path / "x.jpg"
    photograph = Image.fromarray(skimage.data.astronaut()).resize((2048, 1536), Image.Resampling.LANCZOS)
    photograph.save(path, quality=95)
    whole = pictures.load(path).pixels
    for side in (80, 170, 340):
        reduced = pictures.load(path, enough=3 * side).pixels
        assert reduced.shape[-1] < 2048
        size = (side * 3 // 4, side)
        gap = 255 * (resample(reduced, size) - resample(whole, size)).abs()
        assert gap.mean() < 0.5
        assert gap.max() < 5


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_other_formats_are_decoded_whole(tmp_path, kind):
    path = tmp_path / "x"
    Image.fromarray(texture(48, 64)).save(path, kind)
    assert pictures.load(path, enough=8).pixels.equal(pictures.load(path).pixels)
