"""The preset ``instant`` through the Python API and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import impasto
from impasto import samples
from impasto.errors import RecipeError
from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork
from impasto.networks.registry import load_encoder
from impasto.pictures import to_uint8
from impasto.pictures.colour import to_oklab
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe


def picture_of(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(to_uint8(pixels))


CONTENT = picture_of(resample(samples.photograph("chelsea"), (120, 160)))
STYLES = [picture_of(samples.painting(name, size=128)) for name in ("woodcut", "glass")]  # rendered fast


def paint(style: object = STYLES[0], content: object = CONTENT, **settings: object) -> impasto.Result:
    return impasto.instant(content, style, **({"size": 128, "precision": "float32"} | settings))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_picture_is_painted_with_one_step():
    result = paint()
    assert result.pixels.shape == (1, 3, 96, 128)
    assert result.finished
    assert len(result.trace) == 1
    assert result.recipe.method == "instant"
    assert torch.equal(result.pixels, impasto.stylize(CONTENT, STYLES[0], preset="instant", size=128,
                                                      precision="float32").pixels)  # fmt: skip
    assert [step.last for step in impasto.steps(CONTENT, STYLES[0], preset="instant", size=128)] == [True]


@pytest.mark.slow
def test_tiles_make_the_same_picture_and_the_original_size_is_kept():
    whole, parts = paint(size="original"), paint(size="original", tile=64)
    assert whole.pixels.shape[-2:] == (120, 160)
    torch.testing.assert_close(parts.pixels, whole.pixels, atol=1e-3, rtol=0)


def test_a_saved_style_paints_the_same_picture(tmp_path: Path):
    network = InstantNetwork(load_encoder(), load_decoder())
    pixels = torch.from_numpy(np.asarray(STYLES[0]).copy()).permute(2, 0, 1)[None].float() / 255
    style = network.remember(pixels)
    style.save(tmp_path / "wave.safetensors")
    loaded = type(style).load(tmp_path / "wave.safetensors")
    gap = paint(loaded).pixels - paint().pixels
    assert float(gap.abs().mean()) < 2e-3


@pytest.mark.slow
def test_two_styles_are_blended_by_their_weights():
    first, both, second = (paint(STYLES, style_blend=w).pixels for w in ((1, 0), (1, 1), (0, 1)))
    torch.testing.assert_close(first, paint().pixels)
    assert float((both - first).abs().mean()) < float((second - first).abs().mean())


def test_colours_of_the_content_are_kept():
    content = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    content = torch.nn.functional.interpolate(content, (96, 128), mode="bicubic").clamp(0.2, 0.8)
    chroma = [to_oklab(x)[:, 1:] for x in (content, paint(content=content, colours="content").pixels)]
    free = to_oklab(paint(content=content).pixels)[:, 1:]
    assert (chroma[0] - chroma[1]).abs().mean() < 0.3 * (chroma[0] - free).abs().mean()


def test_a_mask_leaves_the_rest_as_it_is():
    mask = np.zeros((120, 160, 3), np.uint8)
    mask[:, :80] = 255
    result = paint(mask=mask, feather=0.0).pixels
    content = resample(torch.from_numpy(np.asarray(CONTENT).copy()).permute(2, 0, 1)[None] / 255,
                                   (96, 128))  # fmt: skip
    torch.testing.assert_close(result[..., 70:], content[..., 70:], atol=2e-3, rtol=0)
    assert float((result - content)[..., :60].abs().mean()) > 0.02


def test_alpha_is_kept():
    picture = CONTENT.convert("RGBA")
    picture.putalpha(128)
    result = paint(content=picture)
    assert result.alpha is not None
    assert float(result.alpha.mean()) == pytest.approx(128 / 255, abs=1e-3)


@pytest.mark.parametrize(
    "settings",
    [{"iterations": 5}, {"style_loss": "nearest"}, {"encoder": "vgg19"}, {"padding": "circular"}],
)
def test_settings_of_the_optimiser_are_refused(settings: dict[str, object]):
    with pytest.raises(RecipeError, match=f"{next(iter(settings))} with method 'instant'"):
        paint(**settings)


def test_a_recorded_recipe_is_read_again():
    recipe = Recipe(method="instant", size=300, strength=0.5)
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_what_else_is_refused():
    network = InstantNetwork(load_encoder(), load_decoder())
    style = network.remember(torch.rand(1, 3, 32, 32))
    with pytest.raises(RecipeError, match="time budget"):
        impasto.stylize(CONTENT, STYLES[0], preset="instant", budget=3.0)
    with pytest.raises(RecipeError, match="saved style"):
        paint([style, STYLES[0]])
    with pytest.raises(RecipeError, match="saved style"):
        impasto.stylize(CONTENT, style)
    with pytest.raises(RecipeError, match="saved style"):
        paint(style, colours="match")


def test_the_command_line_paints_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from impasto.cli.main import main

    CONTENT.save(tmp_path / "c.png")
    STYLES[0].save(tmp_path / "s.png")
    paths = [str(tmp_path / name) for name in ("c.png", "s.png")]
    output = str(tmp_path / "o.png")
    command = ["stylize", *paths, "-o", output, "--preset", "instant"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--size", "64"])
    assert not ended.value.code
    assert "64×48" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([*command, "--iterations", "9"])
    assert ended.value.code == 2
    assert "iterations with method 'instant'" in capsys.readouterr().err
