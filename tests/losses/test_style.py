"""Style losses beyond the Gram matrix: float64 twins, gradients, and what each is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

import oracles
from fakes import checks, picture, tiny_encoder
from fakes import objective as make_objective
from impasto.losses import functions, statistics
from impasto.losses.nearest import NearestTerm
from impasto.losses.tiled import TiledEncoder
from impasto.painting import engine
from impasto.recipe import Recipe
from impasto.scene import Region, Scene, Style


def cloud(n: int = 40, c: int = 5, seed: int = 0) -> Tensor:
    random = np.random.RandomState(seed)
    return torch.from_numpy(random.standard_normal((n, c)) @ random.standard_normal((c, c)) + seed)


def packed(points: Tensor) -> Tensor:
    return statistics.moment_sum(points.T[None, :, :, None]) / len(points)


ON_CLOUDS = {
    "wasserstein": (lambda a, b: functions.wasserstein_loss(packed(a), packed(b)), oracles.wasserstein_loss),
    "histogram": (functions.histogram_loss, oracles.sorted_gap),
    "remd": (functions.relaxed_emd_loss, oracles.relaxed_emd),
    "self-similarity": (functions.self_similarity_loss, oracles.self_similarity),
}


@pytest.mark.parametrize("name", ON_CLOUDS)
def test_twins_gradients_and_zero(name):
    loss, twin = ON_CLOUDS[name]
    a, b = cloud(12), cloud(12, seed=1)
    assert float(loss(a, b)) == pytest.approx(twin(a.numpy(), b.numpy()), rel=1e-7)
    assert float(loss(a.float(), b.float())) == pytest.approx(twin(a.numpy(), b.numpy()), rel=1e-3)
    assert float(loss(b, b)) == pytest.approx(0.0, abs=1e-9)
    assert gradcheck(lambda x: loss(x, b), a.requires_grad_(), rtol=1e-3)


def test_sliced_is_the_histograms_along_other_axes():
    a, b = cloud(12), cloud(12, seed=1)
    found = float(functions.sliced_loss(a, b))
    noise = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = np.linalg.qr(noise.numpy())[0]
    assert found == pytest.approx(oracles.sorted_gap(a.numpy() @ frame, b.numpy() @ frame), rel=1e-7)
    assert gradcheck(lambda x: functions.sliced_loss(x, b), a.requires_grad_(), rtol=1e-3)
    assert float(functions.sliced_loss(b[torch.randperm(12)], b)) == pytest.approx(0.0, abs=1e-12)


def test_more_points_of_the_same_cloud_are_the_same_cloud():
    a = cloud(64)
    assert float(functions.sliced_loss(a.repeat(3, 1), a)) < 2e-3
    assert float(functions.histogram_loss(cloud(4000, seed=2)[:1500], cloud(4000, seed=2))) < 5e-3


def test_nearest_loss():
    f, t, c = (torch.from_numpy(np.random.RandomState(s).standard_normal((1, 3, 4, 5))) for s in range(3))
    centre, weights = c[0, :, 0, 0], c[:, :1].abs()
    twin = sum(
        float(weights[0, 0, y, x])
        * oracles.cosine_distance(*((one[0, :, y, x] - centre).numpy() for one in (f, t)))
        for y in range(4) for x in range(5)
    )  # fmt: skip
    unit = functions.directions(t, centre)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(1, 4, 5, dtype=torch.float64))
    assert float(functions.nearest_loss(f, unit, centre, weights)) == pytest.approx(twin, rel=1e-9)
    assert float(functions.nearest_loss(t, unit, centre)) == pytest.approx(0.0, abs=1e-9)
    assert gradcheck(lambda x: functions.nearest_loss(x, unit, centre, weights), f.requires_grad_())
    assert gradcheck(lambda x: functions.nearest_loss(x, unit, centre), f)


@pytest.mark.parametrize("dead", ["own", "target", "both"])
def test_dead_layers_do_no_harm(dead):
    a = torch.zeros(12, 5) if dead != "target" else cloud(12).float()
    b = torch.zeros(12, 5) if dead != "own" else cloud(12, seed=1).float()
    for loss in (*(pair[0] for pair in ON_CLOUDS.values()), functions.sliced_loss):
        leaf = a.clone().requires_grad_()
        value = loss(leaf, b)
        (gradient,) = torch.autograd.grad(value, leaf)
        assert bool(torch.isfinite(value))
        assert bool(torch.isfinite(gradient).all())


def test_gram_cannot_tell_what_the_others_can():
    # Two clouds with the same second moments: a Gaussian and points on its axes' ends.
    points = torch.cat([torch.eye(4), -torch.eye(4)]).double() * 2.0
    smooth = torch.from_numpy(np.random.RandomState(0).standard_normal((8000, 4)))
    smooth = smooth @ torch.linalg.inv(torch.linalg.cholesky(smooth.T @ smooth / 8000).T)
    a, b = smooth, points[torch.arange(8000) % 8]
    grams = [statistics.gram(one.T[None, :, :, None]) for one in (a, b)]
    assert float(functions.gram_loss(*grams)) < 1e-9
    assert float(functions.wasserstein_loss(packed(a), packed(b))) < 1e-3
    assert float(functions.histogram_loss(a, b)) > 0.1


# ------------------------------------------------------------------------------------------ in the objective

NAMES = ("gram", "wasserstein", "sliced", "histogram", "remd", "nearest")


def style_total(name: str, image: Tensor, *styles: Tensor, **settings: object) -> float:
    judged = make_objective(
        tiny_encoder(dtype=torch.float64),
        Recipe(content_weight=0, style_loss=name, **settings),
        None,
        [Style(one.double()) for one in styles],
        start=image.double(),
    )
    return judged.evaluate(image.double())[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_style_itself_costs_nothing_and_another_picture_does(name):
    style = picture(48, 64, 3)
    assert style_total(name, style, style) == pytest.approx(0.0, abs=1e-6)
    assert style_total(name, checks(48, 64), style) > 0.02


@pytest.mark.parametrize("name", NAMES)
def test_two_styles_are_blended_by_their_weights(name):
    a, b = picture(48, 64, 3), checks(48, 64)
    both = [style_total(name, a, a, b, style_blend=(w, 1 - w)) for w in (1.0, 0.75, 0.0)]
    assert both[0] == pytest.approx(style_total(name, a, a), abs=1e-6)
    assert both[2] == pytest.approx(style_total(name, a, b), rel=1e-6)
    assert both[0] <= both[1] < both[2]


def test_moved_cells_are_found_again():
    # A picture whose halves change places is made of the style's cells: nearest sees that, Gram cannot say.
    style = torch.cat([picture(48, 32, 3), checks(48, 32)], 3)
    swapped = torch.cat([style[..., 32:], style[..., :32]], 3)
    shallow = {"style_layers": ("relu1_1", "relu2_1")}
    assert style_total("nearest", swapped, style, **shallow) < 0.1 * style_total(
        "nearest", picture(48, 64, 9), style, **shallow
    )


@pytest.mark.slow
def test_a_picture_becomes_like_its_style_by_every_loss():
    scene = Scene(picture(40, 48), (Style(checks(48, 48)),))
    for name in NAMES:
        recipe = Recipe(size=48, iterations=(25,), coarsest=48, content_weight=0, style_loss=name)
        steps = list(engine.steps(scene, recipe, tiny_encoder()))
        assert steps[-1].best_loss < 0.85 * steps[0].loss, name


def test_an_even_content_is_not_given_the_same_cell_everywhere():
    # Repeated, its 4×4 pixels would show as a grid.
    encoder, style = tiny_encoder(), picture(96, 96, 3)
    even = torch.full((1, 3, 96, 96), 0.5) + 1e-4 * picture(96, 96, 4)
    scene = Scene(even, regions=(Region("", None, (Style(style),)),))
    layers = ("relu1_1", "relu3_1")
    term = NearestTerm(layers=layers, layer_weights=dict.fromkeys(layers, 0.5))
    matches, again = (
        term.prepare(scene, TiledEncoder(encoder))["relu1_1/nearest"].pull.matches for _ in range(2)
    )
    assert matches.shape == (24, 24)
    assert float((matches[:, 1:] == matches[:, :-1]).float().mean()) < 0.5
    assert torch.equal(matches, again)
