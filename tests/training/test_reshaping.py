"""Channels can be removed and added without a loss."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from impasto.training.reshaping import widen, without_silent
from impasto.training.student import Student
from impasto.training.teacher import Teacher
from small_training import NARROW, make_trainer


def _explained(student: Student, teacher: Teacher, crops: torch.Tensor, layer: str) -> float:
    with torch.no_grad():
        target = teacher(crops, (layer,))[layer]
        error = (student.heads[layer](student.features(crops)[layer]) - target).square().sum()
    return 1.0 - float(error / (target - target.mean((0, 2, 3), keepdim=True)).square().sum())


@pytest.mark.slow
def test_silent_channels_can_be_cut_out(folders: Path, teacher: Teacher) -> None:
    """One that never fires and one of enormous filters go; what the heads say stays as it was."""
    trainer = make_trainer(folders, teacher)
    student, crops = trainer.student, trainer.draw_crops(16)
    conv = student.convs["conv4_1"]
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight[0], conv.bias[0] = 0.0, -1.0
        conv.weight[1], conv.bias[1] = 1e4, -1e9
    before = {t: student.heads[t](x) for t, x in student.features(crops).items() if t in student.heads}
    reshaped = without_silent(student, crops)
    assert len(reshaped.convs["conv4_1"].weight) == len(conv.weight) - 2
    assert len(reshaped.convs["conv1_1"].weight) == len(student.convs["conv1_1"].weight)
    for t, x in reshaped.features(crops).items():
        if t in before:
            assert torch.allclose(reshaped.heads[t](x), before[t], atol=1e-4), t


@pytest.mark.slow
def test_channels_can_be_added_where_they_explain_most(folders: Path, teacher: Teacher) -> None:
    trainer = make_trainer(folders, teacher)
    crops = trainer.draw_crops(24)
    reshaped = widen(trainer.student, trainer.teacher, crops, "conv1_1", 2)
    assert len(reshaped.convs["conv1_1"].weight) == NARROW["conv1_1"] + 2
    gain = _explained(reshaped, trainer.teacher, crops, "relu1_1") - _explained(
        trainer.student, trainer.teacher, crops, "relu1_1"
    )
    assert gain > 0.02
    for layer in ("relu2_1", "relu3_2", "relu5_1"):  # whose next layers do not read the new channels yet
        was, now = (_explained(s, trainer.teacher, crops, layer) for s in (trainer.student, reshaped))
        assert now == pytest.approx(was, abs=1e-4)
