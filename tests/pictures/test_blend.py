"""A finished picture weakened towards its content."""

from __future__ import annotations

import json

import pytest
import torch

from fakes import checks, picture
from impasto import pictures
from impasto.errors import PictureError, RecipeError
from impasto.pictures import blend, colour


def test_a_mixture_in_oklab_between_both_ends(tmp_path):
    content, painted = picture(24, 32), checks(24, 32)
    assert torch.equal(blend.blend(painted, 1.0, content).pixels, painted)
    assert torch.equal(blend.blend(painted, 0.0, content).pixels, content)
    lab = colour.to_oklab(blend.blend(painted, 0.5, content).pixels)
    middle = (colour.to_oklab(painted) + colour.to_oklab(content)) / 2
    torch.testing.assert_close(lab, middle, atol=2e-2, rtol=0)


def test_a_run_knows_its_content(tmp_path):
    pictures.save(tmp_path / "content.png", picture(24, 32))
    run = tmp_path / "run"
    run.mkdir()
    pictures.save(run / "picture.png", checks(24, 32))
    (run / "environment.json").write_text(
        json.dumps({"inputs": [str(tmp_path / "content.png"), "style.png"]})
    )
    mixed = blend.blend(run, 0.5)
    torch.testing.assert_close(
        mixed.pixels, blend.blend(run / "picture.png", 0.5, tmp_path / "content.png").pixels
    )


@pytest.mark.parametrize(
    ("strength", "content", "message"),
    [
        (1.5, checks(24, 32), "strength 1.5"),
        (0.5, None, "what it was painted from"),
        (0.5, checks(32, 32), "32×24 pixels and a content of 32×32"),
    ],
)
def test_senseless_mixtures_are_refused(strength, content, message, tmp_path):
    path = pictures.save(tmp_path / "painted.png", picture(24, 32))
    with pytest.raises((PictureError, RecipeError), match=message):
        blend.blend(path, strength, content)
    with pytest.raises(PictureError, match="is not a run"):
        blend.blend(tmp_path, 0.5)
