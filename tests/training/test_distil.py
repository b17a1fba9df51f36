"""The training loop: its loss, its checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from impasto.training.distil import TrainingPlan
from impasto.training.teacher import STYLE_TARGETS, TARGETS, Teacher
from small_training import PLAN, make_trainer


@pytest.mark.slow
def test_the_loss_is_that_of_the_wide_features(folders: Path, teacher: Teacher) -> None:
    """`_distance` never forms a wide map; a plain computation that does must agree."""
    trainer = make_trainer(folders, teacher)
    batch = trainer.draw_crops(4)
    trainer.plan = TrainingPlan(**{**PLAN.__dict__, "size": 1000})  # no thinning at these sizes
    own, targets = trainer.student.features(batch), trainer.teacher.raw(batch)
    total, _ = trainer.loss(own, targets)
    expected = 0.0
    for layer in TARGETS:
        t = targets[layer] / trainer.teacher.rms[layer]
        f = trainer.student.heads[layer](own[layer]).detach()
        energy = t.square().mean((2, 3)).sum(1)
        error = (f - t).square().mean((2, 3)).sum(1)
        expected += float((error / (energy + 0.1 * energy.mean())).mean()) / len(TARGETS)
        if layer in STYLE_TARGETS:
            x, y = (z.flatten(2) @ z.flatten(2).transpose(1, 2) / z[0, 0].numel() for z in (f, t))
            size = y.square().sum((1, 2))
            distance = (x - y).square().sum((1, 2))
            expected += float((distance / (size + 0.1 * size.mean())).mean()) / len(STYLE_TARGETS)
    assert float(total.detach()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_reshaped_student_is_trained_on_and_resumed(
    folders: Path, teacher: Teacher, tmp_path: Path
) -> None:
    trainer = make_trainer(folders, teacher)
    trainer.reshape({"conv2_1": 3})
    trainer.step(1e-3)
    trainer.save(tmp_path)
    again = make_trainer(folders, teacher, fit=False)
    again.resume(tmp_path)
    assert len(again.student.convs["conv2_1"].weight) == len(trainer.student.convs["conv2_1"].weight)
    assert again.explained() == pytest.approx(trainer.explained())
    again.step(1e-3)


@pytest.mark.slow
def test_training_lowers_the_loss_and_resumes(folders: Path, teacher: Teacher, tmp_path: Path) -> None:
    trainer = make_trainer(
        folders, teacher, fit=False
    )  # a random start: the closed-form one is near its best
    trainer.teacher.calibrate(trainer.draw_crops(8))
    records = [trainer.step(1e-2)["loss"] for _ in range(30)]
    assert np.mean(records[-8:]) < 0.9 * np.mean(records[:8])
    trainer.save(tmp_path)
    again = make_trainer(folders, teacher, fit=False)
    again.resume(tmp_path)
    assert again.steps == 30
    assert again.teacher.rms == trainer.teacher.rms
    for key, value in trainer.student.state_dict().items():
        assert torch.equal(value, again.student.state_dict()[key])
    assert again.explained() == pytest.approx(trainer.explained())
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "compact.safetensors"}
