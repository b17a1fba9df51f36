"""The first canvas: the content, a picture, grey noise, or noise in the colours of the styles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fakes import picture, tiny_encoder
from impasto.networks.registry import load_encoder
from impasto.painting import engine, instant
from impasto.painting.starts import first_canvas
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

SIZE = (48, 64)


def scene(**changes: object) -> Scene:
    return Scene(**({"content": picture(*SIZE), "styles": (Style(soft(3, hue=(0.6, 0.4, 0.5))),)} | changes))


def start(scene: Scene, **settings: object) -> Tensor:
    return first_canvas(scene, Recipe(**settings), [SIZE], tiny_encoder())


def colours(pixels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    flat = pixels[0].flatten(1).double().numpy()
    return flat.mean(1), np.cov(flat)


def soft(seed: int, *, hue: tuple[float, float, float]) -> Tensor:
    """A style whose colours stay clear of 0 and 1, where clamping would change their statistics."""
    return torch.tensor(hue).view(1, 3, 1, 1) + 0.4 * (picture(48, 48, seed) - 0.5)


def test_a_start_from_the_content_or_a_picture_is_that_picture():
    assert torch.equal(start(scene()), scene().content)
    other = picture(30, 40, seed=9)
    assert torch.equal(start(scene(start=other), init="picture"), resample(other, SIZE))
    small = first_canvas(scene(), Recipe(), [(12, 16)], tiny_encoder())
    assert torch.equal(small, resample(picture(*SIZE), (12, 16)))


def test_an_instant_start_is_the_instant_picture_of_the_second_size():
    recipe = Recipe(init="instant", seed=3)
    found = first_canvas(scene(), recipe, [(24, 32), SIZE, (96, 128)], tiny_encoder())
    whole = instant.paint(scene(), Recipe(method="instant", size=64, seed=3), load_encoder())
    torch.testing.assert_close(found, resample(whole, (24, 32)), atol=1e-4, rtol=0)
    half = first_canvas(scene(), recipe.replace(strength=0.5), [SIZE], tiny_encoder())
    torch.testing.assert_close(half, whole, atol=1e-4, rtol=0)
    for without in ({"strength": 0.0}, {"padding": "circular"}):  # nothing to paint; would not tile
        assert torch.equal(start(scene(), init="instant", **without), scene().content)


def test_the_first_step_shows_the_start():
    chosen = Recipe(size=64, coarsest=64, init="style-colours", seed=5, style_layers="relu1_1")
    first = next(engine.steps(scene(), chosen, tiny_encoder())).picture
    assert torch.equal(first, first_canvas(scene(), chosen, [SIZE], tiny_encoder()))


def test_a_start_without_content_is_noise_whatever_the_content_would_be():
    texture = scene(content=None, aspect=(3, 4))
    assert torch.equal(start(texture, init="noise"), start(scene(), init="noise"))


def test_a_start_from_noise_is_grey_noise_of_the_seed():
    noise = start(scene(), init="noise")
    assert noise.mean((2, 3))[0].tolist() == pytest.approx([0.5] * 3, abs=0.02)
    assert noise.std((2, 3))[0].tolist() == pytest.approx([0.24] * 3, abs=0.02)
    assert float(noise.min()) >= 0.0
    assert float(noise.max()) <= 1.0
    assert not torch.equal(start(scene(), init="noise", seed=1), noise)


def test_a_start_in_the_styles_colours_has_their_mean_and_covariance():
    style = soft(3, hue=(0.6, 0.4, 0.5))
    mean, covariance = colours(start(scene(styles=(Style(style),)), init="style-colours"))
    expected = colours(style)
    assert mean == pytest.approx(expected[0], abs=0.01)
    assert np.abs(covariance - expected[1]).max() < 0.15 * np.abs(expected[1]).max()
    assert np.abs(np.diag(covariance)).min() > 1e-4


def test_these_colours_follow_the_blend_and_leave_transparent_ones_out():
    red, blue = soft(3, hue=(0.7, 0.4, 0.3)), soft(4, hue=(0.3, 0.4, 0.7))
    both = scene(styles=(Style(red), Style(blue)))
    expected = 0.75 * colours(red)[0] + 0.25 * colours(blue)[0]
    found = colours(start(both, init="style-colours", style_blend=(3, 1)))[0]
    assert found == pytest.approx(expected, abs=0.02)
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., :24] = 1.0
    half = torch.where(mask > 0, red, torch.ones_like(red))
    found = colours(start(scene(styles=(Style(half, mask),)), init="style-colours"))[0]
    assert found == pytest.approx(colours(red[..., :24])[0], abs=0.02)


def test_the_covariance_of_two_styles_includes_the_distance_of_their_means():
    # Half of the pixels of each style: the law of total covariance.
    red, blue = soft(3, hue=(0.7, 0.5, 0.3)), soft(4, hue=(0.3, 0.5, 0.7))
    (mean_red, within_red), (mean_blue, within_blue) = colours(red), colours(blue)
    gap = mean_red - mean_blue
    expected = (within_red + within_blue) / 2 + np.outer(gap, gap) / 4
    covariance = colours(start(scene(styles=(Style(red), Style(blue))), init="style-colours"))[1]
    assert np.abs(covariance - expected).max() < 0.15 * np.abs(expected).max()


def test_a_style_of_one_colour_gives_a_start_of_that_colour():
    flat = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1)
    canvas = start(scene(styles=(Style(flat.expand(1, 3, 20, 20)),)), init="style-colours")
    torch.testing.assert_close(canvas, flat.expand(1, 3, *SIZE), atol=1e-3, rtol=0)
