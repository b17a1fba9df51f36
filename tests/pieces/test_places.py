"""Places by name, and what happens without Ray."""

from __future__ import annotations

import sys

import pytest

from impasto.errors import ImpastoError, RecipeError
from impasto.pieces.cluster import RayExecutor
from impasto.pieces.local import LocalExecutor
from impasto.pieces.piece import Needs
from impasto.pieces.places import executor_for


def test_a_place_by_its_name() -> None:
    needs = Needs(threads=2, memory=1e9)
    assert isinstance(executor_for("local", 3), LocalExecutor)
    assert executor_for("ray", 3, needs=needs) == RayExecutor(None, needs)
    assert executor_for("ray://head:10001", 3, needs=needs) == RayExecutor("ray://head:10001", needs)


@pytest.mark.parametrize("place", ["", "Ray", "ray:/head", "slurm"])
def test_an_unknown_place_is_refused(place: str) -> None:
    with pytest.raises(RecipeError, match=r"possible are local, ray, ray://HOST:PORT and auto"):
        executor_for(place, 1)


def test_without_ray_it_is_named_and_auto_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert isinstance(executor_for("auto", 2), LocalExecutor)
    with pytest.raises(
        ImpastoError, match=r"needs Ray, which is not installed; pip install 'impasto\[ray\]'"
    ):
        executor_for("ray", 2)
