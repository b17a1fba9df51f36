"""``impasto learn``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from impasto import pictures


@pytest.mark.slow
def test_a_learned_style_paints(impasto):
    code, out, err = impasto("learn", "style.png", "-o", "mine.safetensors", "--budget", "1s")
    assert code == 0
    assert out.startswith("mine.safetensors (1.")
    assert "100% " in err
    code, _, _ = impasto(
        "stylize", "content.png", "mine.safetensors", "-o", "out.png", "--preset", "instant", "--size", "64"
    )
    assert code == 0
    assert pictures.load("out.png").size == (48, 64)
    code, out, _ = impasto("export", "mine.onnx", "--style", "mine.safetensors", "--size", "64,48")
    assert (code, out.split()[0]) == (0, "mine.onnx")


def test_ctrl_c_keeps_what_has_been_learned(impasto, monkeypatch):
    class Learner:
        def __init__(self, *_: object) -> None: ...

        def run(self, seconds: float) -> Iterator[float]:
            yield 0.5
            raise KeyboardInterrupt

        def style(self) -> SimpleNamespace:
            return SimpleNamespace(save=lambda path: path.write_bytes(b"learned"))

    monkeypatch.setitem(sys.modules, "impasto.training.learning", SimpleNamespace(StyleLearner=Learner))
    code, out, _ = impasto("learn", "style.png", "-o", "mine.safetensors", "--contents", "content.png")
    assert code == 130
    assert out.startswith("stopped after 1 step: mine.safetensors (")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["style.png", "-o", "mine.png"], "expected FILE.safetensors"),
        (["style.png", "-o", "absent/mine.safetensors"], "mkdir -p 'absent'"),
        (["none.png", "-o", "mine.safetensors"], "there is no file 'none.png'"),
        (["style.png", "-o", "mine.safetensors", "--contents", "none.png"], "there is no file 'none.png'"),
        (["style.png", "-o", "mine.safetensors", "--budget", "soon"], "a budget of 'soon'"),
        (["style.png"], "--output is missing"),
    ],
)
def test_mistakes_are_one_line(impasto, arguments, says):
    code, _, err = impasto("learn", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert says in err


def test_a_saved_style_belongs_to_the_instant_preset(impasto, folder):
    (folder / "mine.safetensors").write_bytes(b"no style")
    code, _, err = impasto("stylize", "content.png", "mine.safetensors", "-o", "out.png")
    assert (code, err.count("\n")) == (2, 1)
    assert "mine.safetensors" in err
