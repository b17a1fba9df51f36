"""Which student gives the best pictures for its cost, and how the embedded one compares with its teacher.

    python benchmarks/encoders.py {variants,embedded} --teacher VGG19 [--upper SMALL] --data TRAIN …

variants: trains students of other shapes, or in other ways, for a while, and judges what they paint.
embedded: paints with the embedded encoder and with the teacher itself; writes scores and a sheet.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import pictures
from impasto.losses.build import objective_of
from impasto.machine import choose_dtype, keep_memory
from impasto.networks.encoder import CENTRED, Encoder, Features
from impasto.networks.layers import block_of
from impasto.networks.registry import load_encoder
from impasto.networks.weights import read_state
from impasto.pictures.geometry import fit, resample
from impasto.recipe import Recipe
from impasto.scene import Scene, Style
from impasto.training.data import Crops
from impasto.training.distil import Trainer, TrainingPlan
from impasto.training.policy import Canvases
from impasto.training.report import TeacherEncoder, judge, paint
from impasto.training.student import WIDTHS, Student, export
from impasto.training.teacher import Teacher

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


#: The student that the variants change: the default before its silent channels were discovered.
BLOCKS = ((16, 32), (48, 48), (96, 96, 64, 64), (128,) * 4, (128,))
BASE = widths(*BLOCKS)
SHALLOW = tuple(name for name in BASE if name not in ("conv3_3", "conv3_4", "conv4_3", "conv4_4"))
EARLY = tuple(name for name in BASE if name != "conv1_2")


class Leaky(Student):
    """A student with leaky ReLU of slope 0.1."""

    activation = staticmethod(lambda x: F.leaky_relu(x, 0.1))


class Silu(Student):
    """A student with SiLU, which is smooth everywhere."""

    activation = staticmethod(F.silu)


class ZeroPadded(Student):
    """A student that pads with zeros, as VGG-19 was trained."""

    padding = "constant"


@dataclass(frozen=True)
class Variant:
    """One change to the base or to how it is trained.

    Attributes:
        widths: layer → channels.
        plan: fields of ``TrainingPlan`` that differ.
        closed_form: start from weights fitted in closed form, not from random ones.
        steps: factor of the training steps, so that all variants train for about the same time.
    """

    widths: dict[str, int] = field(default_factory=lambda: BASE)
    student: type[Student] = Student
    plan: dict[str, Any] = field(default_factory=dict)
    closed_form: bool = True
    steps: float = 1.0


VARIANTS: dict[str, Variant] = {
    "base: 16 32, 48 48, 96 96 64 64, 128": Variant(),
    "embedded's: 64 in block 2, 80 80 64 128, 112": Variant(WIDTHS),
    "wide conv5_1: 256": Variant(widths(*BLOCKS[:4], (256,))),
    "shallow: two convolutions in blocks 3 and 4": Variant({name: BASE[name] for name in SHALLOW}),
    "pooled early: no conv1_2, 64 64 in block 2": Variant(
        {name: 64 if block_of(name) == 2 else BASE[name] for name in EARLY}
    ),
    "max pooling": Variant(plan={"pooling": "max"}),
    "leaky ReLU, 0.1": Variant(student=Leaky),
    "padded with zeros": Variant(student=ZeroPadded),
    "a random start": Variant(closed_form=False),
    "the gradient as a term, equal time": Variant(plan={"gradient_weight": 0.3}, steps=0.5),
    "crops of 256, a third as many, equal time": Variant(
        plan={"size": 256, "crops": 2, "canvases": 2, "buffer": 8}, steps=0.6
    ),
    "a sixteenth: 16 32 64 128 128": Variant(
        widths((16, 16), (32, 32), (64,) * 4, (128,) * 4, (128,)),
    ),
    "wide middle: 64 in block 2, 96 in block 3": Variant(
        widths((16, 32), (64, 64), (96,) * 4, (128,) * 4, (128,))
    ),
    "wide top: 192 192 128 128, 256": Variant(
        widths(*BLOCKS[:3], (192, 192, 128, 128), (256,)),
    ),
    "wide first layer: 32 32": Variant(widths((32, 32), *BLOCKS[1:])),
    "SiLU": Variant(student=Silu),
}


class StudentEncoder(Encoder):
    """A student with its heads as an encoder, for activations that :class:`Encoder` does not have."""

    def __init__(self, student: Student) -> None:
        super().__init__(export(student), CENTRED, pooling=student.pooling)
        self.student = student.requires_grad_(False)

    def forward(self, image: Tensor, layers: Iterable[str], *, padding: str | None = None) -> Features:
        del padding
        with torch.autocast(image.device.type, torch.bfloat16):
            features = self.student.features(image)
        return Features({layer: self.student.heads[layer](features[layer].float()) for layer in layers})


def load_pairs(contents: Path, styles: Path, count: int) -> list[tuple[Tensor, Tensor]]:
    return [
        (pictures.load(contents / f"{c}.jpg").pixels, pictures.load(styles / f"{s}.jpg").pixels)
        for c, s in PAIRS[:count]
    ]


def seconds_at_512(encoder: Encoder) -> float:
    """Median of five evaluations, forward and backward, five style layers and relu3_2."""
    image = torch.rand(1, 3, 512, 512)
    scene = Scene(image, (Style(image.flip(-1)),)).at((512, 512), 0, image.device)
    objective = objective_of(encoder, scene, Recipe())
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        objective.evaluate(1 - image)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def gradient_similarity(student: Student, teacher: Teacher, canvases: Canvases) -> float:
    """Mean cosine between the student's and the teacher's gradients on canvases at their start."""
    index, canvas = canvases.take(len(canvases.slots))
    canvas.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        features = student.features(canvas)
    (gradient,) = torch.autograd.grad(canvases.loss(student, features, index), canvas)
    target = canvases.teacher_gradient(teacher, canvas, index)
    return float(F.cosine_similarity(gradient.flatten(1), target.flatten(1)).mean())


def variants(options: argparse.Namespace, teacher: Teacher, pairs: list[tuple[Tensor, Tensor]]) -> list[Any]:
    """Train every variant for ``--steps`` times its factor, and let the teacher judge its pictures."""
    train = [Crops(options.data / name) for name in ("photos", "paintings")]
    held_out = [Crops(options.data / name, held_out=True) for name in ("photos", "paintings")]
    unseen = torch.cat([c.draw(24, 192, np.random.default_rng(99)) for c in held_out])
    best = choose_dtype("auto", torch.device("cpu"))
    rows = []
    for name, variant in VARIANTS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        calibrated, begin = copy.deepcopy(teacher), time.process_time()
        plan = TrainingPlan(
            **{"crops": 4, "canvases": 4, "buffer": 16, "start": options.crops, "lr": 4e-4} | variant.plan
        )
        trainer = Trainer(
            calibrated, *train, unseen, plan, variant.widths, fit=variant.closed_form, student=variant.student
        )
        if not variant.closed_form:
            calibrated.calibrate(train[0].draw(16, 128, np.random.default_rng(0)))
        steps = round(options.steps * variant.steps)
        for step in range(steps):
            trainer.step(plan.lr * min(1.0, (step + 1) / 20, 2 * (1 - step / steps)))
        seconds = time.process_time() - begin
        trainer.student.load_state_dict(trainer.mean_state)
        state = export(trainer.student)
        encoder = (
            StudentEncoder(trainer.student)
            if variant.student in (Leaky, Silu)
            else Encoder({k: v.float() for k, v in state.items()}, CENTRED, pooling=plan.pooling)
        )
        encoder.compute_in(best)
        painted = paint(encoder, pairs, Recipe(size=256, iterations=(80, 60), tolerance=0.0))
        scores = [judge(teacher, p, c, s) for p, (c, s) in zip(painted, pairs, strict=True)]
        rows.append(
            {
                "variant": name,
                "explained": trainer.explained(),
                "gradient": gradient_similarity(trainer.student, calibrated, Canvases(*held_out, 24, 128, 5)),
                "style_rel": statistics.mean(s.mean for s in scores),
                "worst": max(s.mean for s in scores),
                "content": statistics.mean(s.content for s in scores),
                "seconds_512": None if type(encoder) is not Encoder else seconds_at_512(encoder),
                "megabytes": sum(2 * v.numel() for v in state.values()) / 1e6,
                "steps": steps,
                "training_seconds": seconds,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def embedded(options: argparse.Namespace, teacher: Teacher, pairs: list[tuple[Tensor, Tensor]]) -> list[Any]:
    """Paint with the teacher, with `compact`, and with `compact` and more content weight, for equal steps.

    The sheet has one row for each of them, in this order.
    """
    best = choose_dtype("auto", torch.device("cpu"))
    recipe = Recipe(size=options.size, tolerance=0.0)
    compact = load_encoder("compact", dtype=best)
    full = TeacherEncoder(teacher, dict(read_state(options.teacher))).eval()
    teacher.lower.compute_in(best)
    rows, sheet = [], []
    for names, pair in zip(PAIRS, pairs, strict=False):
        painted, row = [], {"pair": " × ".join(names)}
        for name, encoder, weight in (
            ("teacher", full, recipe.content_weight),
            ("compact", compact, recipe.content_weight),
            ("compact, content weight 0.2", compact, 0.2),
        ):
            begin = time.perf_counter()
            (picture,) = paint(encoder, [pair], recipe.replace(content_weight=weight))
            seconds = time.perf_counter() - begin
            score = judge(teacher, picture, *pair)
            row[name] = {
                "style_rel": score.mean,
                "levels": score.style_rel,
                "content": score.content,
                "seconds": seconds,
            }
            painted.append(picture)
        rows.append(row)
        print(json.dumps(row), flush=True)
        sheet.append(torch.cat([_cell(p) for p in painted], 2))
        pictures.save(options.out / "sheet.png", torch.cat(sheet, 3))
    return rows


def _cell(picture: Tensor, side: int = 320) -> Tensor:
    """A picture within a white square."""
    cell = torch.ones(1, 3, side, side)
    height, width = fit(picture.shape[-2], picture.shape[-1], side)
    cell[..., :height, :width] = resample(picture, (height, width))
    return cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("variants", "embedded"))
    for name in ("teacher", "data", "contents", "styles", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--upper", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=8, help="pairs")
    parser.add_argument("--crops", type=int, default=160, help="crops for the closed-form start")
    parser.add_argument("--steps", type=int, default=240, help="training steps of a variant")
    parser.add_argument("--only", nargs="*", help="variants with one of these in their names")
    options = parser.parse_args()
    keep_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher.from_files(options.teacher, options.upper)
    pairs = load_pairs(options.contents, options.styles, options.count)
    rows = {"variants": variants, "embedded": embedded}[options.command](options, teacher, pairs)
    (options.out / f"{options.command}.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
