"""`make bench-compare`: fails when Impasto has become slower against what it is measured with.

Only ratios are compared, each of two programs that were timed in turn in one run: they hardly depend on the
machine and what else it does, as seconds do.

    python benchmarks/compare.py BASE NEW      BASE: a results.json, or a git revision that has one
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: A ratio may fall by this share before it counts as slower.
TOLERANCE = 0.10
TUTORIAL = "tutorial, VGG-19 float32"
RESULTS = "benchmarks/results/results.json"


def ratios(results: Mapping[str, Any]) -> dict[str, float]:
    """Name → times faster than what it was timed in turn with, or share of the machine's limit."""
    seconds = {name: row["median"] for name, row in results["evaluations"]["seconds"].items()}
    reference = seconds[TUTORIAL]
    found = {f"evaluation, {name}": reference / s for name, s in seconds.items() if name != TUTORIAL}
    found["share of a matrix product"] = results["limit"]["share"]
    for name, row in results["presets"].items():
        found[f"preset {name}"] = 500 * reference / row["seconds"]["median"]
    equal = results.get("equal_loss", {})
    for name, row in equal.items():
        if isinstance(row, dict) and row["reached"]:
            found[f"to the tutorial's loss, {name}"] = equal["tutorial"] / row["seconds"]
    return found


def table(base: Mapping[str, float], new: Mapping[str, float]) -> tuple[str, list[str]]:
    """(a table of the ratios that both have, the names of those that have fallen too far)."""
    lines, slower = [f"{'':44}{'before':>8}{'now':>8}{'change':>8}"], []
    for name in (name for name in base if name in new):
        change = new[name] / base[name] - 1.0
        lines.append(f"{name:44}{base[name]:8.2f}{new[name]:8.2f}{change:+8.0%}")
        if change <= -TOLERANCE:
            slower.append(name)
    return "\n".join(lines), slower


def read(source: str) -> dict[str, Any]:
    """Results from a file, or from a git revision of this repository."""
    if Path(source).is_file():
        text = Path(source).read_text(encoding="utf-8")
    else:
        command = ["git", "show", f"{source}:{RESULTS}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"compare: {source!r} is neither a file nor a revision with {RESULTS}")
        text = done.stdout
    results: dict[str, Any] = json.loads(text)
    return results


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 2:
        raise SystemExit("usage: compare.py BASE NEW")
    base, new = (ratios(read(word)) for word in words)
    text, slower = table(base, new)
    print(text)
    if slower:
        print(f"slower by {TOLERANCE:.0%} or more: {'; '.join(slower)}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
