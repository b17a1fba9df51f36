"""The teacher joins two networks, and refuses one that ends too early."""

from __future__ import annotations

import pytest
import torch

from fakes import tiny_state
from impasto.errors import WeightsError
from impasto.networks.encoder import CENTRED
from impasto.networks.layers import CONVS, block_of
from impasto.training.teacher import TARGETS, Teacher


def test_a_composite_teacher_takes_its_upper_levels_from_the_compressed_network() -> None:
    state = tiny_state()
    lower = {key: value for key, value in state.items() if block_of(key) <= 3}
    upper = {f"head{level}_1.weight": torch.randn(9, 2 + level, 1, 1) for level in range(1, 6)}
    upper |= {f"head{level}_1.bias": torch.zeros(9) for level in range(1, 6)}
    upper |= {"preprocess.weight": torch.eye(3)[:, :, None, None], "preprocess.bias": torch.zeros(3)}
    before = 3
    for conv in CONVS[: CONVS.index("conv5_1") + 1]:
        width = 2 + block_of(conv)
        upper |= {f"{conv}.weight": torch.randn(width, before, 3, 3), f"{conv}.bias": torch.randn(width)}
        before = width
    features = Teacher(lower, upper, CENTRED).raw(torch.rand(2, 3, 32, 48))
    assert tuple(features) == TARGETS
    assert {name: tuple(value.shape[1:]) for name, value in features.items()} == {
        "relu1_1": (4, 32, 48), "relu2_1": (5, 16, 24), "relu2_2": (5, 16, 24), "relu3_1": (6, 8, 12),
        "relu3_2": (6, 8, 12), "relu4_1": (9, 4, 6), "relu4_2": (6, 4, 6), "relu5_1": (9, 2, 3),
    }  # fmt: skip
    with pytest.raises(WeightsError, match="give a complete VGG-19"):
        Teacher(lower)
