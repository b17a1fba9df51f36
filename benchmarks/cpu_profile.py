"""Run a module as ``python -m`` does, and sample where the main thread's processor time goes.

    python benchmarks/cpu_profile.py STACKS.txt impasto.cli studio --no-open

Samples are taken after each few milliseconds of processor time, not of time on the clock: so they mean the
same on a machine that others use. Writes a line for each stack, outermost function first, with its number of
samples: what flame graph programs read.
"""

from __future__ import annotations

import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

SECONDS = 0.005  # of processor time between two samples
OTHERS = "other threads"


class Samples:
    """Counts of the main thread's stacks."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._seen = time.thread_time()

    def __call__(self, _: int, frame: FrameType | None) -> None:
        """Take a sample: the timer counts all threads, and the main one may have done nothing since."""
        used = time.thread_time()
        if used - self._seen < SECONDS / 2:
            self.counts[OTHERS] += 1
            return
        self._seen, names = used, []
        while frame is not None:
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)
            names.append(f"{frame.f_globals.get('__name__', '?')}:{name}")
            frame = frame.f_back
        self.counts[";".join(reversed(names))] += 1


def shares(stacks: str, prefixes: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """What share of all samples belongs to each group of modules; the innermost that is in a group decides.

    Args:
        stacks: what this program has written.
        prefixes: beginnings of the names of each group's functions.
    """
    found: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        names = reversed(stack.split(";"))
        group = next((g for name in names for g, begin in prefixes.items() if name.startswith(begin)), "rest")
        found[OTHERS if stack == OTHERS else group] += int(count)
    return {group: count / found.total() for group, count in found.most_common()}


def main() -> None:
    path, module = Path(sys.argv[1]), sys.argv[2]
    samples = Samples()
    # uvicorn ends with the signal that it was ended with, which would leave nothing written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGPROF, samples)
    signal.setitimer(signal.ITIMER_PROF, SECONDS, SECONDS)
    sys.argv = sys.argv[2:]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        lines = [f"{stack} {count}\n" for stack, count in samples.counts.most_common()]
        path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
