"""The examples run, do what they say, and stay as short as they promise."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch

import impasto
from conftest import ROOT
from fakes import checks, picture, tiny_encoder
from impasto import pictures
from impasto.losses.objective import Objective
from impasto.losses.terms import Term
from impasto.pictures.geometry import Size
from impasto.scene import Region, Scene, Style

EXAMPLES = ROOT / "examples"


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "most"), [("minimal", 80), ("own_loss", 60)])
def test_examples_are_short(name, most):
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < most


def test_the_minimal_example_takes_on_the_style(monkeypatch, capsys):
    minimal = example("minimal", monkeypatch)
    content, style = picture(48, 64), checks(48, 48)
    painted = minimal.paint(content, style, steps=12)
    losses = [float(word) for word in capsys.readouterr().out.replace("\r", "\n").split() if "." in word]
    assert losses[-1] < 0.75 * losses[0]
    assert float(painted.min()) >= 0.0
    assert float(painted.max()) <= 1.0
    assert float((painted - content).abs().mean()) > 0.02


def objective(term: Term, size: Size, style: torch.Tensor, tile: int | None) -> Objective:
    scene = Scene(None, aspect=size, regions=(Region("", None, (Style(style),)),))
    return Objective(tiny_encoder(dtype=torch.float64), scene, [term], tile=tile)


def test_the_own_loss_is_exact_in_tiles_and_knows_directions(monkeypatch):
    orientations = example("own_loss", monkeypatch).Orientations()
    stripes = (torch.arange(64) // 4 % 2).double().expand(1, 3, 48, 64).contiguous()
    upright, image = stripes, picture(48, 64, 2).double()
    whole, tiled = (objective(orientations, (48, 64), upright, tile).evaluate(image) for tile in (None, 16))
    assert tiled[0] == pytest.approx(whole[0], rel=1e-10)
    torch.testing.assert_close(tiled[1], whole[1], rtol=0, atol=1e-10 * float(whole[1].abs().max()))
    judged = objective(orientations, (48, 48), upright[..., :48], None)
    lying = upright[..., :48].transpose(-1, -2)
    assert judged.evaluate(upright[..., :48])[0] < 1e-3 < 0.1 < judged.evaluate(lying)[0]


@pytest.mark.slow
def test_the_own_loss_paints(monkeypatch, tmp_path: Path, capsys):
    pictures.save(tmp_path / "content.png", picture(48, 64))
    pictures.save(tmp_path / "style.png", checks(48, 48))
    paths = [str(tmp_path / name) for name in ("content.png", "style.png", "out.png")]
    monkeypatch.setattr(impasto, "stylize", partial(impasto.stylize, iterations=(3,)))
    example("own_loss", monkeypatch).main(*paths, size=32)
    assert "orientations" in capsys.readouterr().out
    assert pictures.load(paths[2]).size == (24, 32)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert any("image/jpeg" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    monkeypatch.chdir(tmp_path)
    code = "\n".join("".join(cell["source"]) for cell in cells)
    small = code.replace("size=384", "size=64, paint_size=64, iterations=(3,)")
    small, paintings = re.subn(r'samples.painting\("\w+"\)', 'samples.painting("glass", size=96)', small)
    assert (small.count("paint_size=64"), paintings) == (3, 2)
    names: dict[str, object] = {}
    exec(compile(small, "notebook.ipynb", "exec"), names)
    assert "result" in names
