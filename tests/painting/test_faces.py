"""Which paintings look for faces, and that finding none changes nothing."""

from __future__ import annotations

import pytest
import torch

from fakes import picture
from impasto import samples
from impasto.networks.registry import load_encoder
from impasto.painting.engine import steps
from impasto.painting.faces import faces_of
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe, preset
from impasto.scene import Scene, Style
from impasto.scene.preparing import preprocess

# Head and shoulders; the face is in rows 25 to 70 and columns 30 to 70.
FACE = resample(samples.photograph("astronaut")[..., 0:256, 96:352], (96, 96))
STYLE = Style(samples.painting("mosaic", size=96))
RECIPE = preset("draft").replace(size=96, finishing=2, coarse_finishing=2)


def faces(content: torch.Tensor | None, recipe: Recipe = RECIPE) -> torch.Tensor | None:
    return faces_of(preprocess(Scene(content, (STYLE,)), recipe), recipe, load_encoder())


def test_a_face_is_found_and_a_pattern_has_none():
    found = faces(FACE)
    assert found is not None
    assert float(found.max()) == 1.0
    assert float(found.mean()) < 0.5
    assert faces(picture(96, 96).flip(1)) is None
    assert faces(None) is None


@pytest.mark.parametrize("settings", [{"keep_details": 0.0}, {"finishing": 0}, {"style_weight": 0.0}])
def test_nobody_looks_where_nothing_is_finished_or_kept(settings):
    assert faces(FACE, RECIPE.replace(**settings)) is None


def test_what_is_found_reaches_the_painting(monkeypatch):
    def painted() -> torch.Tensor:
        *_, last = steps(Scene(FACE, (STYLE,)), RECIPE, load_encoder())
        return last.picture

    looked = painted()
    monkeypatch.setattr("impasto.painting.engine.faces_of", lambda *arguments: None)
    assert float((painted() - looked).abs().max()) > 0.005
