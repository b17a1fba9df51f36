"""The Python API: pictures in any form, terms of the caller's own, and runs that are watched or stopped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import impasto
from fakes import checks, picture
from impasto import api, pictures
from impasto.errors import PictureError, RecipeError, WeightsError
from impasto.pictures.geometry import resample
from impasto.recipe import Recipe

QUICK: dict[str, Any] = {
    "size": 40, "paint_size": 40, "coarsest": 40, "iterations": 2, "precision": "float32"
}  # fmt: skip


def eight_bit(tensor: torch.Tensor) -> np.ndarray:
    """(H, W, 3) uint8."""
    return (tensor[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


@pytest.mark.slow
def test_a_path_a_pil_picture_an_array_and_a_tensor_give_the_same_picture(tmp_path):
    arrays = eight_bit(picture(48, 64)), eight_bit(checks(48, 48))
    paths = [tmp_path / "content.png", tmp_path / "style.png"]
    for array, path in zip(arrays, paths, strict=True):
        Image.fromarray(array).save(path)
    tensors = [torch.from_numpy(a.transpose(2, 0, 1)[None].astype(np.float32) / 255) for a in arrays]
    forms: list[list[Any]] = [
        list(paths), [str(path) for path in paths], [Image.fromarray(a) for a in arrays],
        list(arrays), tensors, [tensors[0][0], pictures.load(paths[1])],
    ]  # fmt: skip
    results = [impasto.stylize(content, style, **QUICK) for content, style in forms]
    for result in results:
        assert result.pixels.shape == (1, 3, 30, 40)
        assert result.pixels.dtype == torch.float32
        assert torch.equal(result.pixels, results[0].pixels)
    assert results[0].inputs == tuple(paths)
    assert results[3].inputs == ()


def test_alpha_comes_back_at_the_results_size():
    rgba = np.dstack([eight_bit(picture(48, 64)), np.full((48, 64), 255, np.uint8)])
    rgba[:, :32, 3] = 0
    result = impasto.stylize(rgba, checks(48, 48), **QUICK)
    assert result.image.mode == "RGBA"
    alpha = np.asarray(result.image)[..., 3]
    assert alpha.shape == (30, 40)
    assert (alpha[:, :15] == 0).all()
    assert (alpha[:, 25:] == 255).all()


def test_a_small_picture_is_a_larger_one_reduced():
    content, style = picture(48, 64), checks(48, 48)
    short = {**QUICK, "coarse_finishing": 1, "finishing": (1,)}
    large = impasto.stylize(content, style, **{**short, "size": 80, "paint_size": 80})
    small = impasto.stylize(content, style, **{**short, "paint_size": 640})
    assert small.pixels.shape[-2:] == (30, 40)
    assert torch.equal(small.pixels, resample(large.pixels, (30, 40)))


def test_several_styles_and_their_blend():
    styles = [checks(48, 48), picture(48, 48, 5)]
    even = impasto.stylize(picture(48, 64), styles, **QUICK)
    told = impasto.stylize(picture(48, 64), tuple(styles), style_blend=(2, 2), **QUICK)
    assert torch.equal(even.pixels, told.pixels)
    uneven = impasto.stylize(picture(48, 64), styles, style_blend=(1, 0), **QUICK)
    assert torch.equal(uneven.pixels, impasto.stylize(picture(48, 64), styles[0], **QUICK).pixels)
    assert not torch.equal(uneven.pixels, even.pixels)
    with pytest.raises(RecipeError, match="3 style weights for 2"):
        impasto.stylize(picture(48, 64), styles, style_blend=(1, 1, 1), **QUICK)


def test_settings_go_over_a_recipe_and_a_start_picture_sets_the_start():
    base = Recipe(**QUICK, seed=7, init="noise")
    result = impasto.stylize(picture(48, 64), checks(48, 48), recipe=base, tv_weight=0.5)
    assert result.recipe == base.replace(tv_weight=0.5)
    assert base.tv_weight == 0.0
    started = impasto.stylize(picture(48, 64), checks(48, 48), recipe=base, init_image=picture(30, 40, 9))
    assert started.recipe.init == "picture"
    assert not torch.equal(
        started.pixels, impasto.stylize(picture(48, 64), checks(48, 48), recipe=base).pixels
    )


def test_steps_are_the_same_work_one_at_a_time():
    chosen = QUICK | {"iterations": 4}
    steps = impasto.steps(picture(48, 64), checks(48, 48), **chosen)
    assert isinstance(steps, Iterator)
    listed = list(steps)
    whole = impasto.stylize(picture(48, 64), checks(48, 48), **chosen)
    assert [step.loss for step in listed] == [entry["loss"] for entry in whole.trace]
    assert torch.equal(listed[-1].picture, whole.pixels)
    assert isinstance(listed[0], impasto.Step)
    with pytest.raises(AttributeError):
        listed[0].loss = 0.0  # type: ignore[misc]


def test_a_run_can_be_watched_and_stopped():
    seen: list[int] = []
    result = impasto.stylize(
        picture(48, 64), checks(48, 48), on_step=lambda step: seen.append(step.evaluations),
        stop=lambda: len(seen) == 3, **(QUICK | {"iterations": 50}),
    )  # fmt: skip
    assert seen == [1, 2, 3]
    assert not result.finished
    assert len(result.trace) == 3


def test_a_run_stopped_at_a_coarse_scale_still_has_the_full_size():
    chosen = {"size": 64, "coarsest": 32, "iterations": 9, "style_layers": "relu1_1"}
    result = impasto.stylize(picture(48, 64), checks(48, 48), stop=lambda: True, **chosen)
    assert result.pixels.shape == (1, 3, 48, 64)
    assert result.trace[-1]["width"] == 32


def test_an_interrupt_is_the_callers_unless_he_wants_the_picture():
    job = api.prepare(picture(48, 64), checks(48, 48), Recipe(**(QUICK | {"iterations": 9})))

    def interrupt(step: impasto.Step) -> None:
        if step.evaluations == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.run(job, on_step=interrupt)
    kept = api.run(job, on_step=interrupt, keep_on_interrupt=True)
    assert not kept.finished
    assert len(kept.trace) == 2


def test_mistakes_are_errors_of_ours(tmp_path):
    style = checks(48, 48)
    for content, match in [
        (tmp_path / "no.png", "there is no file"), (np.zeros((3, 48, 64), np.uint8), "channels last"),
        (torch.zeros(2, 3, 48, 64), "one picture at a time"),
        (np.full((48, 64, 3), 200.0), "floats from 200"),
        (3.5, "given as float"), (None, "no content picture"),
    ]:  # fmt: skip
        with pytest.raises(impasto.ImpastoError, match=match):
            impasto.stylize(content, style, **QUICK)
    with pytest.raises(RecipeError, match="unknown setting 'brushiness'"):
        impasto.stylize(picture(), style, brushiness=3)
    with pytest.raises(RecipeError, match="device 'tpu'"):
        impasto.stylize(picture(), style, device="tpu")
    with pytest.raises(WeightsError, match=r"no\.pth"):
        impasto.stylize(picture(), style, encoder="vgg19", weights=tmp_path / "no.pth")


def test_a_start_that_is_transparent_shows_the_content_there():
    content, start = picture(24, 32), torch.zeros(1, 4, 24, 32)
    start[:, 0], start[:, 3, :, 16:] = 1.0, 1.0
    shown = api.prepare(content, checks(24, 24), Recipe(size=32), init_image=start).scene.start
    assert torch.equal(shown[..., :16], content[..., :16])
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 24, 32)
    assert torch.equal(shown[..., 16:], red[..., 16:])
    texture = Recipe(size=32, content_weight=0)
    shown = api.prepare(None, checks(24, 24), texture, init_image=start).scene.start
    torch.testing.assert_close(shown, red, atol=0.01, rtol=0)


@dataclass(frozen=True, kw_only=True)
class Brightness(impasto.Term):
    """A mean of 0.8: a term of one's own."""

    name: str = "brightness"

    def prepare(self, scene, encoder):
        return 3 * scene.size[0] * scene.size[1]

    def gather(self, part, memory):
        return part.without_halo(part.image).sum().reshape(1)

    def judge(self, gathered, memory):
        return (gathered[0] / memory - 0.8).square()


def test_terms_of_ones_own_are_painted_with_and_named_in_the_trace():
    small = {"size": 48, "coarsest": 48, "iterations": (15,), "margin": 0}
    result = impasto.stylize(picture(36, 48), picture(48, 48, 2), terms=[Brightness(weight=5)], **small)
    assert set(result.losses) == {"total", "brightness"}
    assert float(result.pixels.mean()) == pytest.approx(0.8, abs=0.02)
    steps = impasto.steps(picture(36, 48), picture(48, 48, 2), terms=[Brightness()], **small)
    assert set(next(steps).terms) == {"brightness"}
    with pytest.raises(RecipeError, match=r"strength 0\.5 with custom terms"):
        impasto.stylize(picture(36, 48), picture(48, 48, 2), terms=[Brightness()], strength=0.5)
    with pytest.raises(RecipeError, match="two terms called 'brightness'"):
        impasto.stylize(picture(36, 48), picture(48, 48, 2), terms=[Brightness(), Brightness()], **small)


def test_terms_alone_decide_what_pictures_are_needed():
    small = {"size": 48, "coarsest": 48, "iterations": (2,)}
    alone = impasto.stylize(picture(36, 48), [], terms=[Brightness()], **small)
    assert set(alone.losses) == {"total", "brightness"}
    with pytest.raises(RecipeError, match="no term applies"):
        impasto.stylize(picture(36, 48), picture(48, 48, 2), terms=[], **small)


def test_a_loss_registered_by_name_is_known_everywhere(monkeypatch):
    from impasto.losses.style import GRAM
    from impasto.recipe import STYLE_LOSSES
    from impasto.studies.plan import StudyPlan

    with pytest.raises(RecipeError, match="possible are gram"):
        Recipe(style_loss="mine")
    monkeypatch.setitem(STYLE_LOSSES, "mine", GRAM)
    assert Recipe(style_loss="gram,mine").style_loss == ("gram", "mine")
    assert "mine" in Recipe.model_json_schema()["properties"]["style_loss"]["items"]["enum"]
    plan = StudyPlan(
        name="s", styles="painting:wave", contents="a.png", vary={"style_loss": ["gram", "mine"]}
    )
    assert [cell.recipe.style_loss for cell in plan.cells()] == [("gram",), ("mine",)]
    small = {"size": 48, "coarsest": 48, "iterations": (3,)}
    mine, gram = (
        impasto.stylize(picture(36, 48), picture(48, 48, 2), style_loss=name, **small)
        for name in ("mine", "gram")
    )
    assert torch.equal(mine.pixels, gram.pixels)
    assert "style/relu1_1/mine" in mine.losses


def test_steps_keeps_freed_memory_too(monkeypatch):
    calls = []
    monkeypatch.setattr("impasto.api.keep_memory", lambda: calls.append(1))
    next(impasto.steps(picture(36, 48), picture(48, 48, 2), size=48, iterations=(1,)))
    assert calls == [1]


@pytest.mark.parametrize(
    ("content", "style", "role"), [((1, 1), (48, 48), "content"), ((48, 48), (4, 48), "style")]
)
def test_a_picture_with_nothing_in_it_is_refused(content, style, role):
    with pytest.raises(PictureError, match=f"the {role} picture is"):
        impasto.stylize(picture(*content), picture(*style), size=48)


def test_wrong_input_is_an_error_of_ours_and_not_a_picture_of_nan():
    for pixels in (torch.full((1, 3, 24, 32), math.nan), torch.full((1, 3, 24, 32), math.inf)):
        with pytest.raises(impasto.ImpastoError, match="not finite"):
            impasto.stylize(pixels, checks(), size=32)
