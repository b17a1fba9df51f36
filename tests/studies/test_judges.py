"""Who measures the results."""

from __future__ import annotations

import pytest
import torch

from fakes import picture
from impasto.errors import RecipeError
from impasto.studies import judges

A = picture(48, 64, seed=1)


def test_the_random_judge_is_always_the_same_and_sees_nothing_in_grey() -> None:
    first, second = judges.random_vgg(), judges.random_vgg()
    layers = judges.JUDGED
    for layer, value in first(A, layers).items():
        assert torch.equal(value, second(A, layers)[layer])
        assert float(value.abs().mean()) > 1e-2, layer
    assert all(float(v.abs().max()) < 1e-5 for v in first(torch.full((1, 3, 32, 32), 0.7), layers).values())


def test_no_encoder_judges_its_own_pictures() -> None:
    assert judges.choose("auto", None, {"compact"}).name == "random"
    assert judges.choose("auto", None, {"vgg19"}).name == "compact"
    with pytest.raises(RecipeError, match="optimised under it"):
        judges.choose("compact", None, {"compact"})
    with pytest.raises(RecipeError, match="unknown judge"):
        judges.choose("me", None, {"compact"})
