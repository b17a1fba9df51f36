"""The student starts as a pruned teacher, and is exported as an encoder."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from impasto.networks.encoder import CENTRED, Encoder
from impasto.training.data import Crops
from impasto.training.student import Student, export, fit_to_teacher
from impasto.training.teacher import TARGETS, Teacher
from small_training import FULL, NARROW, make_trainer


@pytest.mark.slow
def test_a_student_as_wide_as_its_teacher_starts_perfect(folders: Path, teacher: Teacher) -> None:
    """The closed-form start is a least-squares fit: with room for everything it loses next to nothing."""
    taught = copy.deepcopy(teacher)
    taught.lower.pooling = "average"
    crops = Crops(folders / "photos").draw(24, 32, np.random.default_rng(2))
    explained = fit_to_teacher(Student(taught.channels, FULL, "average"), taught, crops)
    assert min(explained.values()) > 0.97, explained
    narrow = fit_to_teacher(Student(taught.channels, NARROW, "average"), taught, crops)
    assert narrow["relu5_1"] < explained["relu5_1"]


@pytest.mark.slow
def test_silent_channels_of_the_teacher_are_not_amplified(folders: Path, teacher: Teacher) -> None:
    """Half of a layer that never fires: the student's filters there are ordinary ones, and none is silent."""
    taught = copy.deepcopy(teacher)
    taught.lower.get_buffer("conv2_1__bias")[::2] = -1e3
    crops = Crops(folders / "photos").draw(24, 32, np.random.default_rng(2))
    student = Student(taught.channels, FULL, "average")
    fit_to_teacher(student, taught, crops)
    norms = student.convs["conv2_1"].weight.detach().flatten(1).norm(dim=1)
    assert float(norms.max()) < 20 * float(norms.median())
    power = student.features(crops)["relu2_1"].detach().square().mean((0, 2, 3))
    assert float(power.min()) > 0.01 * float(power.median())


@pytest.mark.slow
def test_the_exported_encoder_is_the_student(folders: Path, teacher: Teacher, tmp_path: Path) -> None:
    """Distances between exported features are those between the student's in the teacher's space."""
    trainer = make_trainer(folders, teacher)
    trainer.save(tmp_path)
    state = load_file(tmp_path / "compact.safetensors")
    assert all(value.dtype is torch.float16 for value in state.values())
    exact = {k: v.double() for k, v in export(trainer.student).items()}
    encoder = Encoder(exact, CENTRED, pooling="average")
    encoder.compute_in(torch.float64)
    crops = trainer.draw_crops(2)
    student = trainer.student.features(crops)
    features = encoder(crops.double(), TARGETS)
    for layer in TARGETS:
        wide = trainer.student.heads[layer](student[layer]).double()
        expected = (wide[0] - wide[1]).square().sum()
        assert float((features[layer][0] - features[layer][1]).square().sum()) == pytest.approx(
            float(expected.detach()), rel=0.02
        )
        assert features[layer].shape[1] <= student[layer].shape[1]
