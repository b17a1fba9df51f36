"""A small training run for tests: smooth random pictures, the tiny teacher, a narrower student."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from impasto.networks.layers import block_of
from impasto.training.data import Crops
from impasto.training.distil import Trainer, TrainingPlan
from impasto.training.student import WIDTHS
from impasto.training.teacher import Teacher

#: As many channels as the tiny teacher has, so that a student can equal it exactly.
FULL = {name: (4, 5, 6, 7, 8)[block_of(name) - 1] for name in WIDTHS}
NARROW = {name: max(2, width - 3) for name, width in FULL.items()}
PLAN = TrainingPlan(crops=2, canvases=2, buffer=3, size=32, start=24, lr=1e-3)


def make_trainer(folders: Path, teacher: Teacher, **options: object) -> Trainer:
    photos, paintings = Crops(folders / "photos"), Crops(folders / "paintings")
    held_out = photos.draw(4, 48, np.random.default_rng(5))
    return Trainer(copy.deepcopy(teacher), photos, paintings, held_out, PLAN, NARROW, **options)  # type: ignore[arg-type]
