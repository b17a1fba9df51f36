"""The benchmark runs and its figures hang together; speed itself is not asserted anywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from fakes import checks, picture
from impasto import pictures

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import speed

    return speed


@pytest.mark.slow
def test_a_tiny_run(speed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    files = [pictures.save(tmp_path / f"{i}.png", x) for i, x in enumerate((picture(64, 80), checks(64, 64)))]
    flags = ["--content", str(files[0]), "--style", str(files[1])]  # the default ones take seconds to paint
    found = speed.main(["--out", str(tmp_path), "--quick", *flags])
    assert {name for name, row in found["presets"].items() if row["seconds"]["min"] > 0} == {
        "instant",
        "fast",
    }
    assert json.loads((tmp_path / "results.json").read_text()).keys() == found.keys()
    assert {row["encoder"] for row in found["growth"]} == {"compact", "vgg19"}
    assert all(row["bytes"] > 1e8 and row["seconds"] > 0 for row in found["growth"])
    assert found["limit"]["share"] > 0  # no upper bound: beside other work the two are measured apart
    assert "times faster" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "growth.svg").stat().st_size > 1000


def test_the_tutorial_minimises_what_we_minimise(speed) -> None:  # type: ignore[no-untyped-def]
    """The reference loop's own loss and our objective are one and the same."""
    reference = sys.modules["reference"]
    from fakes import objective as make_objective
    from impasto.networks.encoder import OXFORD, Encoder
    from impasto.recipe import Recipe
    from impasto.scene import Style

    state = reference.random_vgg19()
    content, style, image = (
        torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(k)) for k in range(3)
    )
    layers = (*speed.EXACT, "relu3_2")
    tutorial = reference.Tutorial(
        reference.TutorialNetwork(state, layers), content, style, speed.EXACT, ("relu3_2",), 0.05
    )
    recipe = Recipe(style_layers=speed.EXACT, content_layers="relu3_2", padding="zeros", content_weight=0.05)
    ours = make_objective(Encoder(state, OXFORD, padding="zeros"), recipe, content, [Style(style)])
    assert float(ours(image)[0]) == pytest.approx(float(tutorial.loss(image)), rel=1e-4)


@pytest.mark.slow
def test_style_losses_are_painted_measured_and_shown(monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import losses

    # Each is rendered again and again; these two are rendered fast.
    monkeypatch.setattr(losses, "OWN", (("rocket", "glass"), ("astronaut", "woodcut")))
    few = ["--own", "--out", str(tmp_path), "--size", "48", "--iterations", "1", "--first", "1"]
    found = losses.main([*few, "--only", "gram", "nearest", "--show", "gram", "nearest"])
    rows = [row for row in found if row["pair"] == "rocket-glass"]
    assert [row["variant"] for row in rows] == ["content", "gram", "nearest"]
    assert rows[0]["edges"] == pytest.approx(1.0)
    assert rows[1]["edges"] < 1.0
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000
    painted = tmp_path / "rocket-glass.gram.png"
    before = painted.stat().st_mtime_ns
    losses.main([*few, "--only", "gram"])
    assert painted.stat().st_mtime_ns == before
    assert "| gram |" in (tmp_path / "losses.md").read_text()


@pytest.mark.slow
def test_an_evaluation_is_measured_by_part_and_version(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import evaluation

    source = str(ROOT / "src")
    lines = evaluation.main(["a=" + source, "b=" + source, "--size", "64", "--rounds", "1"]).splitlines()
    assert lines[0] == "| CPU ms | a | b | ratio |"
    rows = {cells[0]: cells[1:] for cells in (line.strip("| ").split(" | ") for line in lines[2:])}
    assert {"coarse: evaluation", "finishing: FinishingTerm", "finishing: step"} <= rows.keys()
    assert all(float(cell) > 0 for cells in rows.values() for cell in cells[:2])
