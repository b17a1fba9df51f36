"""``impasto mask``: what is asked for and how it is refused. The masks themselves: tests/masks."""

from __future__ import annotations

import pytest
import torch

from impasto import pictures
from impasto.masks import cutouts


@pytest.mark.parametrize("box", [["4,5,20,30"], ["4", "5", "20", "30"]])
def test_a_box_is_written_with_commas_or_spaces(impasto, monkeypatch, box):
    boxes = []

    def cut_out(picture: torch.Tensor, box: cutouts.Box) -> torch.Tensor:
        boxes.append(box)
        return torch.ones(1, 1, *picture.shape[-2:])

    monkeypatch.setattr(cutouts, "cut_out", cut_out)
    assert impasto("mask", "content.png", "-o", "m.png", "--box", *box) == (0, "m.png\n", "")
    assert boxes == [(4, 5, 20, 30)]
    assert impasto("mask", "content.png", "-o", "m.png", "--invert", "--quiet", "--box", *box) == (0, "", "")
    assert float(pictures.load("m.png").pixels.max()) == 0.0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "neither --box and --faces"),
        (["--faces", "--box", "1,2,30,40"], "both --box and --faces"),
        (["--box", "1,2,30,40", "--model", "content.png"], "--model with --box"),
        (["--box", "1,2,30"], "a box of 3 numbers"),
        (["--box", "1,2,x,4"], "--box x: a whole number is expected"),
        (["--faces", "--model", "missing.onnx"], "no file 'missing.onnx'"),
    ],
)
def test_mistakes_are_one_line(impasto, flags, says):
    code, _, err = impasto("mask", "content.png", "-o", "m.png", *flags)
    assert (code, err.count("\n")) == (2, 1)
    assert says in err
