"""The teacher judges pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes import tiny_state
from impasto.training.data import Crops
from impasto.training.policy import grams
from impasto.training.report import TeacherEncoder, judge
from impasto.training.teacher import STYLE_TARGETS, TARGETS, Teacher


def test_judge_knows_the_two_ends(folders: Path, teacher: Teacher) -> None:
    content = Crops(folders / "photos").draw(1, 48, np.random.default_rng(3))
    style = Crops(folders / "paintings").draw(1, 48, np.random.default_rng(4))
    untouched, exact = judge(teacher, content, content, style), judge(teacher, style, content, style)
    assert untouched.mean == pytest.approx(1.0)
    assert untouched.content == 0.0
    assert exact.mean == pytest.approx(0.0, abs=1e-9)
    assert exact.content > 0.01
    encoder = TeacherEncoder(teacher, tiny_state())
    assert encoder.layers == TARGETS
    a = grams({k: v.float() for k, v in encoder(content, STYLE_TARGETS).items()})
    assert set(a) == set(STYLE_TARGETS)
