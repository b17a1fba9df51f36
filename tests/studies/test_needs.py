"""What a study says that its cells take of a machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import picture
from impasto import api, pictures
from impasto.networks.registry import load_encoder
from impasto.pieces.piece import Needs
from impasto.studies import runner
from impasto.studies.needs import cell_needs
from impasto.studies.plan import StudyPlan


def test_the_largest_cell_decides(tmp_path: Path, plan: Callable[..., StudyPlan]) -> None:
    pictures.save(tmp_path / "a.png", picture(30, 60))
    wide = plan(
        contents=[str(tmp_path / "a.png")], seeds=[0],
        vary={"size": [48, 96], "style_layers": [["relu1_1"], ["relu5_4"]]},  # compact ends at relu5_1
    )  # fmt: skip
    cells = wide.cells()
    needs = cell_needs(cells, gpus=0.5)
    largest = next(cell.recipe for cell in cells if cell.recipe.size == 96)
    alone = api.expected_memory(largest, load_encoder("compact"), (48, 96), float("inf")).bytes
    assert needs == Needs(1, alone, 0.5)


def test_the_place_is_told(
    tmp_path: Path, plan: Callable[..., StudyPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(Exception):
        pass

    def executor_for(on: str, pieces: int, *, needs: Needs, **_: Any) -> None:
        raise Asked(on, needs.gpus, needs.memory > 0)

    monkeypatch.setattr(runner, "executor_for", executor_for)
    for options, told in (
        ({"on": "ray", "gpus_per_piece": 1.0}, ("ray", 1.0, True)),
        ({"workers": 0}, ("local", 0.0, True)),
        ({"workers": 1}, ("local", 0.0, False)),
    ):
        with pytest.raises(Asked) as asked:
            runner.run_study(plan(seeds=[0]), tmp_path / "study", **options)
        assert asked.value.args == told
