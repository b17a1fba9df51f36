"""The demo's pictures: they exist, repeat exactly, keep to their palettes and have strokes at every scale."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.color import rgb2lab

from impasto.errors import ImpastoError, PictureError
from impasto.samples import PAINTINGS, PHOTOGRAPHS, painting, photograph

SIZE = 192
SMALL = 101
# Colours a visitor would name, each with the least share of the picture it must have.
PALETTES = {
    "wave": {"2a5a88": 0.05, "16294c": 0.04, "efe2c2": 0.05, "d8bd8e": 0.05},
    "swirl": {"1c3478": 0.05, "3d78b8": 0.05, "6fa8cc": 0.03, "e9bd3a": 0.04, "173a2c": 0.02},
    "mosaic": {"e0d6ba": 0.08, "2b529c": 0.02, "22706f": 0.04, "8f4530": 0.04, "c09a50": 0.05},
    "facets": {"b58a52": 0.10, "6b5138": 0.10, "86908c": 0.03, "2c2420": 0.05},
    "pointillist": {"8cb852": 0.08, "9fb4d0": 0.08, "58509a": 0.04, "e8dc74": 0.03},
    "garden": {"c8962e": 0.15, "7a5220": 0.10, "33301a": 0.10, "e8dcc0": 0.02},
    "glass": {"1a3aa8": 0.05, "0d1f6b": 0.05, "a81028": 0.05, "18181c": 0.05},
    "woodcut": {"ece0c4": 0.20, "1c1815": 0.15, "d9a25a": 0.03, "b5402a": 0.01},
}


@cache
def painted(name: str, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    return painting(name, size=size, seed=seed)


def as_array(picture: torch.Tensor) -> np.ndarray:
    return picture[0].permute(1, 2, 0).numpy()


def bands(picture: np.ndarray) -> list[float]:
    """Standard deviation of lightness in octaves: differences of Gaussians, fine to coarse."""
    lightness = picture.mean(-1)
    blurred = [ndimage.gaussian_filter(lightness, s) for s in (0.01, 0.7, 1.4, 2.8, 5.6, 11.2)]
    return [float((a - b).std()) for a, b in pairwise(blurred)]


def is_rich(picture: np.ndarray) -> bool:
    """Strokes at several scales: every octave carries something, and none carries nearly all."""
    energy = bands(picture)
    return min(energy) > 0.008 and max(energy) < 8 * min(energy) and energy[3] > 0.25 * energy[0]


def keeps_palette(picture: np.ndarray, colours: dict[str, float]) -> dict[str, bool]:
    """For each colour: does a large enough share of the pixels lie within 22 units of CIELAB of it?"""
    lab = rgb2lab(picture)
    present = {}
    for code, least in colours.items():
        rgb = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255
        near = np.linalg.norm(lab - rgb2lab(rgb), axis=-1) < 22
        present[code] = bool(near.mean() >= least)
    return present


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTINGS)
def test_a_painting_is_a_picture(name: str) -> None:
    picture = painted(name)
    assert picture.dtype == torch.float32
    assert picture.shape[:2] == (1, 3)
    assert max(picture.shape[2:]) == SIZE
    assert min(picture.shape[2:]) > SIZE // 2
    assert picture.is_contiguous()
    assert torch.isfinite(picture).all()
    assert picture.min() >= 0
    assert picture.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTINGS)
def test_same_seed_same_bytes_and_other_seed_differs(name: str) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # the global state must not matter
    assert torch.equal(painted(name, SMALL), painting(name, size=SMALL, seed=0))
    assert (painted(name, SMALL) - painting(name, size=SMALL, seed=1)).abs().mean() > 0.005


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTINGS)
def test_the_composition_is_the_same_at_another_size(name: str) -> None:
    large = as_array(painted(name))
    small = as_array(painted(name, SMALL))
    assert max(small.shape) == SMALL
    zoomed = ndimage.zoom(
        large, (small.shape[0] / large.shape[0], small.shape[1] / large.shape[1], 1), order=1
    )
    a, b = (ndimage.gaussian_filter(p, (4, 4, 0)).ravel() for p in (zoomed, small))
    assert np.corrcoef(a, b)[0, 1] > 0.9


@pytest.mark.parametrize("name", PAINTINGS)
def test_a_painting_has_strokes_at_every_scale(name: str) -> None:
    assert is_rich(as_array(painted(name))), bands(as_array(painted(name)))


@pytest.mark.parametrize("name", PAINTINGS)
def test_a_painting_keeps_to_its_palette(name: str) -> None:
    present = keeps_palette(as_array(painted(name)), PALETTES[name])
    assert all(present.values()), present


def test_the_measures_refuse_flat_pictures_noise_and_blur() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((SIZE, SIZE, 3), 0.5)
    noise = rng.uniform(0, 1, (SIZE, SIZE, 3))
    blur = ndimage.gaussian_filter(noise, (9, 9, 0)) * 8 % 1
    assert not is_rich(flat)
    assert not is_rich(noise)
    assert not is_rich(ndimage.gaussian_filter(blur, (4, 4, 0)))
    for colours in PALETTES.values():
        for poor in (flat, noise):
            assert not all(keeps_palette(poor, colours).values())


def test_paintings_differ_from_each_other() -> None:
    means = {name: ndimage.zoom(as_array(painted(name)).mean((0, 1)), 1) for name in PAINTINGS}
    names = list(means)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert np.abs(means[a] - means[b]).max() > 0.02, (a, b)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_exist_offline(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a photograph asked for the network")

    monkeypatch.setattr("socket.socket.connect", refused)
    picture = photograph(name)
    assert picture.dtype == torch.float32
    assert picture.shape[:2] == (1, 3)
    assert min(picture.shape[2:]) >= 256
    assert picture.min() >= 0
    assert 0.5 < picture.max() <= 1
    assert picture.std() > 0.05
    assert torch.equal(picture, photograph(name))


@pytest.mark.parametrize(("load", "registry"), [(painting, PAINTINGS), (photograph, PHOTOGRAPHS)])
def test_an_unknown_name_says_what_is_possible(load: object, registry: dict[str, object]) -> None:
    with pytest.raises(PictureError) as caught:
        load("mona lisa")  # type: ignore[operator]
    assert "mona lisa" in caught.value.got
    assert all(name in caught.value.expected for name in registry)
    assert caught.value.remedy
    assert isinstance(caught.value, ImpastoError)


@pytest.mark.parametrize(("size", "seed"), [(0, 0), (-5, 0), (31, 0), (10**6, 0), (64, -1)])
def test_an_impossible_size_or_seed_is_refused(size: int, seed: int) -> None:
    with pytest.raises(PictureError, match=str(size if seed == 0 else seed)):
        painting("wave", size=size, seed=seed)
