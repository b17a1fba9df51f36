"""Blind comparison of paintings: sheets for judges, win rates, and which measures agree with the judges.

    python benchmarks/preference.py sheets OUT --program fast=FOLDER --program fine=FOLDER …
    python benchmarks/preference.py rates OUT/key.json judgements.csv
    python benchmarks/preference.py measures OUT/key.json --contents FOLDER --styles FOLDER \\
        --program fast=FOLDER … --output measures.csv
    python benchmarks/preference.py agreement OUT/key.json judgements.csv measures.csv

A program has a folder with a picture for each pair, ``CONTENT--STYLE.png``; pairs that all have are used.
Each pair becomes one sheet with a letter over every picture, in an order drawn anew for every pair;
``key.json`` says which is which, and no judge may see it. A judge, who knows neither the programs nor the
project, ranks the letters of each sheet from best to worst with one reason: a line
``pair,judge,ranking,reason`` of a CSV file, as ``cat--wave,j1,BAC,"clean sky"``.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import string
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from looks import measure
from PIL import Image, ImageDraw
from scipy import stats

from impasto import pictures
from impasto.files import write_atomically

Key = dict[str, dict[str, str]]
#: pair, judge, programs from best to worst.
Ranking = tuple[str, str, list[str]]


def make_sheets(out: Path, programs: dict[str, Path], seed: int, side: int) -> Key:
    """A PNG sheet for each pair in ``out``, and ``key.json``: pair → letter → program."""
    names = [{path.stem for path in folder.glob("*--*.png")} for folder in programs.values()]
    pairs = sorted(set.intersection(*names))
    if not pairs:
        raise SystemExit("no pair CONTENT--STYLE.png is in every program's folder")
    out.mkdir(parents=True, exist_ok=True)
    generator, key = random.Random(seed), Key()
    for pair in pairs:
        order = generator.sample(sorted(programs), len(programs))
        key[pair] = dict(zip(string.ascii_uppercase, order, strict=False))
        images = [Image.open(programs[name] / f"{pair}.png").convert("RGB") for name in order]
        sheet(images, side).save(out / f"{pair}.png")
    write_atomically(out / "key.json", json.dumps(key, indent=1))
    return key


def sheet(images: Sequence[Image.Image], side: int) -> Image.Image:
    """Pictures beside each other, in rows of three, each under its letter."""
    small = [image.resize(_scaled(image.size, side), Image.Resampling.LANCZOS) for image in images]
    width, height = (max(image.size[k] for image in small) + 12 for k in (0, 1))
    columns = min(3, len(small))
    rows = -(-len(small) // columns)
    page = Image.new("RGB", (columns * width, rows * (height + 22)), "white")
    draw = ImageDraw.Draw(page)
    for index, image in enumerate(small):
        x, y = index % columns * width, index // columns * (height + 22)
        draw.text((x + 6, y + 4), string.ascii_uppercase[index], fill="black", font_size=16)
        page.paste(image, (x + 6, y + 22))
    return page


def _scaled(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def read_rankings(file: Path, key: Key) -> list[Ranking]:
    """Judgements with letters replaced by programs; exits if a line does not rank each letter once."""
    rankings = []
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            letters = [letter for letter in row["ranking"].upper() if letter.isalpha()]
            if sorted(letters) != sorted(key.get(row["pair"], {})):
                place = f"{file}: {row['pair']}, {row['judge']}"
                raise SystemExit(f"{place}: {row['ranking']!r} does not rank each letter once")
            rankings.append((row["pair"], row["judge"], [key[row["pair"]][letter] for letter in letters]))
    return rankings


def win_rates(rankings: Iterable[Ranking]) -> dict[tuple[str, str], tuple[int, int]]:
    """(program, other) → (times preferred, times compared)."""
    wins: dict[tuple[str, str], tuple[int, int]] = {}
    for _, _, order in rankings:
        for better, worse in itertools.combinations(order, 2):
            for programs, won in (((better, worse), 1), ((worse, better), 0)):
                count, total = wins.get(programs, (0, 0))
                wins[programs] = (count + won, total + 1)
    return wins


def interval(wins: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's confidence interval of a rate."""
    result = stats.binomtest(wins, total).proportion_ci(level, method="wilson")
    return float(result.low), float(result.high)


def agreement(rankings: Sequence[Ranking], values: dict[tuple[str, str], float]) -> tuple[float, int]:
    """How often the picture with the higher value was preferred, and in how many comparisons.

    Pairs with equal values are not counted. 1: a higher value is always preferred, 0: never, 0.5: the measure
    says nothing.
    """
    agreed = total = 0
    for pair, _, order in rankings:
        for better, worse in itertools.combinations(order, 2):
            difference = values[pair, better] - values[pair, worse]
            if difference:
                agreed, total = agreed + (difference > 0), total + 1
    return (agreed / total if total else 0.5), total


def measure_all(key: Key, programs: dict[str, Path], contents: Path, styles: Path) -> list[dict[str, object]]:
    """One row for each picture, with its pair, its program and all measures."""
    rows: list[dict[str, object]] = []
    for pair, letters in key.items():
        content, style = (
            pictures.load(_picture(folder, name)).pixels
            for folder, name in zip((contents, styles), pair.split("--"), strict=True)
        )
        for program in sorted(letters.values()):
            painting = pictures.load(programs[program] / f"{pair}.png").pixels
            rows.append({"pair": pair, "program": program} | measure(painting, content, style))
    return rows


def _picture(folder: Path, name: str) -> Path:
    files = sorted(path for path in folder.glob(f"{name}.*") if path.suffix in pictures.READABLE_SUFFIXES)
    if not files:
        raise SystemExit(f"no picture called {name!r} in {folder}")
    return files[0]


def _programs(texts: Sequence[str]) -> dict[str, Path]:
    return {name: Path(folder) for name, _, folder in (text.partition("=") for text in texts)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("sheets", "rates", "measures", "agreement"):
        command = commands.add_parser(name)
        command.add_argument("place", type=Path, help="folder for the sheets; otherwise key.json")
        if name in ("sheets", "measures"):
            command.add_argument("--program", action="append", required=True, help="NAME=FOLDER")
        if name in ("rates", "agreement"):
            command.add_argument("judgements", type=Path)
    commands.choices["sheets"].add_argument("--seed", type=int, default=0)
    commands.choices["sheets"].add_argument("--side", type=int, default=512, help="long side of each picture")
    for flag in ("--contents", "--styles", "--output"):
        commands.choices["measures"].add_argument(flag, type=Path, required=True)
    commands.choices["agreement"].add_argument("measures", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "sheets":
        key = make_sheets(options.place, _programs(options.program), options.seed, options.side)
        print(f"{len(key)} sheets in {options.place}; keep key.json from the judges")
        return 0
    key = json.loads(options.place.read_text(encoding="utf-8"))
    if options.command == "measures":
        rows = measure_all(key, _programs(options.program), options.contents, options.styles)
        with options.output.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return 0
    rankings = read_rankings(options.judgements, key)
    (print_rates if options.command == "rates" else print_agreement)(rankings, options)
    return 0


def print_rates(rankings: list[Ranking], options: argparse.Namespace) -> None:
    for (program, other), (wins, total) in sorted(win_rates(rankings).items()):
        low, high = interval(wins, total)
        rate = f"{wins / total:.0%} ({low:.0%} to {high:.0%})"
        print(f"{program:16} over {other:16} {wins:3} of {total:3}  {rate}")


def print_agreement(rankings: list[Ranking], options: argparse.Namespace) -> None:
    with options.measures.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for name in (column for column in rows[0] if column not in ("pair", "program")):
        values = {(row["pair"], row["program"]): float(row[name]) for row in rows}
        share, total = agreement(rankings, values)
        low, high = interval(round(share * total), max(total, 1))
        verdict = "agrees" if low > 0.5 else "agrees, lower is better" if high < 0.5 else "says nothing"
        print(f"{name:20} {share:.0%} of {total} ({low:.0%} to {high:.0%}): {verdict}")


if __name__ == "__main__":
    sys.exit(main())
