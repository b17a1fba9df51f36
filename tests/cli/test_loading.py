"""Loading PyTorch, and decoding pictures meanwhile."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
import torch

from fakes import picture
from impasto import pictures
from impasto.cli.loading import PicturesAhead, let_threads_sleep, load_engine, without_collection
from impasto.errors import PictureError


def test_pictures_decoded_ahead_are_those_that_are_loaded(tmp_path):
    path = pictures.save(tmp_path / "a.png", picture(12, 16))
    other = pictures.save(tmp_path / "b.png", picture(9, 8, seed=1))
    with PicturesAhead([path, other, path], 1000) as picture_of:
        for file in (other, path, path):
            ahead, loaded = picture_of(file), pictures.load(file)
            assert torch.equal(ahead.pixels, loaded.pixels)
            assert (ahead.alpha, ahead.source) == (loaded.alpha, loaded.source)


def test_a_saved_style_is_left_to_the_engine(tmp_path):
    path = tmp_path / "oil.SAFETENSORS"
    with PicturesAhead([path], 1000) as picture_of:
        assert picture_of(path) == path


def test_an_error_is_raised_where_the_picture_is_asked_for(tmp_path):
    path = pictures.save(tmp_path / "a.png", picture(12, 16))
    with PicturesAhead([path, tmp_path / "none.png"], 100) as picture_of:
        with pytest.raises(PictureError, match=r"16×12, .*the limit"):
            picture_of(path)
        with pytest.raises(PictureError, match="there is no file"):
            picture_of(tmp_path / "none.png")


def test_collection_goes_on_after_imports():
    assert gc.isenabled()
    with without_collection():
        assert not gc.isenabled()
        with without_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()
    load_engine()  # loaded already: nothing to do, nothing broken
    assert gc.isenabled()
    gc.unfreeze()


def test_how_threads_wait_is_the_users_choice(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    let_threads_sleep()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("ACTIVE", "1000")
    monkeypatch.delenv("GOMP_SPINCOUNT")


@pytest.mark.parametrize("name", ["PYTORCH_ENABLE_MPS_FALLBACK", "THP_MEM_ALLOC_ENABLE"])
def test_what_apples_gpus_lack_and_large_pages_are_the_users_choice(name, monkeypatch):
    monkeypatch.setenv(name, "0")
    let_threads_sleep()
    assert os.environ[name] == "0"
    monkeypatch.delenv(name)
    let_threads_sleep()
    assert os.environ[name] == "1"
    monkeypatch.delenv(name)


def test_a_file_is_decoded_without_pytorch(tmp_path):
    path = pictures.save(tmp_path / "a.png", picture(12, 16))
    code = (
        "import sys; from impasto.pictures.reading import read_samples;"
        f"print(read_samples({str(path)!r}).shape, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "(12, 16, 3) False\n"
