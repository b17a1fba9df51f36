"""Places by name, and what happens without Ray."""

from __future__ import annotations

import sys

import pytest

from impasto.errors import ImpastoError, RecipeError
from impasto.pieces.cluster import RayExecutor
from impasto.pieces.local import LocalExecutor
from impasto.pieces.piece import Needs
from impasto.pieces.places import device_at, executor_for


def test_a_place_by_its_name() -> None:
    needs = Needs(threads=2, memory=1e9)
    assert isinstance(executor_for("local", 3), LocalExecutor)
    assert executor_for("ray", 3, needs=needs) == RayExecutor(None, needs)
    assert executor_for("ray://head:10001", 3, needs=needs) == RayExecutor("ray://head:10001", needs)


@pytest.mark.parametrize(
    ("on", "device", "gpus", "expected"),
    [("local", "auto", 0.0, "auto"), ("local", "cuda:1", 0.0, "cuda:1"), ("ray", "auto", 0.0, "cpu"),
     ("ray", "auto", 0.5, "auto"), ("ray://head:10001", "cuda", 1.0, "cuda"), ("ray", "cpu", 0.0, "cpu")],
)  # fmt: skip
def test_a_cluster_works_on_gpus_only_where_they_are_asked_for(
    on: str, device: str, gpus: float, expected: str
) -> None:
    assert device_at(on, device, gpus) == expected


def test_a_gpu_on_a_cluster_must_be_asked_for() -> None:
    with pytest.raises(
        RecipeError, match="device 'cuda' on a cluster; auto or cpu; ask for GPUs with --gpus-"
    ):
        device_at("ray", "cuda", 0.0)
    with pytest.raises(RecipeError, match="-1 GPUs for each piece; 0 or more"):
        device_at("local", "auto", -1.0)
    with pytest.raises(RecipeError, match="1 GPUs for each piece without a cluster; only with --on ray"):
        device_at("local", "auto", 1.0)


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
