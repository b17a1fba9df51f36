"""What a cluster is sent and when: with a stand-in for Ray whose machines work in a time of their own."""

from __future__ import annotations

import heapq
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from impasto.pieces import cluster, parcels
from impasto.pieces.cluster import FEW, RayExecutor
from impasto.pieces.piece import Files, Needs, Outcome, PlaceError, Report

KB = 1000


class RayError(Exception):
    pass


class RaySystemError(RayError):
    pass


class RayTaskError(RayError):
    pass


class SimulatedRay:
    """Machines with ``cores`` in all, on which each piece takes ``seconds``.

    Attributes:
        waiting, stored: pieces that waited for a core, and bytes of the files of all, at most.
        sizes: of all parcels.
    """

    exceptions = SimpleNamespace(RayError=RayError, RaySystemError=RaySystemError, RayTaskError=RayTaskError)

    def __init__(self, cores: int, store: float, seconds: float = 10.0) -> None:
        self.cores, self.store, self.seconds = cores, store, seconds
        self.now, self.count = 0.0, 0
        self.waiting = self.stored = 0
        self.sizes: list[int] = []
        self._queue: deque[int] = deque()
        self._busy: list[tuple[float, int]] = []
        self._parcels: dict[int, tuple[Sequence[Any], int]] = {}  # task → pieces, bytes
        self.answer: Callable[[Sequence[Any]], Any] = lambda pieces: (
            cluster._this_machine(), [Outcome(index) for index, _ in enumerate(pieces)], self.spent(pieces)
        )  # fmt: skip

    def spent(self, pieces: Sequence[Any]) -> float:
        return self.seconds * len(pieces)

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": "here", "Alive": True, "Resources": {"object_store_memory": self.store}}]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "here")

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cores)}

    def put(self, data: bytes) -> int:
        return len(data)

    def remote(self, function: Any) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._submit))

    def _submit(self, _: Any, pieces: Sequence[Any], paths: Sequence[Path], threads: int, *files: int) -> int:
        self.count += 1
        self._parcels[self.count] = (pieces, sum(files))
        self._queue.append(self.count)
        self.sizes.append(len(pieces))
        self._begin()
        self.waiting = max(self.waiting, sum(len(self._parcels[task][0]) for task in self._queue))
        self.stored = max(self.stored, sum(size for _, size in self._parcels.values()))
        return self.count

    def _begin(self) -> None:
        while self._queue and len(self._busy) < self.cores:
            task = self._queue.popleft()
            heapq.heappush(self._busy, (self.now + self.spent(self._parcels[task][0]), task))

    def wait(self, tasks: Iterable[int], *, timeout: float, **_: Any) -> tuple[list[int], list[int]]:
        if timeout and self._busy and min(self._busy)[0] > self.now:
            self.now = min(self._busy)[0]
        return [task for end, task in self._busy if end <= self.now], []

    def get(self, task: int) -> Any:
        self._busy = [each for each in self._busy if each[1] != task]
        heapq.heapify(self._busy)
        self._begin()
        return self.answer(self._parcels.pop(task)[0])

    def cancel(self, task: int, force: bool) -> None:
        pass


@dataclass(frozen=True)
class Reading:
    """A piece that reads a file."""

    file: Path | None = None
    label: str = ""
    cost: float = 1.0

    def is_done(self) -> bool:
        return False

    def inputs(self) -> Sequence[Path]:
        return [] if self.file is None else [self.file]

    def work(self, files: Files, report: Report) -> None:
        pass

    def keep(self, result: None) -> None:
        pass


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimulatedRay]:
    def simulate(**options: Any) -> SimulatedRay:
        machines = SimulatedRay(**options)
        monkeypatch.setitem(sys.modules, "ray", machines)
        return machines

    monkeypatch.setattr(parcels, "PARCELS_PER_SECOND", 2.0)  # so that 40 cores ask for two pieces at a time
    monkeypatch.setattr(Files, "read", lambda files, path: bytes(KB))
    return simulate


def run(pieces: Iterator[Reading]) -> list[Outcome]:
    return list(RayExecutor(None, Needs(), checked=True).run(pieces, lambda index, share: None))


@pytest.mark.parametrize(("cores", "largest"), [(3, 1), (40, 2), (200, 10)])
def test_no_more_pieces_wait_than_can_be_worked_on(
    simulated: Callable[..., SimulatedRay], cores: int, largest: int
) -> None:
    """Also where many go together, which then are fewer parcels."""
    ray, count = simulated(cores=cores, store=1e12), 50 * cores
    outcomes = run(Reading() for _ in range(count))
    assert sorted(outcome.index for outcome in outcomes) == list(range(count))
    assert max(ray.sizes) == largest
    assert ray.waiting <= cores + FEW * largest
    assert ray.now < 1.5 * 50 * ray.seconds, "and no core waits for long"


def test_files_that_wait_do_not_fill_the_store(
    simulated: Callable[..., SimulatedRay], tmp_path: Path
) -> None:
    """40 cores work on 80 files of 1 kB, two at a time, and 40 more wait; one store takes 30 kB of them."""
    files = [tmp_path / str(number) for number in range(1200)]
    ample = simulated(cores=40, store=1000 * KB)
    assert len(run(Reading(file) for file in files)) == 1200
    assert ample.stored == 120 * KB
    scarce = simulated(cores=40, store=60 * KB)
    assert len(run(Reading(file) for file in files)) == 1200
    assert scarce.stored <= 42 * KB, "as many as there are cores, as these are not to be idle"
    assert set(scarce.sizes) == {1}
    assert scarce.now <= ample.now * 1.1


def test_a_machine_with_other_versions_or_without_impasto_ends_the_run(
    simulated: Callable[..., SimulatedRay],
) -> None:
    ray = simulated(cores=2, store=1e9)
    other = replace(cluster._this_machine(), name="node7", torch="1.0")
    ray.answer = lambda pieces: (other, [], 0.0)
    with pytest.raises(
        PlaceError, match=r"^node7 of the cluster has PyTorch 1\.0, this machine .*; install the"
    ):
        run(Reading() for _ in range(4))

    ray = simulated(cores=2, store=1e9)

    def failing(pieces: Sequence[Any]) -> Any:
        raise RayTaskError("No module named 'impasto'")

    ray.answer = failing
    with pytest.raises(
        PlaceError, match="Impasto does not run on the cluster: No module named 'impasto'; inst"
    ):
        run(Reading() for _ in range(4))


def test_a_machine_with_other_versions_begins_nothing() -> None:
    here = cluster._this_machine()
    broken = [(0, Reading())]
    answer = cluster._work(replace(here, impasto="0.1"), [piece for _, piece in broken], [], 1)
    assert answer == (here, [], 0.0)
    same = cluster._work(replace(here, name="elsewhere"), [Reading()], [], 1)
    assert [outcome.error for outcome in same[1]] == [None]
