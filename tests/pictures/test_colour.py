"""Colour spaces and colour transfer, alone and in the flow from pictures to result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from fakes import checks, picture, tiny_encoder
from impasto.errors import RecipeError
from impasto.painting import engine
from impasto.pictures import colour
from impasto.recipe import Recipe
from impasto.scene import Past, Region, Scene, Style
from impasto.scene.preparing import preprocess

#: sRGB → OKLab of primaries, from CSS Color 4 (§ 9.2 and its samples).
KNOWN = {
    (1.0, 1.0, 1.0): (1.0, 0.0, 0.0),
    (0.0, 0.0, 0.0): (0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0): (0.62796, 0.22486, 0.12585),
    (0.0, 1.0, 0.0): (0.86644, -0.23389, 0.17950),
    (0.0, 0.0, 1.0): (0.45201, -0.03246, -0.31153),
}


@pytest.mark.parametrize(("rgb", "lab"), KNOWN.items())
def test_oklab_of_known_colours(rgb, lab):
    found = colour.to_oklab(torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)).flatten()
    np.testing.assert_allclose(found.numpy(), lab, atol=2e-4)


def test_oklab_and_back():
    everything = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    back = colour.from_oklab(colour.to_oklab(everything))
    assert float((back - everything).abs().max()) < 1e-3


def test_a_colour_no_screen_shows_keeps_lightness_and_hue():
    lab = torch.tensor([0.6, 0.3, -0.25], dtype=torch.float64).view(1, 3, 1, 1)
    shown = colour.to_oklab(colour.from_oklab(lab)).flatten()
    assert float(shown[0]) == pytest.approx(0.6, abs=2e-3)
    assert float(torch.atan2(shown[2], shown[1])) == pytest.approx(np.arctan2(-0.25, 0.3), abs=1e-2)
    assert 0.05 < float(shown[1:].norm()) < 0.39


def test_grey_has_no_chroma_and_the_same_lightness():
    image = picture(20, 24)
    before, after = colour.to_oklab(image), colour.to_oklab(colour.grey(image))
    assert float(after[:, 1:].abs().max()) < 1e-3
    torch.testing.assert_close(after[:, :1], before[:, :1], atol=2e-3, rtol=0)


def _covariance(image: Tensor) -> np.ndarray:
    return np.cov(image[0].flatten(1).double().numpy(), bias=True)


def test_the_monge_map_is_the_formula():
    a, b = (np.cov(np.random.RandomState(s).standard_normal((3, 50)) * [[1], [2], [3]]) for s in (0, 1))
    ridged = [one + 1e-5 * np.eye(3) for one in (a, b)]
    root = sqrtm(ridged[0])
    twin = np.linalg.inv(root) @ sqrtm(root @ ridged[1] @ root) @ np.linalg.inv(root)
    found = colour.monge_map(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(found, np.real(twin), rtol=1e-8)
    np.testing.assert_allclose(found @ ridged[0] @ found.T, ridged[1], rtol=1e-8)
    np.testing.assert_allclose(found, found.T, rtol=1e-8)


def test_a_matched_palette_has_the_others_mean_and_covariance():
    # Narrow palettes, so that nothing leaves the gamut and the moments must agree.
    source, target = 0.45 + 0.2 * (picture(32, 40) - 0.5), 0.55 + 0.2 * (picture(24, 30, 7) - 0.5)
    moved = colour.match_palette(source, *colour.palette_moments(target))
    a, b = colour.to_oklab(moved), colour.to_oklab(target)
    np.testing.assert_allclose(a.mean((0, 2, 3)), b.mean((0, 2, 3)), atol=2e-3)
    np.testing.assert_allclose(_covariance(a), _covariance(b), atol=3e-5)


def test_weights_leave_pixels_out_of_the_palette():
    both = torch.cat([picture(16, 16), checks(16, 16)], 3)
    left = torch.cat([torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)], 3)
    for weighted, alone in zip(
        colour.palette_moments(both, left), colour.palette_moments(picture(16, 16)), strict=True
    ):
        torch.testing.assert_close(weighted, alone)


@pytest.mark.parametrize("flat", [0.0, 0.5, 1.0])
def test_flat_pictures_do_no_harm(flat):
    plain = torch.full((1, 3, 8, 8), flat)
    other = colour.palette_moments(picture(16, 16))
    for change in (colour.match_palette, colour.match_lightness):
        assert bool(torch.isfinite(change(plain, *other)).all())
        back = change(picture(16, 16), *colour.palette_moments(plain))
        assert bool(torch.isfinite(back).all())
        assert float(back.std()) < 0.05


# ---------------------------------------------------------------------------------------------- in the flow


def _last(**settings: object) -> Tensor:
    sources = Scene(picture(40, 48), (Style(checks(48, 48)),))
    recipe = Recipe(size=48, iterations=(8,), coarsest=48, **settings)
    return list(engine.steps(sources, recipe, tiny_encoder()))[-1].picture


def test_content_colours_stay_and_lightness_changes():
    kept, content = _last(colours="content", content_weight=0), picture(40, 48)
    a, b = colour.to_oklab(kept), colour.to_oklab(content)
    assert float((a[:, 1:] - b[:, 1:]).abs().mean()) < 0.01
    assert float((a[:, 0] - b[:, 0]).abs().mean()) > 0.005


def test_match_is_another_style_and_only_has_its_palette():
    assert not torch.equal(_last(colours="match"), _last(colours="style"))
    only = colour.to_oklab(_last(colours="only")).mean((0, 2, 3))
    np.testing.assert_allclose(only, colour.to_oklab(checks(48, 48)).mean((0, 2, 3)), atol=0.03)
    # No strokes: each colour of the content became one colour.
    flat = torch.full((1, 3, 40, 48), 0.3)
    flat[..., 24:] = 0.7
    sources = Scene(flat, (Style(checks(48, 48)),))
    (step,) = engine.steps(sources, Recipe(size=48, colours="only"), tiny_encoder())
    assert step.last
    assert len(step.picture[0].flatten(1).T.unique(dim=0)) == 2


def test_colours_need_both_pictures():
    with pytest.raises(RecipeError, match="'match' without a content picture"):
        list(engine.steps(
            Scene(None, (Style(checks(48, 48)),), aspect=(48, 48)),
            Recipe(size=48, colours="match", content_weight=0, init="noise"), tiny_encoder(),
        ))  # fmt: skip
    with pytest.raises(RecipeError, match="statistics that many pictures share"):
        engine.style_statistics(
            Scene(picture(48, 48), (Style(checks(48, 48)),)),
            Recipe(colours="content"),
            tiny_encoder(),
        )


@pytest.mark.parametrize("kind", ["content", "match"])
def test_a_style_with_a_palette_of_its_own_is_brought_to_that_one(kind):
    content, other = picture(40, 48), 0.2 + 0.3 * picture(40, 48, 9)
    palette = colour.palette_moments(other)
    given = Scene(content, (Style(checks(48, 48), palette=palette),))
    recipe = Recipe(size=48, colours=kind, style_crop=(0, 0, 40, 40), style_rotation=30)
    (style,) = preprocess(given, recipe).styles
    lightness = colour.to_oklab(style.pixels)[:, 0]
    assert float(lightness.mean()) == pytest.approx(float(palette[0][0]), abs=0.02)
    assert style.palette is palette
    assert engine.style_statistics(given, recipe.replace(coarsest=48), tiny_encoder())


def test_with_the_contents_colours_the_start_and_the_past_are_grey_too():
    past = Past(picture(40, 48, 3), torch.ones(1, 1, 40, 48), 1.0)
    given = Scene(picture(40, 48), (Style(checks(48, 48)),), start=picture(40, 48, 2), past=(past,))
    made = preprocess(given, Recipe(colours="content"))
    for grey in (made.content, made.start, made.past[0].pixels, made.styles[0].pixels):
        assert float(colour.to_oklab(grey)[:, 1:].abs().max()) < 1e-3
    made = preprocess(given, Recipe(colours="match"))
    assert torch.equal(made.start, given.start)


def _narrow(seed: int, around: float) -> Tensor:
    """A picture of few colours, so that nothing leaves the gamut when its palette changes."""
    return around + 0.2 * (picture(40, 48, seed) - 0.5)


def _means(pixels: Tensor) -> np.ndarray:
    return colour.to_oklab(pixels).mean((0, 2, 3)).numpy()


def test_the_content_takes_the_styles_palette_before_it_is_painted():
    content, dark, bright = _narrow(0, 0.5), _narrow(5, 0.35), _narrow(7, 0.65)
    scene = Scene(content, (Style(dark), Style(bright)))
    full = preprocess(scene, Recipe(recolour=1.0, style_blend=(3.0, 1.0))).content
    np.testing.assert_allclose(_means(full), 0.75 * _means(dark) + 0.25 * _means(bright), atol=3e-3)
    # The styles are what they were, and so is the content with any other setting of colours.
    assert torch.equal(preprocess(scene, Recipe(recolour=1.0)).styles[0].pixels, dark)
    for settings in ({"recolour": 0.0}, {"strength": 0.0}, {"colours": "only"}, {"style_weight": 0.0}):
        assert preprocess(scene, Recipe(**{"recolour": 1.0} | settings)).content is content, settings
    # Half of the way is half of the way in OKLab, whether it is asked for or a weak style asks for it.
    for settings in ({"recolour": 0.5}, {"recolour": 1.0, "strength": 0.25}):
        half = preprocess(scene, Recipe(style_blend=(3.0, 1.0), **settings)).content
        np.testing.assert_allclose(_means(half), (_means(full) + _means(content)) / 2, atol=1e-3)


def test_each_region_takes_the_palette_of_its_own_styles():
    content, dark, bright = _narrow(0, 0.5), _narrow(5, 0.35), _narrow(7, 0.65)
    left = torch.zeros(1, 1, 40, 48)
    left[..., :24] = 1.0
    nowhere = torch.zeros_like(left)
    regions = (Region("a", left, (Style(dark),)), Region("b", 1 - left, (Style(bright),)),
               Region("c", nowhere, (Style(dark),)))  # fmt: skip
    scene = Scene(content, (Style(dark), Style(bright)), regions=regions)
    made = preprocess(scene, Recipe(recolour=1.0)).content
    np.testing.assert_allclose(_means(made[..., :24]), _means(dark), atol=3e-3)
    np.testing.assert_allclose(_means(made[..., 24:]), _means(bright), atol=3e-3)
    unpainted = preprocess(Scene(content, scene.styles, regions=regions[:1]), Recipe(recolour=1.0)).content
    assert torch.equal(unpainted[..., 24:], content[..., 24:])


def test_large_pictures_are_recoloured_in_strips(monkeypatch):
    content, style = picture(40, 48), picture(30, 30, 3)
    weights = picture(40, 48, 4)[:, :1]
    whole = colour.match_palette(content, *colour.palette_moments(style), weights=weights)
    monkeypatch.setattr(colour, "STRIP_PIXELS", 7 * 48)
    strips = colour.match_palette(content, *colour.palette_moments(style), weights=weights)
    torch.testing.assert_close(strips, whole, atol=1e-6, rtol=0)
