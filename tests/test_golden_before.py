"""What the version before the restructuring (commit 6f051d9) painted, this version paints again.

Pictures, recipes and command lines are in ``tests/golden/before``; ``make.py`` there produced them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden.before import make
from impasto.cli.main import main

FOLDER = Path(make.__file__).parent
MANIFEST: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = MANIFEST["cases"]

#: Largest mean difference, in grey levels of 255. Another number of threads, other tiles or another
#: instruction set change the pictures by 0.25 at most (see make.py). Without a setting that a case tests, the
#: difference is 0.8 to 75.
TOLERANCE = 0.5

#: Cases that take more than two seconds on one idle core.
SLOW = {"video"}

Repaint = Callable[..., float]


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs, paintings, masks and frames that the golden pictures were painted from."""
    folder = tmp_path_factory.mktemp("inputs")
    make.write_inputs(folder)
    return folder


@pytest.fixture
def repaint(inputs: Path, tmp_path: Path) -> Repaint:
    """Paints a case with the command line, with more flags if there are any; returns :func:`difference`."""

    def paint(name: str, *flags: str) -> float:
        case = CASES[name]
        words = make.resolve(case["paint_again_with"], inputs)
        recipe = FOLDER / name / "recipe.json"
        output = tmp_path / case["result"]
        arguments = [str(recipe) if word == "recipe.json" else word for word in words]
        with pytest.raises(SystemExit) as end:
            main([*arguments, *flags, "--quiet", "--output", str(output)])
        assert end.value.code in (0, None)
        return difference(output, FOLDER / name / case["result"])

    return paint


def difference(result: Path, golden: Path) -> float:
    """Mean absolute difference in grey levels; of the frames of a video, the largest one."""
    pictures, expected = make.read_pixels(result), make.read_pixels(golden)
    assert [picture.shape for picture in pictures] == [picture.shape for picture in expected]
    return max(float(np.abs(a - b).mean()) for a, b in zip(pictures, expected, strict=True))


def marked(names: Sequence[str]) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in names]


def test_the_inputs_are_those_of_the_golden_pictures(inputs):
    thumbnails = {path.name: make.thumbnail(path) for path in inputs.glob("*.png")}
    assert thumbnails.keys() == MANIFEST["inputs"].keys()
    for name, levels in MANIFEST["inputs"].items():
        np.testing.assert_allclose(thumbnails[name], levels, atol=1, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", marked(list(CASES)))
def test_paints_the_picture_of_the_version_before(repaint, name):
    assert repaint(name) <= TOLERANCE


@pytest.mark.slow
def test_in_tiles_it_is_the_same_picture(repaint):
    assert repaint("mask-inside", "--tile", "64") <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags", "measured"),
    [
        ("noise", ["--seed", "8"], 57.3),
        ("colours-content", ["--colours", "style"], 3.5),
        ("blend", ["--style-blend", "1,1"], 4.0),
        ("strokes", ["--style-rotation", "0"], 2.9),
    ],
)
def test_another_setting_paints_another_picture(repaint, name, flags, measured):
    difference = repaint(name, *flags)
    assert difference > 4 * TOLERANCE
    assert difference == pytest.approx(measured, abs=TOLERANCE)
