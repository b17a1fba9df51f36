"""What is in the files that Impasto writes, as Impasto and other programs see it."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from impasto import pictures
from picture_files import (
    ENDINGS,
    HAS_AVIF,
    RECIPE,
    levels,
    scene,
    tensor,
)


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


arrays8 = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4])))
arrays16 = hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4])))
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def round_trip(path: Path, array: np.ndarray, bits: int) -> None:
    top = 2**bits - 1
    planes = torch.from_numpy(array.astype(np.float64).transpose(2, 0, 1)[None] / top).float()
    pictures.save(path, planes[:, :3], alpha=planes[:, 3:] if array.shape[2] == 4 else None, bit_depth=bits)
    back = pictures.load(path)
    assert np.array_equal(levels(back, top), array[..., :3])
    alpha = (
        np.full(array.shape[:2], top)
        if back.alpha is None
        else (back.alpha[0, 0].double() * top).round().numpy()
    )
    assert np.array_equal(alpha, array[..., 3] if array.shape[2] == 4 else np.full(array.shape[:2], top))


@pytest.mark.slow
@quick
@given(array=arrays8)
def test_any_picture_survives_png(tmp_path, array):
    round_trip(tmp_path / "a.png", array, 8)


@pytest.mark.slow
@quick
@given(array=arrays16)
def test_any_picture_survives_deep_tiff(tmp_path, array):
    round_trip(tmp_path / "a.tif", array, 16)
