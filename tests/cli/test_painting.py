"""What is said before and after painting, and how far a painting is."""

from __future__ import annotations

import re

import pytest

from fakes import checks, picture
from impasto import api
from impasto.cli.painting import announce, paint, summary
from impasto.painting import planning
from impasto.recipe import Recipe


@pytest.fixture
def run():
    """A run at two scales, the second with four times the pixels of the first."""
    recipe = Recipe(size=64, coarsest=32, iterations=(10,), tolerance=0.0)
    return api.prepare(picture(64, 64), checks(48, 48), recipe)


@pytest.mark.slow
def test_coarse_iterations_count_by_their_pixels(run, capsys):
    result = paint(run, quiet=False)
    lines = capsys.readouterr().err.splitlines()
    coarse = [int(line.split("%")[0].split()[-1]) for line in lines if "(1/2)" in line]
    fine = [int(line.split("%")[0].split()[-1]) for line in lines if "(2/2)" in line]
    assert coarse == [2, 10, 20]  # a fifth of the pixels
    assert fine[-1] == 100
    assert len(result.trace) == 20


@pytest.mark.slow
def test_a_budget_counts_by_the_clock(run, capsys):
    paint(run, quiet=False, budget=0.5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("impasto: 100%")


@pytest.mark.parametrize(
    ("budget", "says"), [(None, ""), (0.5, ""), (60.0, "about 60 s"), (7200, "about 2.0 h")]
)
def test_long_paintings_are_announced_with_time_and_memory(run, capsys, budget, says):
    announce(run, budget, quiet=False)
    out = capsys.readouterr().out
    if says:
        assert re.fullmatch(rf"painting 64×64: {says}, at most [\d.]+ MB of memory\n", out)
    else:
        assert out == ""
    announce(run, budget, quiet=True)
    assert capsys.readouterr().out == ""


def test_a_small_picture_is_not_measured_in_advance(run, monkeypatch, capsys):
    measured: list[object] = []
    monkeypatch.setattr(planning, "expected_seconds", lambda *a, **k: measured.append(a) or 3600.0)
    announce(run, None, quiet=False)
    assert not measured
    monkeypatch.setattr("impasto.cli.painting.SMALL", 64 * 64 - 1)
    announce(run, None, quiet=False)
    assert len(measured) == 1
    assert "about 60 min" in capsys.readouterr().out


@pytest.mark.slow
def test_the_summary_says_whether_it_was_stopped(run, tmp_path):
    result = api.run(run, stop=lambda: True)
    assert re.fullmatch(
        r"stopped: the best picture so far out.png \(64×64, 1 iteration, [\d.]+ s\)",
        summary(result, "out.png"),
    )
    assert summary(api.run(run), "out.png").startswith("painted out.png (64×64, 20 iterations, ")
