"""Seconds from Enter to the first preview in the output file, and to a finished instant picture.

Each way to start is measured in turn, A B A B; medians are reported, and the processor seconds of the process
that paints, up to then. With --base, an earlier checkout is measured too.

    python benchmarks/start.py [--rounds N] [--base FOLDER]
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from impasto import pictures, samples

PREVIEW = ("--preview-every", "5")
INSTANT = ("--preset", "instant")


def start(source: Path, folder: Path, flags: tuple[str, ...]) -> tuple[float, float]:
    """(seconds, processor seconds) until the output file is there; then the command is stopped."""
    output = folder / "out.png"
    output.unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": str(source / "src"), "XDG_RUNTIME_DIR": str(folder)}
    command = ["stylize", str(folder / "content.png"), str(folder / "style.png"), "-o", str(output)]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto.cli", *command, *flags],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not output.exists() and process.poll() is None:
        time.sleep(0.002)
    seconds = time.perf_counter() - begin
    used = processor_seconds(process.pid, folder) if process.poll() is None else float("nan")
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.wait()
    return seconds, used


def processor_seconds(command: int, folder: Path) -> float:
    """Those of a command, and of what the helper of --warm runs for it."""
    processes = [psutil.Process(command)]
    helpers = [p for p in psutil.process_iter(["cmdline"]) if _is_helper(p, folder)]
    for process in helpers:
        processes += process.children()
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _is_helper(process: psutil.Process, folder: Path) -> bool:
    words = process.info["cmdline"] or []
    return any("impasto.cli.helper" in word for word in words) and any(str(folder) in w for w in words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--base", type=Path)
    options = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    ways = {"cold": (here, ()), "--warm": (here, ("--warm",))}
    if options.base:
        ways = {"before": (options.base.resolve(), ()), **ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures.save(folder / "content.png", samples.photograph("chelsea"))
        pictures.save(folder / "style.png", samples.painting("swirl"))
        rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for round_ in range(options.rounds + 1):
            for goal, flags in (("first preview", PREVIEW), ("instant picture", INSTANT)):
                for way, (source, more) in ways.items():
                    measured = start(source, folder, (*flags, *more))
                    if round_:  # the first round reads files from the disk and starts the helper
                        rows.setdefault((goal, way), []).append(measured)
        for process in psutil.process_iter(["cmdline"]):
            if _is_helper(process, folder):
                process.terminate()
    print("| until | start | median s | min | processor s |\n|---|---|---|---|---|")
    for (goal, way), measured in rows.items():
        seconds = [row[0] for row in measured]
        used = statistics.median(row[1] for row in measured)
        print(f"| {goal} | {way} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {used:.2f} |")


if __name__ == "__main__":
    main()
