"""Descriptors, losses and the objective against their slow twins in `oracles.py`, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

import oracles
from fakes import checks, picture, tiny_encoder, tiny_state
from fakes import objective as make_objective
from impasto.errors import PictureError, RecipeError
from impasto.losses.functions import NORMALISATIONS, content_loss, gram_loss, total_variation
from impasto.losses.objective import Objective
from impasto.losses.statistics import gram, moments
from impasto.networks.encoder import PADDINGS, pool
from impasto.pictures.alpha import mask_on_grid, require_coverage
from impasto.recipe import Recipe
from impasto.scene import Style

DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-4)]
GATYS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def values(*shape: int, seed: int = 0, positive: bool = False) -> Tensor:
    drawn = np.random.RandomState(seed).standard_normal(shape)
    return torch.from_numpy(np.abs(drawn) if positive else drawn)


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("masked", [False, True])
def test_gram_and_moments(dtype, tolerance, masked):
    features = values(1, 5, 6, 7)
    weights = values(1, 1, 6, 7, seed=1, positive=True) if masked else None
    given = None if weights is None else weights.to(dtype)
    mean, second = moments(features.to(dtype), given)
    twin = oracles.moments(array(features[0]), None if weights is None else array(weights[0, 0]))
    assert mean.shape == (5,)
    np.testing.assert_allclose(array(mean), twin[0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(array(second), twin[1], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        array(gram(features.to(dtype), given)), twin[1], rtol=tolerance, atol=tolerance
    )


def test_gram_knows_no_size_and_averages_linearly():
    features = values(1, 4, 6, 6)
    wide = torch.cat([features, features], dim=3)
    torch.testing.assert_close(gram(wide), gram(features))
    other = values(1, 4, 6, 6, seed=1)
    torch.testing.assert_close(
        gram(torch.cat([features, other], 3)), 0.5 * gram(features) + 0.5 * gram(other)
    )


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_content_loss(dtype, tolerance, normalisation, masked):
    features, target = values(1, 5, 6, 7), values(1, 5, 6, 7, seed=1)
    mask = torch.rand(1, 1, 13, 15, generator=torch.Generator().manual_seed(0)) if masked else None
    found = content_loss(
        features.to(dtype), target.to(dtype), normalisation, None if mask is None else mask.to(dtype)
    )
    twin = oracles.content_loss(
        array(features[0]), array(target[0]), normalisation, None if mask is None else array(mask[0, 0])
    )
    assert float(found) == pytest.approx(twin, rel=max(tolerance, 1e-7 if masked else 0))


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gram_loss(dtype, tolerance, normalisation):
    own, target = gram(values(1, 5, 6, 7)), gram(values(1, 5, 6, 7, seed=1))
    found = gram_loss(own.to(dtype), target.to(dtype), normalisation)
    assert float(found) == pytest.approx(
        oracles.gram_loss(array(own), array(target), normalisation), rel=tolerance
    )


def test_neural_style_is_four_over_c_squared_times_gatys():
    own, target = gram(values(1, 5, 6, 7)), gram(values(1, 5, 6, 7, seed=1))
    ratio = gram_loss(own, target, "neural-style") / gram_loss(own, target, "gatys")
    assert float(ratio) == pytest.approx(4 / 5**2)


@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_relative_losses_have_no_units(scale):
    a, b = values(1, 5, 6, 7), values(1, 5, 6, 7, seed=1)
    assert float(content_loss(a * scale, b * scale)) == pytest.approx(
        float(content_loss(a, b)), rel=1e-1**1.5
    )
    assert float(gram_loss(gram(a * scale), gram(b * scale))) == pytest.approx(
        float(gram_loss(gram(a), gram(b))), rel=1e-3
    )


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_losses_of_the_target_itself_are_zero_and_of_a_dead_target_finite(normalisation):
    a, dead = values(1, 5, 6, 7), torch.zeros(1, 5, 6, 7, dtype=torch.float64)
    assert float(content_loss(a, a, normalisation)) == 0.0
    assert float(gram_loss(gram(a), gram(a), normalisation)) == 0.0
    for loss in (content_loss(a, dead, normalisation), gram_loss(gram(a), gram(dead), normalisation)):
        assert 0.0 < float(loss) < float("inf")


def test_an_unknown_normalisation_is_named_in_the_error():
    with pytest.raises(RecipeError, match=r"'gatis'.*relative, gatys, neural-style"):
        content_loss(values(1, 2, 3, 3), values(1, 2, 3, 3), "gatis")
    with pytest.raises(RecipeError, match="'gatis'"):
        gram_loss(values(2, 2), values(2, 2), "gatis")


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_total_variation(dtype, tolerance):
    image = values(1, 3, 5, 7)
    assert float(total_variation(image.to(dtype))) == pytest.approx(
        oracles.total_variation(array(image[0])), rel=tolerance
    )


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("kind", ["max", "average", "l2"])
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_pool(dtype, tolerance, kind, size):
    features = values(1, 3, *size)
    found = pool(features.to(dtype), kind)
    np.testing.assert_allclose(
        array(found[0]), oracles.pool(array(features[0]), kind), rtol=tolerance, atol=tolerance
    )


def test_pool_keeps_the_magnitude_of_rectified_noise():
    # What the factors are for: the next layer was trained on max pooling's activations.
    features = torch.relu(values(1, 8, 64, 64))
    largest = pool(features, "max").mean()
    assert float(pool(features, "average").mean() / largest) == pytest.approx(1.0, abs=0.25)
    assert float(pool(features, "l2").mean() / largest) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("size", [(3, 4), (6, 7), (1, 1), (13, 15)])
def test_masks_reach_a_grid_by_area(size):
    mask = torch.rand(1, 1, 13, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_allclose(
        array(mask_on_grid(mask, size))[0, 0], oracles.mask_on_grid(array(mask)[0, 0], *size), rtol=1e-12
    )


def test_a_mask_that_hides_everything_is_refused():
    require_coverage(torch.full((1, 1, 10, 10), 0.01), "style")
    with pytest.raises(PictureError, match="style picture is transparent"):
        require_coverage(torch.zeros(1, 1, 10, 10), "style")


# ---------------------------------------------------------------------------------------- the encoder's twin


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("padding", list(PADDINGS))
def test_the_whole_encoder(dtype, tolerance, pooling, padding):
    encoder = tiny_encoder(pooling=pooling, padding=padding, dtype=dtype)
    image = picture(37, 42).double()
    state = {key: array(value) for key, value in tiny_state().items()}
    twins = oracles.encode(state, array(image[0]), encoder.layers, pooling, padding)
    found = encoder(image.to(dtype), encoder.layers)
    assert list(found) == list(twins)
    for layer, features in found.items():
        assert features.dtype == dtype
        assert array(features).std() > 1e-3, f"{layer} is dead: the comparison would prove nothing"
        np.testing.assert_allclose(array(features[0]), twins[layer], rtol=tolerance, atol=tolerance)


# --------------------------------------------------------------------------------------------- the objective

SIZE = (37, 42)
MASK = torch.from_numpy(np.random.RandomState(3).uniform(0.1, 1.0, (1, 1, *SIZE)))


def objective(recipe: Recipe, *, masked: bool = False, dtype: torch.dtype = torch.float64) -> Objective:
    styles = (Style(checks(34, 40).to(dtype)), Style(picture(48, 33, 5).to(dtype)))
    if masked:
        masks = [torch.rand(1, 1, 34, 40, generator=torch.Generator().manual_seed(1)), None]
        styles = tuple(
            Style(s.pixels, None if m is None else m.to(dtype)) for s, m in zip(styles, masks, strict=True)
        )
    content = picture(*SIZE, 1).to(dtype)
    mask = MASK.to(dtype) if masked else None
    return make_objective(tiny_encoder(dtype=dtype), recipe, content, styles, mask)


def twin_of(recipe: Recipe, image: np.ndarray, *, masked: bool) -> dict[str, float]:
    """The objective's terms from the formulas alone; shares and blends written out again."""
    state = {key: array(value) for key, value in tiny_state().items()}
    styles = [array(checks(34, 40)[0]), array(picture(48, 33, 5)[0])]
    style_mask = torch.rand(1, 1, 34, 40, generator=torch.Generator().manual_seed(1))
    masks = [array(style_mask)[0, 0] if masked else None, None]
    own_mask = array(MASK)[0, 0] if masked else None

    def masked_gram(features: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        weights = None if mask is None else oracles.mask_on_grid(mask, *features.shape[1:])
        return oracles.gram(features, weights)

    own = oracles.encode(state, image, (*recipe.content_layers, *recipe.style_layers))
    content = oracles.encode(state, array(picture(*SIZE, 1)[0]), recipe.content_layers)
    style = [oracles.encode(state, one, recipe.style_layers) for one in styles]
    blend = np.array(recipe.style_blend or (1.0, 1.0))
    terms = {}
    for layer, weight in zip(recipe.content_layers, recipe.content_layer_weights, strict=True):
        loss = oracles.content_loss(own[layer], content[layer], recipe.normalisation, own_mask)
        terms[f"content/{layer}"] = recipe.content_weight * weight / sum(recipe.content_layer_weights) * loss
    for layer, weight in zip(recipe.style_layers, recipe.style_layer_weights, strict=True):
        target = sum(
            b / blend.sum() * masked_gram(s[layer], m) for b, s, m in zip(blend, style, masks, strict=True)
        )
        loss = oracles.gram_loss(masked_gram(own[layer], own_mask), target, recipe.normalisation)
        terms[f"style/{layer}"] = recipe.style_weight * weight / sum(recipe.style_layer_weights) * loss
    terms["tv"] = recipe.tv_weight * oracles.total_variation(image)
    return terms


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_the_whole_objective(dtype, tolerance, normalisation, masked):
    recipe = Recipe(
        content_weight=0.3, content_layers=("conv2_2", "relu3_2"), content_layer_weights=(1, 3),
        style_weight=20.0, style_layers=GATYS, style_layer_weights=(5, 4, 3, 2, 1), style_blend=(1, 2),
        tv_weight=7.0, normalisation=normalisation,
    )  # fmt: skip
    image = picture(*SIZE, 2)
    total, terms = objective(recipe, masked=masked, dtype=dtype)(image.to(dtype))
    twin = twin_of(recipe, array(image[0]), masked=masked)
    assert list(terms) == list(twin)
    for name, value in terms.items():
        assert float(value) == pytest.approx(twin[name], rel=tolerance), name
    assert float(total) == pytest.approx(sum(twin.values()), rel=tolerance)


def test_a_weight_of_zero_leaves_its_terms_out():
    image = picture(*SIZE, 2).double()
    both = objective(Recipe(tv_weight=1.0))(image)[1]
    assert {name.split("/")[0] for name in both} == {"content", "style", "tv"}
    assert set(objective(Recipe(content_weight=0))(image)[1]) == {f"style/{layer}" for layer in GATYS}
    assert set(objective(Recipe(style_weight=0))(image)[1]) == {"content/relu3_2"}
    assert set(objective(Recipe(content_weight=0, style_weight=0, tv_weight=2))(image)[1]) == {"tv"}


def test_the_content_itself_costs_no_content_and_the_style_itself_no_style():
    content = picture(*SIZE, 1).double()
    assert float(objective(Recipe(style_weight=0))(content)[0]) == 0.0
    style = checks(32, 32).double()
    alone = make_objective(tiny_encoder(dtype=torch.float64), Recipe(content_weight=0), None, [Style(style)])
    assert float(alone(style)[0]) == 0.0
    assert float(alone(picture(32, 32).double())[0]) > 1e-3


# ------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_the_losses(normalisation, masked):
    features, target = values(1, 3, 4, 5).requires_grad_(), values(1, 3, 4, 5, seed=1)
    mask = values(1, 1, 4, 5, seed=2, positive=True) if masked else None
    assert gradcheck(lambda f: content_loss(f, target, normalisation, mask), features)
    assert gradcheck(lambda f: gram_loss(gram(f, mask), gram(target), normalisation), features)
    assert gradcheck(lambda f: moments(f, mask), features)


def test_gradient_of_the_total_variation():
    assert gradcheck(total_variation, values(1, 3, 4, 5).requires_grad_())


@pytest.mark.parametrize("kind", ["max", "average", "l2"])
def test_gradients_of_the_poolings(kind):
    assert gradcheck(lambda f: pool(f, kind), values(1, 2, 5, 6).requires_grad_())


def test_l2_pooling_has_a_gradient_where_nothing_is():
    dead = torch.zeros(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(pool(dead, "l2").sum(), dead)
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gradient_of_the_whole_objective(normalisation):
    recipe = Recipe(content_weight=0.3, tv_weight=0.5, normalisation=normalisation)
    styles = [Style(checks(16, 16).double())]
    mask = MASK[..., :16, :17]
    content, encoder = picture(16, 17, 1).double(), tiny_encoder(dtype=torch.float64)
    judged = make_objective(encoder, recipe, content, styles, mask)
    assert gradcheck(lambda x: judged(x)[0], picture(16, 17, 2).double().requires_grad_(), rtol=1e-4)
