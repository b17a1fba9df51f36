"""What running a piece costs beside its own work: trivial pieces here, on processes and on Ray.

python benchmarks/pieces.py --pieces 2000 --on here processes ray
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.pieces.cluster import RayExecutor
from impasto.pieces.local import LocalExecutor
from impasto.pieces.piece import Executor, Files, Needs, Report
from impasto.pieces.running import run_pieces


@dataclass(frozen=True)
class Trivial:
    """A piece that does nothing."""

    number: int
    cost: float = 1.0

    @property
    def label(self) -> str:
        return str(self.number)

    def is_done(self) -> bool:
        return False

    def inputs(self) -> Sequence[Path]:
        return ()

    def work(self, files: Files, report: Report) -> int:
        return self.number

    def keep(self, result: int) -> None:
        pass


EXECUTORS: dict[str, Executor] = {
    "here": LocalExecutor(1, 1),
    "processes": LocalExecutor(2, 1),
    "ray": RayExecutor(None, Needs()),
}


def pieces(count: int, streamed: bool) -> Sequence[Trivial] | Iterator[Trivial]:
    made = (Trivial(number) for number in range(count))
    return made if streamed else list(made)


def measure(on: str, count: int, streamed: bool) -> None:
    begin, cpu = time.perf_counter(), time.process_time()
    first = 0.0
    for done, _ in enumerate(run_pieces(pieces(count, streamed), EXECUTORS[on])):
        if done == 99:  # processes have started
            first, cpu = time.perf_counter() - begin, time.process_time()
    wall, cpu = time.perf_counter() - begin - first, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = 1e3 / (count - 100)
    print(
        f"{on:9} {count} pieces: {wall * each:.3f} ms each on the wall, {cpu * each:.3f} ms of CPU time of "
        f"this process; {first:.1f} s until the hundredth; at most {peak:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pieces", type=int, default=2000)
    parser.add_argument("--on", nargs="+", choices=EXECUTORS, default=["here"])
    parser.add_argument("--streamed", action="store_true", help="hand the pieces out one by one")
    arguments = parser.parse_args()
    for on in arguments.on:
        measure(on, arguments.pieces, arguments.streamed)


if __name__ == "__main__":
    main()
