"""What is wrong with a setting is said in one line, in words."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from impasto.errors import RecipeError
from impasto.validation import Validated


class Settings(Validated):
    remedy: ClassVar[str] = "see the manual"
    secret: ClassVar[frozenset[str]] = frozenset({"token"})

    size: int | None = Field(None, ge=1, description="Long side in pixels.")
    layers: tuple[str, ...] = Field(("relu3_2", "relu4_2"), min_length=1, description="Layers.")
    weight: float = Field(0.5, allow_inf_nan=False, description="Weight.")
    weights: Path | None = Field(None, description="File.")
    token: int = Field(0, description="Secret.")
    name: str


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "abc"}, "setting size = 'abc': it should be a whole number; Long side in pixels"),
        ({"size": 1.5}, "setting size = 1.5: it should be a whole number; Long side in pixels"),
        (
            {"size": 0},
            "setting size = 0: it should be greater than or equal to 1; Long side in pixels",
        ),
        (
            {"layers": ()},
            "setting layers = nothing: it should have at least one value; Layers; "
            "the default is relu3_2, relu4_2",
        ),
        (
            {"weight": float("inf")},
            "setting weight = inf: it should be a finite number; Weight; the default is 0.5",
        ),
        ({"weights": 3}, "setting weights = 3: it should be a path; File"),
        ({"token": "12x"}, "setting token = (hidden): it should be a whole number; Secret; the default is 0"),
        ({"hue": 3}, "unknown setting 'hue'; possible are size, layers, weight, weights, token, name; "
         "see the manual"),
        ({}, "setting name is missing; it has no default"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(settings, message):
    with pytest.raises(RecipeError) as caught:
        Settings(**({"name": "x"} if settings else {}), **settings)
    assert str(caught.value) == message
