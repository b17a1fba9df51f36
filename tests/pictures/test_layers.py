"""Files with layers: what editors need to find in them, read back with zipfile, Pillow and tifffile."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from impasto import pictures
from impasto.errors import PictureError
from impasto.pictures.layers import Layer, grey_layer

RANDOM = torch.Generator().manual_seed(4)
LOWER, UPPER = (torch.rand(1, 3, 20, 30, generator=RANDOM) for _ in range(2))
ALPHA = torch.randint(0, 52, (1, 1, 20, 30), generator=RANDOM) / 51


def three_layers() -> list[Layer]:
    return [Layer("content", LOWER), grey_layer("mask sky & sea", ALPHA), Layer("painting", UPPER, ALPHA)]


def levels(pixels: torch.Tensor, top: int) -> np.ndarray:
    """(H, W, C) whole numbers of (1, C, H, W)."""
    return np.floor(pixels[0].permute(1, 2, 0).double().numpy() * top + 0.5).astype(np.int64)


def deep_png(data: bytes) -> np.ndarray:
    """(H, W, C) uint16 of a PNG of 16 bits a channel, by OpenCV."""
    cv2 = pytest.importorskip("cv2")
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return array[..., [2, 1, 0, 3][: array.shape[2]]]


def test_an_openraster_file_is_what_the_specification_asks_for(tmp_path: Path) -> None:
    path = pictures.save_layers(tmp_path / "a.ora", three_layers())
    assert path.read_bytes()[30:54] == b"mimetypeimage/openraster"  # first entry, nothing between
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        image = ElementTree.fromstring(archive.read("stack.xml"))
        assert (image.tag, image.get("w"), image.get("h")) == ("image", "30", "20")
        stack = image.findall("stack/layer")
        names = [layer.get("name") for layer in stack]
        assert names == ["painting", "mask sky & sea", "content"]  # uppermost first
        assert [layer.get("visibility") for layer in stack] == ["visible", "hidden", "visible"]
        read = {layer.get("name"): Image.open(archive.open(str(layer.get("src")))) for layer in stack}
        assert np.array_equal(np.asarray(read["content"]), levels(LOWER, 255))
        assert np.array_equal(np.asarray(read["painting"]), levels(torch.cat([UPPER, ALPHA], 1), 255))
        assert np.array_equal(np.asarray(read["mask sky & sea"])[..., :1], levels(ALPHA, 255))
        assert all("icc_profile" in each.info for each in read.values())
        merged = np.asarray(Image.open(archive.open("mergedimage.png")))
        assert np.abs(merged - levels(torch.lerp(LOWER, UPPER, ALPHA), 255)).max() <= 1
        with Image.open(archive.open("Thumbnails/thumbnail.png")) as thumbnail:
            assert thumbnail.size == (30, 20)


def test_layers_that_are_transparent_together_stay_so_in_the_merged_picture(tmp_path: Path) -> None:
    path = pictures.save_layers(tmp_path / "a.ora", [Layer("a", LOWER, ALPHA), Layer("b", UPPER, ALPHA)])
    with zipfile.ZipFile(path) as archive:
        lower, upper = (
            Image.open(archive.open(f"data/layer{index}.png")).convert("RGBA") for index in (0, 1)
        )
        merged = np.asarray(Image.open(archive.open("mergedimage.png")), np.int64)
    expected = np.asarray(Image.alpha_composite(lower, upper), np.int64)
    shown = expected[..., 3] > 0
    assert np.abs(merged - expected)[shown].max() <= 2


def test_the_thumbnail_is_small(tmp_path: Path) -> None:
    path = pictures.save_layers(tmp_path / "a.ora", [Layer("a", torch.rand(1, 3, 300, 600))])
    with zipfile.ZipFile(path) as archive, Image.open(archive.open("Thumbnails/thumbnail.png")) as image:
        assert image.size == (256, 128)


def test_openraster_of_sixteen_bits(tmp_path: Path) -> None:
    path = pictures.save_layers(tmp_path / "a.ora", three_layers(), bit_depth=16)
    with zipfile.ZipFile(path) as archive:
        assert np.array_equal(deep_png(archive.read("data/layer0.png")), levels(LOWER, 65535))
        painting = archive.read("data/layer2.png")
        assert np.array_equal(deep_png(painting), levels(torch.cat([UPPER, ALPHA], 1), 65535))
        with Image.open(io.BytesIO(painting)) as image:  # Pillow checks the check sums
            image.load()
            assert image.size == (30, 20)
            assert "icc_profile" in image.info


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_a_tiff_has_a_page_for_each_layer(tmp_path: Path, bit_depth: int) -> None:
    path = pictures.save_layers(tmp_path / "a.tif", three_layers(), bit_depth=bit_depth)
    with tifffile.TiffFile(path) as file:
        assert [page.tags.valueof(285) for page in file.pages] == ["content", "mask sky & sea", "painting"]
        pages = [page.asarray() for page in file.pages]
    assert np.array_equal(pages[0], levels(LOWER, 2**bit_depth - 1))
    assert np.array_equal(pages[2], levels(torch.cat([UPPER, ALPHA], 1), 2**bit_depth - 1))
    assert np.array_equal(levels(pictures.load(path).pixels, 255), levels(LOWER, 255))
    if bit_depth == 8:
        with Image.open(path) as image:
            assert image.n_frames == 3


@pytest.mark.parametrize("name", ["a.ora", "a.tif"])
def test_equal_layers_give_equal_bytes(tmp_path: Path, name: str) -> None:
    first = pictures.save_layers(tmp_path / name, three_layers()).read_bytes()
    assert pictures.save_layers(tmp_path / f"b{name}", three_layers()).read_bytes() == first


@pytest.mark.parametrize(
    ("name", "layers", "options", "message"),
    [("a.psd", [Layer("a", LOWER)], {}, r"expected \.ora, \.tif, \.tiff"),
     ("no/a.ora", [Layer("a", LOWER)], {}, "folder of the output"),
     ("a.ora", [], {}, "layers of sizes none"),
     ("a.tif", [Layer("a", LOWER), Layer("b", LOWER[..., :9])], {}, "30×20, 9×20"),
     ("a.ora", [Layer("a", LOWER)], {"bit_depth": 12}, "layers of 12 bits"),
     ("a.ora", [Layer("a", LOWER * torch.nan)], {}, "not finite")],
)  # fmt: skip
def test_bad_layers_are_refused(tmp_path: Path, name, layers, options, message) -> None:
    with pytest.raises(PictureError, match=message):
        pictures.save_layers(tmp_path / name, layers, **options)
    assert not list(tmp_path.iterdir())


def test_an_input_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"mine")
    with pytest.raises(PictureError, match="is also an input"):
        pictures.save_layers(tmp_path / "a.tif", three_layers(), inputs=[tmp_path / "a.tif"])
    assert (tmp_path / "a.tif").read_bytes() == b"mine"
