"""A finished picture: what it tells of itself, how it is saved, and its record in a folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import impasto
from fakes import checks, picture
from impasto import pictures
from impasto.errors import PictureError
from impasto.painting.engine import Step
from impasto.painting.result import Result, record, trace_entry
from impasto.recipe import Recipe, preset

QUICK: dict[str, Any] = {
    "size": 40,
    "paint_size": 40,
    "coarsest": 40,
    "iterations": 2,
    "precision": "float32",
}


def eight_bit(tensor: torch.Tensor) -> np.ndarray:
    """(H, W, 3) uint8."""
    return (tensor[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def result(**changes: Any) -> Result:
    """A result of 12×16 pixels that nothing was painted for."""
    values: dict[str, Any] = {
        "pixels": picture(12, 16), "alpha": None, "recipe": Recipe(size=16, seed=3),
        "losses": {"total": 0.5}, "trace": [{"evaluation": 1, "loss": 0.5}], "seconds": 1.23456,
        "finished": True, "environment": {"device": "cpu"},
    }  # fmt: skip
    return Result(**(values | changes))


def test_the_image_is_the_pixels_in_eight_bits_with_the_alpha_as_fourth_channel():
    assert np.array_equal(np.asarray(result().image), eight_bit(result().pixels))
    alpha = torch.linspace(0.0, 1.0, 12 * 16).view(1, 1, 12, 16)
    image = result(alpha=alpha).image
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[..., :3], eight_bit(result().pixels))
    assert np.array_equal(np.asarray(image)[..., 3], (alpha[0, 0].numpy() * 255).round())


def test_a_step_becomes_a_flat_line_of_the_trace():
    step = Step(
        scale=2, scales=3, size=(24, 32), iteration=4, iterations=9, evaluations=10, planned=20, loss=0.75,
        terms={"content/relu3_2": 0.25, "style/relu1_1": 0.5}, best_loss=0.7, picture=picture(24, 32),
        event="not finite: given up", last=False,
    )  # fmt: skip
    assert trace_entry(step, 1.23456789) == {
        "evaluation": 10, "scale": 2, "height": 24, "width": 32, "iteration": 4, "seconds": 1.2346,
        "loss": 0.75, "best_loss": 0.7, "event": "not finite: given up",
        "content/relu3_2": 0.25, "style/relu1_1": 0.5,
    }  # fmt: skip


def test_a_record_has_four_files_and_replaces_those_of_another_run(tmp_path):
    folder = tmp_path / "run"
    record(result(recipe=Recipe(size=16, seed=1)), folder)
    trace = [{"evaluation": 1, "loss": 0.5}, {"evaluation": 2, "loss": 0.25}]
    assert record(result(trace=trace, inputs=(Path("a.png"),)), folder) == folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "environment.json", "picture.png", "recipe.json", "trace.jsonl",
    ]  # fmt: skip
    assert Recipe.from_json((folder / "recipe.json").read_text()) == Recipe(size=16, seed=3)
    assert [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()] == trace
    assert json.loads((folder / "environment.json").read_text()) == {
        "device": "cpu", "seconds": 1.235, "finished": True, "losses": {"total": 0.5}, "inputs": ["a.png"],
    }  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(folder / "picture.png")), eight_bit(result().pixels))


def test_a_record_that_cannot_be_written_is_one_line_with_the_folder(tmp_path):
    with pytest.raises(PictureError, match=r"cannot be saved in .*run: .*a folder in a folder that exists"):
        record(result(), tmp_path / "missing" / "run")
    (tmp_path / "run" / "trace.jsonl").mkdir(parents=True)
    with pytest.raises(PictureError, match=r"trace\.jsonl cannot be written"):
        record(result(), tmp_path / "run")


def test_a_record_is_strict_json_even_of_a_run_that_went_wrong(tmp_path):
    bad = {"loss": math.nan, "best_loss": math.inf, "event": "not finite: given up"}
    record(result(losses={"total": math.inf}, trace=[bad]), tmp_path / "run")

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    line = json.loads((tmp_path / "run" / "trace.jsonl").read_text(), parse_constant=refuse)
    assert (line["loss"], line["best_loss"], line["event"]) == (None, None, "not finite: given up")
    text = (tmp_path / "run" / "environment.json").read_text()
    assert json.loads(text, parse_constant=refuse)["losses"] == {"total": None}


def test_a_result_tells_everything_about_itself(tmp_path):
    chosen = QUICK | {"iterations": 5, "tv_weight": 0.1}
    painted = impasto.stylize(picture(48, 64), checks(48, 48), **chosen)
    assert painted.finished
    assert painted.recipe == preset("fast").replace(**chosen, init="content")  # iterations are of the layout
    assert len(painted.trace) == 5
    layers = [f"style/relu{k}_1" for k in range(1, 6)]
    terms = {
        "content/relu3_2",
        "colours",
        "details/relu3_2",
        "tv",
        *layers,
        *(f"{layer}/nearest" for layer in layers),
    }
    assert set(painted.losses) == terms | {"total"}
    assert painted.losses["total"] == min(entry["loss"] for entry in painted.trace)
    assert 0 < painted.seconds < 60
    assert painted.environment["versions"]["torch"]
    assert (painted.image.size, painted.image.mode) == ((40, 30), "RGB")
    assert np.array_equal(np.asarray(painted.image), eight_bit(painted.pixels))
    path = painted.save(tmp_path / "out.png")
    assert path == tmp_path / "out.png"
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(painted.image))
    assert Recipe.from_json(pictures.read_metadata(path) or "") == painted.recipe
    deep = pictures.load(painted.save(tmp_path / "out.tif", bit_depth=16))
    assert float((deep.pixels - painted.pixels).abs().max()) <= 0.5 / 65535 + 1e-7


def test_a_result_never_goes_over_what_it_was_made_from(tmp_path):
    path = tmp_path / "content.png"
    Image.fromarray(eight_bit(picture(48, 64))).save(path)
    before = path.read_bytes()
    painted = impasto.stylize(path, checks(48, 48), **QUICK)
    with pytest.raises(PictureError, match="is also an input"):
        painted.save(path)
    assert path.read_bytes() == before
