"""Peak memory and processor seconds of whole commands, as the system counts them when a process has ended.

Each command is run in turn, A B A B; medians are reported. With --base, an earlier checkout is measured too.

    python benchmarks/memory.py [--rounds N] [--base FOLDER] [--flags "--size 1024"]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
#: In a process of its own, so that this one stays small.
PICTURES = """
import sys
from impasto import pictures, samples
from impasto.pictures.geometry import resample
content, side = samples.photograph("chelsea"), int(sys.argv[3])
short = min(content.shape[-2:])
pictures.save(sys.argv[1], resample(content[..., :short, :short], (side, side)))
pictures.save(sys.argv[2], samples.painting("swirl"))
"""


class Usage(NamedTuple):
    """What a command took, from its start to its end."""

    peak: float  #: MB
    seconds: float
    user: float  #: processor seconds
    system: float


def measured(content: Path, style: Path, output: Path, flags: list[str], source: Path = ROOT) -> Usage:
    """Run ``impasto stylize`` of the checkout at ``source``.

    ``peak`` is at least the size of the process that calls this, because a child is its copy at first.
    """
    command = ["stylize", str(content), str(style), "--quiet", "-o", str(output), *flags]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto.cli", *command],
        env=os.environ | {"PYTHONPATH": str(source / "src")},
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"impasto ended with {process.returncode}")
    return Usage(usage.ru_maxrss * 1024e-6, seconds, usage.ru_utime, usage.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--side", type=int, default=512, help="of the content, in pixels")
    parser.add_argument("--flags", default="", help='of impasto stylize, such as "--preset instant"')
    options = parser.parse_args()
    sources = {"now": ROOT} if options.base is None else {"before": options.base.resolve(), "now": ROOT}
    rows: dict[str, list[Usage]] = {name: [] for name in sources}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content, style = folder / "content.png", folder / "style.png"
        subprocess.run(
            [sys.executable, "-c", PICTURES, str(content), str(style), str(options.side)], check=True
        )
        for _ in range(options.rounds):
            for way, source in sources.items():
                rows[way].append(measured(content, style, folder / "out.png", options.flags.split(), source))
                print(way, *(f"{value:.2f}" for value in rows[way][-1]), file=sys.stderr, flush=True)
    print("| command | peak MB: median | min | max | s | user s | system s |\n|---|---|---|---|---|---|---|")
    for way, found in rows.items():
        peak, *times = zip(*found, strict=True)
        cells = [f"{value:.0f}" for value in (statistics.median(peak), min(peak), max(peak))]
        cells += [f"{statistics.median(values):.2f}" for values in times]
        print(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
