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
from pathlib import Path

#: In a process of its own: the peak of a child is at least the size of the process that starts it.
PICTURES = """
import sys
from impasto import pictures, samples
from impasto.pictures.geometry import resample
content, side = samples.photograph("chelsea"), int(sys.argv[3])
short = min(content.shape[-2:])
pictures.save(sys.argv[1], resample(content[..., :short, :short], (side, side)))
pictures.save(sys.argv[2], samples.painting("swirl"))
"""


def measured(source: Path, folder: Path, flags: list[str]) -> tuple[float, float, float]:
    """Peak in MB, and processor seconds of the user and of the system, of ``impasto stylize``."""
    command = ["stylize", str(folder / "content.png"), str(folder / "style.png"), "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto.cli", *command, "-o", str(folder / "out.png"), *flags],
        env=os.environ | {"PYTHONPATH": str(source / "src")},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"impasto ended with {process.returncode}")
    return usage.ru_maxrss * 1024e-6, usage.ru_utime, usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--side", type=int, default=512, help="of the content, in pixels")
    parser.add_argument("--flags", default="", help='of impasto stylize, such as "--preset instant"')
    options = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    sources = {"now": here} if options.base is None else {"before": options.base.resolve(), "now": here}
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sources}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [str(folder / "content.png"), str(folder / "style.png"), str(options.side)]
        subprocess.run([sys.executable, "-c", PICTURES, *words], check=True)
        for _ in range(options.rounds):
            for way, source in sources.items():
                rows[way].append(measured(source, folder, options.flags.split()))
                print(way, *(f"{value:.2f}" for value in rows[way][-1]), file=sys.stderr, flush=True)
    print("| command | peak MB: median | min | max | user s | system s |\n|---|---|---|---|---|---|")
    for way, found in rows.items():
        peak, user, system = zip(*found, strict=True)
        middle = [statistics.median(values) for values in (user, system)]
        print(
            f"| {way} | {statistics.median(peak):.0f} | {min(peak):.0f} | {max(peak):.0f} "
            f"| {middle[0]:.2f} | {middle[1]:.2f} |"
        )


if __name__ == "__main__":
    main()
