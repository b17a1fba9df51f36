"""A study on the command line, from flags to its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.cli import study_run
from impasto.studies import named, runner

pytestmark = pytest.mark.slow

GRID = ["--x", "content_weight=0.1,1", "--y", "tv_weight=0.5", "-o", "grid"]
SMALL = ["--size", "32", "--iterations", "2", "--workers", "1"]


def test_it_says_what_it_did_and_does_only_what_is_missing(impasto, request):
    code, out, err = impasto("study", "weights", *GRID, *SMALL)
    assert code == 0
    assert err.splitlines()[-1] == "impasto: 100% weights: 2/2 cells"
    assert out.startswith("grid/report.html (2 cells, 2 painted now, 0 painted earlier, ")
    request.getfixturevalue("undrawn")
    code, out, _ = impasto("study", "weights", *GRID, *SMALL)
    assert "2 cells, 0 painted now, 2 painted earlier" in out
    assert impasto("study", "weights", *GRID, *SMALL, "-q") == (0, "", "")


@pytest.mark.usefixtures("undrawn")
def test_a_failed_cell_is_told_and_gives_another_code(impasto):
    flags = ["--layers", "relu1_1", "relu5_4", "--factors", "1", "-o", "layers"]
    code, out, err = impasto("study", "content-layers", *flags, *SMALL)
    assert code == 1
    assert "impasto: cell relu5_4" in err
    assert "2 cells, 1 painted now" in out


def test_ctrl_c_says_what_is_kept(monkeypatch, capsys, tmp_path: Path):
    def stopped(*_: object, on_progress, **__: object) -> None:
        on_progress(runner.StudyProgress(done=1, cells=4, share=0.3, label="wave"))
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_study", stopped)
    options = study_run.StudyOptions(output=tmp_path / "study")
    assert study_run.run(named.weights(), options) == 130
    assert "stopped: 1 cell of 4 kept; the same command does the rest" in capsys.readouterr().err
