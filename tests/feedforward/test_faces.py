"""The embedded face read-out: a face is told from wood, sky and fur, in a picture of any size."""

from __future__ import annotations

import pytest
import torch

from impasto import samples
from impasto.errors import WeightsError
from impasto.feedforward import faces
from impasto.feedforward.faces import FACE_LAYERS, face_features, face_likelihood
from impasto.networks import weights
from impasto.networks.registry import load_encoder
from impasto.pictures.geometry import fit, resample


def photograph(name: str, side: int = 320) -> torch.Tensor:
    picture = samples.photograph(name)
    return resample(picture, fit(*picture.shape[-2:], side))


def test_the_face_of_a_portrait_is_found():
    found = face_likelihood(photograph("astronaut"), load_encoder())[0, 0]
    rows, columns = found.shape
    face = found[int(0.12 * rows) : int(0.35 * rows), int(0.36 * columns) : int(0.53 * columns)]
    assert float(face.mean()) > 0.5
    assert float(found.mean()) < 0.15
    assert float(found[rows // 2 :].mean()) < 0.05  # an orange suit


@pytest.mark.parametrize("name", ["coffee", "rocket"])
def test_not_much_of_another_photograph_is_a_face(name):
    assert float(face_likelihood(photograph(name), load_encoder()).mean()) < 0.25


def test_grey_and_blue_pictures_have_none():
    encoder, astronaut = load_encoder(), photograph("astronaut", 160)
    assert float(face_likelihood(astronaut.mean(1, keepdim=True).expand(-1, 3, -1, -1), encoder).max()) == 0.0
    assert float(face_likelihood(astronaut.flip(1), encoder).max()) < 0.05


@pytest.mark.parametrize("size", [(16, 16), (3, 200), (15, 400), (17, 33), (700, 40)])
def test_any_size(size):
    found = face_likelihood(torch.rand(1, 3, *size), load_encoder())
    assert found.shape[:2] == (1, 1)
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0


def test_the_read_out_is_for_these_features():
    features, skin = face_features(torch.rand(1, 3, 64, 48), load_encoder())
    read_out, _ = faces._read_out()
    assert features.shape == (1, len(read_out), 8, 6)
    assert skin.shape == (1, 1, 8, 6)
    assert FACE_LAYERS == ("relu4_2", "relu5_1")


def test_a_damaged_file_is_told(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "faces.safetensors").write_bytes(b"no")
    monkeypatch.setattr(weights.resources, "files", lambda package: tmp_path)
    faces._read_out.cache_clear()
    with pytest.raises(WeightsError, match="install Impasto again"):
        face_likelihood(torch.rand(1, 3, 64, 64), load_encoder())
    faces._read_out.cache_clear()
