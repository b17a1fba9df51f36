"""Which student is best for its price, and how the embedded one compares with its teacher.

python benchmarks/encoders.py WHAT --teacher VGG19 [--upper SMALL] --data TRAIN …
variants    widths and pooling, each as its closed-form start, judged on painted pairs
embedded    the embedded encoder against painting with the teacher itself: scores and a sheet
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from impasto import images
from impasto.encoders import CENTRED, Encoder, load_encoder
from impasto.machine import choose_dtype
from impasto.objective import Objective, StyleSource
from impasto.planning import keep_memory
from impasto.recipe import Recipe
from impasto.scales import fit, resample
from impasto.training.data import Crops
from impasto.training.report import TeacherEncoder, judge, paint
from impasto.training.student import WIDTHS, Student, export, fit_to_teacher
from impasto.training.teacher import TARGETS, Teacher
from impasto.weights import read_state

PAIRS = (
    ("tubingen_neckarfront", "van_gogh_starry_night_1889"),
    ("golden_gate_bridge_day", "munch_scream_1893"),
    ("portrait_blonde_girl", "picasso_seated_nude_1909"),
    ("lion_savanna", "leger_contrast_of_forms_1913"),
    ("cat_kitten", "antique_mosaic_ducks"),
    ("taj_mahal", "monet_water_lilies_1919"),
    ("chicago_skyline", "seurat_grande_jatte_1886"),
    ("venice_canal", "picabia_udnie_1913"),
)


def widths(*blocks: tuple[int, ...]) -> dict[str, int]:
    return dict(zip(WIDTHS, (width for block in blocks for width in block), strict=True))


VARIANTS: dict[str, tuple[dict[str, int], str]] = {
    "embedded's": (WIDTHS, "average"),
    "max pooling": (WIDTHS, "max"),
    "a sixteenth: 16 32 64 128 128": (
        widths((16, 16), (32, 32), (64,) * 4, (128,) * 4, (128,)),
        "average",
    ),
    "wide middle: 16 32, 64, 96, 128": (widths((16, 32), (64, 64), (96,) * 4, (128,) * 4, (128,)), "average"),
    "wide top: 192 in blocks 4 and 5": (
        widths((16, 32), (48, 48), (96, 96, 64, 64), (192,) * 4, (192,)),
        "average",
    ),
    "wide first layer: 32 32": (
        widths((32, 32), (48, 48), (96, 96, 64, 64), (128,) * 4, (128,)),
        "average",
    ),
}


def load_pairs(contents: Path, styles: Path, count: int) -> list[tuple[Tensor, Tensor]]:
    return [
        (images.load(contents / f"{c}.jpg").pixels, images.load(styles / f"{s}.jpg").pixels)
        for c, s in PAIRS[:count]
    ]


def seconds_at_512(encoder: Encoder) -> float:
    """Median of five evaluations, forward and backward, five style layers and relu3_2."""
    image = torch.rand(1, 3, 512, 512)
    objective = Objective(encoder, Recipe(), image, [StyleSource(image.flip(-1))])
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        objective.evaluate(1 - image)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


@torch.no_grad()
def explained(student: Student, teacher: Teacher, held: Tensor) -> dict[str, float]:
    own, targets, found = student.features(held), teacher(held), {}
    for layer in TARGETS:
        t = targets[layer]
        error = (student.heads[layer](own[layer]) - t).square().sum()
        found[layer] = 1 - float(error / (t - t.mean((0, 2, 3), keepdim=True)).square().sum())
    return found


def variants(given: argparse.Namespace, teacher: Teacher, pairs: list[tuple[Tensor, Tensor]]) -> list[Any]:
    crops = [Crops(given.data / name, limit=600) for name in ("photos", "paintings")]
    held = [Crops(given.data / name, held_out=True) for name in ("photos", "paintings")]
    rng = np.random.default_rng(7)
    start = torch.cat([c.draw(given.crops // 2, 128, rng) for c in crops])
    unseen = torch.cat([c.draw(16, 128, rng) for c in held])
    teacher.calibrate(start[::4])
    rows = []
    for name, (chosen, pooling) in VARIANTS.items():
        torch.manual_seed(0)
        student = Student(teacher.channels, chosen, pooling)
        fit_to_teacher(student, teacher, start)
        state = export(student)
        encoder = Encoder({k: v.float() for k, v in state.items()}, CENTRED, pooling=pooling)
        encoder.compute_in(choose_dtype("auto", torch.device("cpu")))
        painted = paint(encoder, pairs, Recipe(size=256, iterations=(80, 60)))
        scores = [judge(teacher, p, c, s).mean for p, (c, s) in zip(painted, pairs, strict=True)]
        rows.append(
            {
                "variant": name,
                "explained": explained(student, teacher, unseen),
                "style_rel": scores,
                "mean": statistics.mean(scores),
                "seconds_512": seconds_at_512(encoder),
                "megabytes": sum(2 * v.numel() for v in state.values()) / 1e6,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def embedded(given: argparse.Namespace, teacher: Teacher, pairs: list[tuple[Tensor, Tensor]]) -> list[Any]:
    """Equal steps with the teacher and with `compact`; the sheet has the teacher's pictures above."""
    best = choose_dtype("auto", torch.device("cpu"))
    recipe = Recipe(size=given.size)
    compact = load_encoder("compact", dtype=best)
    slow = TeacherEncoder(teacher, dict(read_state(given.teacher))).eval()
    teacher.lower.compute_in(best)
    rows, sheet = [], []
    for names, pair in zip(PAIRS, pairs, strict=False):
        pictures, row = [], {"pair": " × ".join(names)}
        for name, encoder in (("teacher", slow), ("compact", compact)):
            begin = time.perf_counter()
            (picture,) = paint(encoder, [pair], recipe)
            seconds = time.perf_counter() - begin
            score = judge(teacher, picture, *pair)
            row[name] = {
                "style_rel": score.mean,
                "levels": score.style_rel,
                "content": score.content,
                "seconds": seconds,
            }
            pictures.append(picture)
        rows.append(row)
        print(json.dumps(row), flush=True)
        sheet.append(torch.cat([_cell(p) for p in pictures], 2))
        images.save(given.out / "sheet.png", torch.cat(sheet, 3))
    return rows


def _cell(picture: Tensor, side: int = 320) -> Tensor:
    """A picture within a white square."""
    cell = torch.ones(1, 3, side, side)
    height, width = fit(picture.shape[-2], picture.shape[-1], side)
    cell[..., :height, :width] = resample(picture, (height, width))
    return cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("variants", "embedded"))
    for name in ("teacher", "data", "contents", "styles", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--upper", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=8, help="pairs")
    parser.add_argument("--crops", type=int, default=256)
    given = parser.parse_args()
    keep_memory()
    given.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher.from_files(given.teacher, given.upper)
    pairs = load_pairs(given.contents, given.styles, given.count)
    rows = {"variants": variants, "embedded": embedded}[given.what](given, teacher, pairs)
    (given.out / f"{given.what}.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
