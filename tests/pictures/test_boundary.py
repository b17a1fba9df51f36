"""Whatever a decoder does, a caller sees a picture or one ``PictureError``, and no setting has changed."""

from __future__ import annotations

import random
import struct
import threading
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, PngImagePlugin

from impasto import pictures
from impasto.errors import PictureError
from picture_files import (
    encoded,
    levels,
    scene,
    tensor,
    write,
)


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


@pytest.mark.slow
def test_many_threads(tmp_path):
    arrays = [np.roll(scene(), i, axis=1) for i in range(8)]
    paths = [write(tmp_path / f"{i}.png", Image.fromarray(a), "PNG") for i, a in enumerate(arrays)]
    filters, wrong = list(warnings.filters), []

    def work(i: int) -> None:
        for k in range(10):
            if not np.array_equal(levels(pictures.load(paths[i])), arrays[i]):
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
    assert not list(tmp_path.glob(".*"))
