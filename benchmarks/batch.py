"""What a batch takes beside its engine: processor seconds of both, by turns, everything loaded.

python benchmarks/batch.py photos/ --style wave.jpg --size 512 --rounds 3
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from impasto import api, pictures
from impasto.batch import run_batch
from impasto.batch.painting import loaded_encoder
from impasto.pieces.piece import Files
from impasto.recipe import PRESETS, Recipe, preset


def processor_seconds(work: Callable[[], object]) -> float:
    """Of all threads of this process."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def engine_alone(runs: list[api.PreparedRun]) -> None:
    """Paint what is loaded, and keep nothing."""
    for run in runs:
        api.run(run)


def batch(contents: list[Path], style: Path, recipe: Recipe, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_batch(contents, [style], Path(folder, "out"), recipe, name=name)
        assert outcome.painted == len(contents), dict(outcome.failures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--preset", choices=PRESETS, default="fast")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--format", default="png")
    arguments = parser.parse_args()
    recipe = preset(arguments.preset).replace(size=arguments.size)
    contents = sorted(
        path for path in arguments.folder.iterdir() if path.suffix.lower() in pictures.READABLE_SUFFIXES
    )[: arguments.pictures]
    encoder = loaded_encoder(recipe, Files(), "auto")
    runs = [api.prepare(path, arguments.style, recipe, encoder=encoder) for path in contents]
    name = f"{{content}}.{arguments.format}"
    api.run(runs[0])  # what is made once, such as code for this size
    ratios = []
    for _ in range(arguments.rounds):
        alone = processor_seconds(lambda: engine_alone(runs))
        together = processor_seconds(lambda: batch(contents, arguments.style, recipe, name))
        ratios.append(together / alone)
        each = 1e3 * (together - alone) / len(runs)
        share = 100 * (ratios[-1] - 1)
        print(f"{alone:.2f} s alone, {together:.2f} s as a batch: {share:+.1f} %, {each:+.0f} ms a picture")
    print(f"median {100 * (median(ratios) - 1):+.1f} %")


if __name__ == "__main__":
    main()
