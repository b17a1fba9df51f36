"""``impasto blend``."""

from __future__ import annotations

import pytest
import torch

from impasto import pictures


@pytest.mark.slow
def test_a_run_is_weakened_towards_its_content(stylize, impasto):
    assert stylize("--save-run", "run", "--size", "64", "--coarsest", "64")[0] == 0
    painted, content = (pictures.load(name).pixels for name in ("out.png", "content.png"))
    assert impasto("blend", "run", "-o", "none.png", "--strength", "0") == (0, "none.png\n", "")
    assert float((pictures.load("none.png").pixels - content).abs().max()) < 0.01
    assert impasto("blend", "out.png", "--content", "content.png", "-o", "all.png", "--strength", "1")[0] == 0
    assert torch.allclose(pictures.load("all.png").pixels, painted, atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["content.png", "-o", "b.png", "--strength", "2", "--content", "style.png"], "strength 2"),
        (["content.png", "-o", "content.png", "--strength", "0.5"], "also an input"),
        (["content.png", "-o", "b.png", "--strength", "0.5"], "alone does not say"),
        (["content.png", "-o", "b.png"], "--strength is missing"),
    ],
)
def test_mistakes_are_one_line(impasto, arguments, says):
    code, _, err = impasto("blend", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert says in err
