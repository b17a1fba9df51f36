"""The term that keeps the content's small features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fakes import picture, tiny_encoder
from impasto.losses.build import terms_of
from impasto.losses.content import ContentTerm
from impasto.losses.details import DetailTerm, without_details, without_subjects
from impasto.losses.nearest import NearestTerm
from impasto.losses.objective import Objective
from impasto.pictures.outlines import outline_strength
from impasto.recipe import Recipe
from impasto.scene import Scene

LAYERS = ("relu1_1", "relu3_1")
SHARES = {"relu1_1": 0.25, "relu3_1": 0.75}


def term(**settings) -> DetailTerm:
    return DetailTerm(layers=LAYERS, layer_weights=SHARES, weight=1.0, **settings)


@pytest.mark.parametrize("masked", [False, True])
def test_each_error_counts_by_the_outlines_around_it(masked):
    encoder = tiny_encoder(dtype=torch.float64)
    content, canvas = picture(40, 48).double(), picture(40, 48, seed=3).double()
    mask = None
    if masked:
        mask = torch.ones(1, 1, 40, 48, dtype=torch.float64)
        mask[..., :16] = 0
    scene = Scene(content=content, content_mask=mask)
    strength = outline_strength(content).double() * (1 if mask is None else mask)
    expected = 0.0
    with torch.no_grad():
        painted, target = encoder(canvas, LAYERS), encoder(content, LAYERS)
        for layer, share in SHARES.items():
            f, p = painted[layer].numpy()[0], target[layer].numpy()[0]
            k = 40 // f.shape[1]
            cells = strength.numpy()[0, 0].reshape(f.shape[1], k, f.shape[2], k).mean((1, 3))
            inside = (
                np.ones_like(cells)
                if mask is None
                else mask.numpy()[0, 0].reshape(*f.shape[1:2], k, f.shape[2], k).mean((1, 3))
            )
            energy = (inside * p**2).sum() + 1e-6 * p.size
            expected += share * (cells * (f - p) ** 2).sum() / energy
    total, _, losses = Objective(encoder, scene, [term()]).evaluate(canvas)
    assert total == pytest.approx(expected, rel=1e-5)
    assert set(losses) == {"details/relu1_1", "details/relu3_1"}


def test_tiles_give_the_same_loss_and_gradient():
    encoder = tiny_encoder(dtype=torch.float64)
    content, canvas = picture(64, 80).double(), picture(64, 80, seed=3).double()
    scene = Scene(content=content)
    whole = Objective(encoder, scene, [term()]).evaluate(canvas)
    tiled = Objective(encoder, scene, [term()], tile=32).evaluate(canvas)
    assert tiled[0] == pytest.approx(whole[0], rel=1e-12)
    torch.testing.assert_close(tiled[1], whole[1], rtol=1e-9, atol=1e-15)


def test_a_mask_is_lowered_only_where_there_are_outlines():
    content = torch.full((1, 3, 40, 40), 0.5)
    content[..., 10:20, 10:20:2] = 0.0
    scene = Scene(content=content)
    mask = torch.full((1, 1, 40, 40), 0.5)
    lowered = without_details(mask, scene, 0.6)
    assert lowered is not None
    assert lowered[0, 0, 15, 15] == pytest.approx(0.2, abs=1e-3)
    assert lowered[0, 0, 35, 35] == pytest.approx(0.5, abs=1e-6)
    assert without_details(mask, scene, 0.0) is mask
    assert without_details(None, Scene(content=None), 0.6) is None


def test_a_subject_is_left_out_with_its_even_parts():
    content = torch.full((1, 3, 160, 160), 0.5)
    content[..., 40:80, 40:43] = content[..., 40:80, 77:80] = 0.0
    content[..., 40:43, 40:80] = content[..., 77:80, 40:80] = 0.0
    content[..., 58:62, 50:70] = 0.0  # a face as a child draws it: a frame and a mouth
    scene = Scene(content=content)
    mask = torch.full((1, 1, 160, 160), 0.5)
    left = without_subjects(mask, scene, 0.8)
    assert left is not None
    cheek, sky = (50, 60), (140, 140)
    assert without_details(mask, scene, 0.8)[(0, 0, *cheek)] > 0.45  # type: ignore[index]
    assert left[(0, 0, *cheek)] < 0.2
    assert left[(0, 0, *sky)] == pytest.approx(0.5, abs=1e-6)
    assert left.min() >= 0.1 - 1e-6
    assert without_subjects(mask, scene, 0.0) is mask
    assert without_subjects(None, Scene(content=None), 0.8) is None


def test_the_recipe_adds_the_term_beside_the_content_and_tells_nearest():
    terms = terms_of(Recipe(keep_details=0.5, content_weight=0.1, style_loss=("nearest",)))
    content, details, nearest = terms[:3]
    assert isinstance(content, ContentTerm)
    assert isinstance(details, DetailTerm)
    assert details.weight == pytest.approx(0.1 * 0.5 * 14)
    assert details.layer_weights == content.layer_weights
    assert isinstance(nearest, NearestTerm)
    assert nearest.keep_details == 0.5


@pytest.mark.parametrize("settings", [{"keep_details": 0.0}, {"content_weight": 0.0}, {"style_weight": 0.0}])
def test_without_content_style_or_setting_there_is_no_such_term(settings):
    terms = terms_of(Recipe(**({"keep_details": 0.5} | settings)))
    assert not any(isinstance(term, DetailTerm) for term in terms)
