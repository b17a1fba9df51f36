"""Three small photographs, two styles, and settings that paint one of them in a tenth of a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import checks, picture
from impasto import pictures
from impasto.recipe import Recipe

QUICK = Recipe(size=64, coarsest=32, iterations=(2,))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with in/{0,1,2}.png, one of them upright, and wave.png and oil.png."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number, size in enumerate([(36, 48), (48, 36), (36, 48)]):
        pictures.save(f"in/{number}.png", picture(*size, number))
    pictures.save("wave.png", checks(48, 48))
    pictures.save("oil.png", checks(40, 48, 7))
    return tmp_path
