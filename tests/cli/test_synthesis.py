"""``impasto texture`` and ``impasto reconstruct``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fakes import picture
from impasto import pictures
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe

SMALL = ("--iterations", "3", "--coarsest", "32", "-q")


def recipe_in(path: str) -> Recipe:
    return Recipe.from_json(pictures.read_metadata(path) or "")


def test_reconstruct(impasto):
    flags = ["--layers", "relu4_2", "--size", "48", *SMALL]
    assert impasto("reconstruct", "content.png", "-o", "r.png", *flags) == (0, "", "")
    assert pictures.load("r.png").size == (36, 48)
    recipe = recipe_in("r.png")
    assert (recipe.content_layers, recipe.init, recipe.style_weight) == (("relu4_2",), "noise", 0.0)
    assert recipe.content_weight == 1.0


def test_texture_of_any_size(impasto):
    flags = ["--size", "70x41", "--layers", "relu1_1,relu2_1", "--style-layer-weights", "1,2", *SMALL]
    assert impasto("texture", "style.png", "-o", "t.png", *flags)[0] == 0
    assert pictures.load("t.png").size == (41, 70)
    assert recipe_in("t.png").style_layer_weights == (1.0, 2.0)


@pytest.mark.slow
def test_the_layers_have_their_long_names_too(impasto):
    assert impasto("texture", "style.png", "-o", "t.png", "--style-layers", "relu1_1", *SMALL)[0] == 0
    assert recipe_in("t.png").style_layers == ("relu1_1",)
    assert impasto("reconstruct", "content.png", "-o", "r.png", "--content-layers", "conv1_1", *SMALL)[0] == 0
    assert recipe_in("r.png").content_layers == ("conv1_1",)


@pytest.mark.slow
def test_a_seamless_texture_has_no_seam(impasto):
    """The step across the edge is like the steps inside; else it is several times as large."""
    blobs = resample(torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), (64, 64))
    pictures.save("blobs.png", blobs)
    steps = []
    for flags in (["--seamless"], []):
        rest = ["--layers", "relu1_1,relu2_1,relu3_1", "--iterations", "30", "--coarsest", "32", "-q"]
        assert impasto("texture", "blobs.png", "-o", "t.png", "--size", "64", *flags, *rest)[0] == 0
        pixels = pictures.load("t.png").pixels
        across = (pixels[..., 0] - pixels[..., -1]).abs().mean()
        across += (pixels[..., 0, :] - pixels[..., -1, :]).abs().mean()
        inside = pixels.diff(dim=-1).abs().mean() + pixels.diff(dim=-2).abs().mean()
        steps.append(float(across / inside))
    assert steps[0] < 1.4
    assert steps[1] > 2.0 * steps[0]


@pytest.mark.slow
def test_the_old_name_of_seamless_works_with_a_note(impasto):
    small = ["--size", "32", "--iterations", "2", "--coarsest", "32"]
    code, _, err = impasto("texture", "style.png", "-o", "old.png", "--tile", *small)
    assert code == 0
    assert err.startswith("impasto: --tile of `impasto texture` is now called --seamless")
    assert impasto("texture", "style.png", "-o", "new.png", "--seamless", *small)[0] == 0
    assert Path("old.png").read_bytes() == Path("new.png").read_bytes()
    assert "--tile" not in impasto("texture", "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["texture", "style.png", "-o", "t.png", "--size", "axb"], "size 'axb'"),
        (["texture", "style.png", "-o", "t.png", "--size", "44x30", "--seamless"], "take 48×32"),
        (
            ["texture", "style.png", "-o", "t.png", "--init", "content"],
            "it should be 'noise' or 'style-colours'",
        ),
        (["texture", "style.png", "-o", "style.png"], "also an input"),
        (["texture", "style.png", "-o", "t.png", "--strength", "0.5"], "a texture has no content"),
        (["texture", "style.png", "-o", "t.png", "--strength=0.5"], "a texture has no content"),
        (["texture", "style.png", "-o", "t.png", "--content-layers", "relu1_1"], "a texture has no content"),
        (["texture", "style.png", "-o", "t.png", "--feather", "0.1"], "there are no masks here"),
        (["reconstruct", "content.png", "-o", "r.png", "--style-loss", "nearest"], "has no style"),
        (
            ["reconstruct", "content.png", "-o", "r.png", "--init", "picture"],
            "it should be 'noise' or 'content'",
        ),
    ],
)
def test_what_does_not_apply_is_refused_with_the_reason(impasto, arguments, says):
    code, _, err = impasto(*arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "listed", "left_out"),
    [
        ("texture", ["style-loss", "style-blend", "iterations"], ["content-weight", "strength", "feather"]),
        ("reconstruct", ["content-loss", "iterations"], ["style-loss", "style-weight", "colours", "feather"]),
    ],
)
def test_only_settings_that_apply_are_listed(impasto, command, listed, left_out):
    out = impasto(command, "--help")[1]
    assert all(f"--{name} " in out for name in listed)
    assert not any(f"--{name} " in out for name in left_out)


@pytest.mark.slow
def test_the_defaults_on_the_page_are_the_commands_own(impasto, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert "[default: noise]" in impasto("texture", "--help")[1]
    lines = impasto("reconstruct", "--help")[1].splitlines()
    (weight,) = (line for line in lines if "--content-weight" in line)
    assert "[default: 1]" in weight


def test_a_small_texture_from_two_styles(impasto):
    pictures.save("other.png", picture(40, 60))
    flags = ["--size", "32", "--style-blend", "1", "3", *SMALL]
    assert impasto("texture", "style.png", "other.png", "-o", "t.png", *flags)[0] == 0
    assert recipe_in("t.png").style_blend == (1.0, 3.0)
