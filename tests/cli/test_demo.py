"""``impasto demo`` paints what its help page promises."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from impasto import samples
from impasto.cli import demo as command
from impasto.recipe import Recipe


@pytest.mark.slow
def test_it_paints_a_photograph_in_every_style_that_it_names(impasto, monkeypatch):
    quick = Recipe(coarsest=32, iterations=(1,))
    monkeypatch.setattr(command, "preset", {"fast": quick}.__getitem__)
    monkeypatch.setattr(samples, "painting", partial(samples.painting, size=64))
    code, out, _ = impasto("demo", "-o", "show", "--size", "32")
    assert code == 0
    names = {path.name for path in Path("show").iterdir()}
    assert names == {"chelsea.png"} | {
        f"{prefix}-{style}.png" for prefix in ("style", "chelsea") for style in command.DEMO_STYLES
    }
    assert str(Path("show").resolve()) in out
    assert " s in all" in out


def test_its_help_is_true(impasto):
    out = " ".join(impasto("demo", "--help")[1].split())
    assert len(command.DEMO_STYLES) == 3
    assert "three sample styles: wave, swirl and mosaic" in out
    assert all(name in out for name in samples.PHOTOGRAPHS)
