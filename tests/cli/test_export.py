"""``impasto export``."""

from __future__ import annotations

import sys

import onnx
import pytest


@pytest.mark.slow
def test_a_file_of_fixed_sizes(impasto):
    code, out, err = impasto("export", "small.onnx", "--size", "40", "32", "--style-size", "24,32")
    assert (code, err) == (0, "")
    name, compared = out.splitlines()
    assert name.startswith("small.onnx (")
    assert 3.0 < float(name.split("(")[1].split()[0]) < 5.0  # megabytes
    assert float(compared.split(" by ")[1].split()[0]) < 1e-3
    inputs = onnx.load("small.onnx").graph.input
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in inputs}
    assert shapes == {"picture": [1, 3, 32, 40], "style": [1, 3, 32, 24], "strength": [1]}


@pytest.mark.slow
def test_parts_are_named_by_the_file(impasto, folder):
    code, out, _ = impasto("export", "my.onnx", "--parts", "--size", "64,48", "--quiet")
    assert (code, out.split()) == (0, [f"my-{part}.onnx" for part in ("statistics", "maps", "painting")])
    assert not (folder / "my.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.txt"], "expected FILE.onnx"),
        (["absent/a.onnx"], "mkdir -p 'absent'"),
        (["a.onnx", "--size", "64"], "--size 64; width,height of 16 to 2048 pixels"),
        (["a.onnx", "--size", "64,8"], "--size 64,8"),
        (["a.onnx", "--style-size", "5000,64"], "--style-size 5000,64"),
        (["a.onnx", "--size", "small"], "a whole number is expected"),
        (["a.onnx", "--parts", "--size", "100,64"], "a tile of 100×64 pixels; sides that are multiples of 8"),
        (["a.onnx", "--parts", "--style-size", "64,64"], "--style-size with --parts"),
        (["a.onnx", "--parts", "--style", "a.safetensors"], "--style with --parts"),
        (["a.onnx", "--style", "a.safetensors", "--style-size", "64,64"], "--style with --style-size"),
        (["a.onnx", "--style", "absent.safetensors"], "there is no file 'absent.safetensors'"),
        ([], "is missing"),
    ],
)
def test_mistakes_are_one_line(impasto, arguments, says):
    code, _, err = impasto("export", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert says in err


def test_a_missing_extra_is_told_with_its_remedy(impasto, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = impasto("export", "a.onnx")
    assert (code, err) == (
        2,
        "impasto: the export needs onnxruntime, which is not installed; pip install 'impasto[export]'\n",
    )
