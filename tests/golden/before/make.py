"""Paints the golden pictures. Run it with the version before the restructuring, commit 6f051d9, only:

    git worktree add /tmp/before 6f051d9
    PYTHONPATH=/tmp/before/src OMP_NUM_THREADS=1 python tests/golden/before/make.py [CASE...]

The inputs are scikit-image's photographs, Impasto's paintings and masks drawn here; :func:`write_inputs`
writes them to a folder. Each case is one call of the command line. Its folder keeps the picture and the
recipe that ``--save-run`` wrote. ``manifest.json`` lists the calls for ``tests/test_golden_before.py``.

L-BFGS amplifies rounding errors: after 20 evaluations, another order of summation (two threads, tiles, AVX2
instead of AVX-512) changes some pictures by 8 grey levels on average, and a video with the default number of
iterations by 13. The cases therefore have few evaluations, so that none of these changes a picture by more
than 0.25 grey levels.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).parent
COMMIT = "6f051d9"

LARGE = {"size": "192", "iterations": "3,3", "precision": "float32", "seed": "7"}
SMALL = {"size": "128", "coarsest": "64", "iterations": "3,3", "precision": "float32", "seed": "7"}

#: For settings whose effect is small after three evaluations of L-BFGS: the first steps of Adam are longer.
ADAM = {"optimiser": "adam", "learning_rate": "0.03", "iterations": "6,6"}


@dataclass(frozen=True)
class Case:
    """One call of the command line.

    Attributes:
        command: command and input files, separated by spaces.
        settings: flags of the recipe, which recipe.json replaces when the picture is painted again.
        options: flags that no recipe has: masks, tiles, a picture to start from.
        recipe: the text of a recipe file, passed with --recipe and kept as recipe.json. None: recipe.json is
            what --save-run writes, or what the command stores inside the picture.
        from_flags: the picture is painted again from ``settings``, not from recipe.json: `impasto texture`
            and `impasto reconstruct` accept no recipe file.
    """

    command: str
    settings: dict[str, str]
    options: str = ""
    recipe: dict[str, Any] | None = None
    from_flags: bool = False

    @property
    def words(self) -> list[str]:
        return [*self.command.split(), *self.options.split()]

    @property
    def flags(self) -> list[str]:
        return [
            word for name, value in self.settings.items() for word in (f"--{name.replace('_', '-')}", value)
        ]


def large(pictures: str, options: str = "", **settings: str) -> Case:
    return Case(f"stylize {pictures}", LARGE | settings, options)


def small(pictures: str, options: str = "", **settings: str) -> Case:
    return Case(f"stylize {pictures}", SMALL | settings, options)


TWO = "coffee.png wave.png glass.png"

CASES = {
    # -- every style loss ----------------------------------------------------------------------------------
    "gram": large("chelsea.png wave.png"),
    "wasserstein": large("chelsea.png wave.png", style_loss="wasserstein"),
    "sliced": large("chelsea.png wave.png", style_loss="sliced"),
    "histogram": large("chelsea.png wave.png", style_loss="histogram"),
    "remd": large("chelsea.png wave.png", style_loss="remd"),
    "nearest": large("chelsea.png wave.png", style_loss="nearest"),
    "fine": small("chelsea.png wave.png", style_loss="gram,nearest", style_loss_weights="3,1"),
    "automatic-precision": small("coffee.png glass.png", precision="auto"),
    # -- the content and its weight ------------------------------------------------------------------------
    "self-similarity": small(
        "astronaut.png wave.png", content_loss="self-similarity", content_weight="1", init="style-colours"
    ),
    "strength": small("chelsea.png wave.png", strength="0.3", **ADAM),
    "total-variation": small("chelsea.png wave.png", tv_weight="10", **ADAM),
    "layers": small(
        "chelsea.png wave.png",
        content_layers="conv2_2,relu4_1",
        content_layer_weights="1,3",
        style_layers="relu1_2,relu3_1,relu4_1",
        style_layer_weights="1,0,2",
    ),
    "match-canvas": small("chelsea.png garden.png", style_loss="nearest", match_content="0"),
    # -- colours -------------------------------------------------------------------------------------------
    "colours-content": small("chelsea.png wave.png", colours="content"),
    "colours-match": small("chelsea.png wave.png", colours="match"),
    "colours-only": small("chelsea.png wave.png", colours="only"),
    # -- units ---------------------------------------------------------------------------------------------
    "gatys": small("coffee.png wave.png", normalisation="gatys", content_weight="1", style_weight="1000"),
    "neural-style": small(
        "coffee.png wave.png", normalisation="neural-style", content_weight="5", style_weight="100"
    ),
    # -- start and optimiser -------------------------------------------------------------------------------
    "noise": small("coffee.png glass.png", init="noise"),
    "style-colours": small("coffee.png glass.png", init="style-colours"),
    "start-picture": small("coffee.png glass.png", "--init-image garden.png", init="picture"),
    "adam": small("coffee.png glass.png", **ADAM),
    "history-and-margin": small(
        "coffee.png glass.png", history="1", margin="0", padding="zeros", iterations="6,6"
    ),
    "early-end": small(
        "coffee.png glass.png", optimiser="adam", learning_rate="0.005", tolerance="0.1", iterations="30,20"
    ),
    # -- styles --------------------------------------------------------------------------------------------
    "strokes": small(
        "chelsea.png garden.png", style_scale="0.6", style_rotation="30", style_crop="20,30,200,160", **ADAM
    ),
    "blend": small("chelsea.png garden.png woodcut.png", style_blend="1,3"),
    "coarse-to-fine": small("chelsea.png garden.png woodcut.png", style_order="coarse-to-fine"),
    # -- regions -------------------------------------------------------------------------------------------
    "grey-style-masks": small(TWO, "--mask left.png right.png --style-mask top.png glass-left.png", **ADAM),
    "labels": small(
        TWO,
        "--mask labels.png --style-mask wave-labels.png glass-labels.png",
        style_loss="gram,nearest",
        **ADAM,
    ),
    "feather-and-weights": small(
        TWO, "--mask left.png right.png", feather="0.15", region_weights="1,0.02", **ADAM
    ),
    "mask-inside": small(TWO, "--mask left.png right.png", mask_spread="inside", **ADAM),
    "alpha": small("chelsea-cut.png wave.png"),
    "alpha-style": small("coffee.png chelsea-cut.png"),
    # -- other commands ------------------------------------------------------------------------------------
    "texture": Case("texture garden.png", SMALL | {"size": "128x80"}, from_flags=True),
    "texture-seamless": Case("texture glass.png --tile", SMALL, from_flags=True),
    "circular": small("astronaut.png glass.png", padding="circular"),
    "reconstruct": Case("reconstruct chelsea.png --layers relu2_1,conv3_1", SMALL, from_flags=True),
    "few-keys": Case(
        "stylize astronaut.png woodcut.png",
        {},
        recipe={"size": 128, "style_loss": ["remd"], "iterations": [3], "precision": "float32"},
    ),
    "video": Case(
        "video clip wave.png --evaluations 2 --fill-evaluations 2,2",
        {},
        recipe={"size": 128, "coarsest": 64, "iterations": [3], "precision": "float32"},
    ),
}


# -- inputs ------------------------------------------------------------------------------------------------


def _save(folder: Path, name: str, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(folder / f"{name}.png")


def _mask(height: int, width: int, white: np.ndarray) -> np.ndarray:
    return np.where(np.broadcast_to(white, (height, width)), 255, 0).astype(np.uint8)


def _labels(height: int, width: int, red: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Red, blue where it is not red, black elsewhere."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[np.broadcast_to(blue, (height, width))] = (0, 0, 255)
    picture[np.broadcast_to(red, (height, width))] = (255, 0, 0)
    return picture


def write_inputs(folder: Path) -> None:
    """Photographs, paintings, masks and a clip of five frames; the same everywhere but for rounding."""
    from impasto import samples

    def bytes_of(tensor: Any) -> np.ndarray:
        return (tensor[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)

    photographs = {name: bytes_of(samples.photograph(name)) for name in ("astronaut", "chelsea", "coffee")}
    paintings = {
        name: bytes_of(samples.painting(name, size=256)) for name in ("garden", "glass", "wave", "woodcut")
    }
    for name, picture in (photographs | paintings).items():
        _save(folder, name, picture)

    height, width = 300, 450
    y, x = (axis / 150 - shift for axis, shift in zip(np.ogrid[:height, :width], (1.0, 1.5), strict=True))
    _save(folder, "left", _mask(height, width, x + 0.3 * y < 0))
    _save(folder, "right", _mask(height, width, x + 0.3 * y >= 0))
    _save(folder, "top", _mask(height, width, y < 0))
    _save(folder, "labels", _labels(height, width, x**2 + y**2 < 0.5, (x < 1.2) & (y > -0.8)))
    _save(folder, "wave-labels", _labels(height, width, y > 0.1, y < -0.1))
    left = np.arange(256) < 150
    _save(folder, "glass-left", _mask(256, 256, left))
    _save(folder, "glass-labels", _labels(256, 256, left, ~left))

    cat = photographs["chelsea"]
    y, x = np.ogrid[: cat.shape[0], : cat.shape[1]]
    distance = np.hypot((x - 225) / 200, (y - 150) / 130)
    alpha = (np.clip((1.0 - distance) / 0.1, 0, 1) * 255).round().astype(np.uint8)
    _save(folder, "chelsea-cut", np.dstack([cat, alpha]))

    # A camera that pans over a photograph: four pixels to the right and one down in each frame.
    (folder / "clip").mkdir()
    half = photographs["coffee"].reshape(200, 2, 300, 2, 3).mean((1, 3)).round().astype(np.uint8)
    for index in range(5):
        top, left = 60 + index, 90 + 4 * index
        _save(folder / "clip", f"{index + 1:04}", half[top : top + 96, left : left + 128])


def thumbnail(path: Path) -> list[int]:
    """Sixteen mean grey levels: tells whether an input is the one of the golden pictures."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L").resize((4, 4), Image.Resampling.BOX)).ravel().tolist()


# -- painting ----------------------------------------------------------------------------------------------


def resolve(words: Sequence[str], inputs: Path) -> list[str]:
    """``words`` with the names of inputs replaced by their paths."""
    names = {path.name for path in inputs.iterdir()}
    return [str(inputs / word) if word in names else word for word in words]


def read_pixels(path: Path) -> list[np.ndarray]:
    """The picture, or the frames of a folder in order: (H, W, C) float32, 0 to 255."""
    files = sorted(path.glob("*.png")) if path.is_dir() else [path]
    pictures = []
    for file in files:
        with Image.open(file) as picture:
            pictures.append(np.asarray(picture, np.float32))
    return pictures


def run_command(arguments: Sequence[str]) -> None:
    """Run the command line of the old version in this process.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    from impasto.cli import main

    printed = io.StringIO()
    code: Any = None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    if code:
        raise RuntimeError(f"impasto {' '.join(arguments)}: exit code {code}: {printed.getvalue()}")


def paint(name: str, case: Case, inputs: Path) -> None:
    """Paint one case and keep its picture and recipe in a folder of that name."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    arguments = [*resolve(case.words, inputs), *case.flags, "--quiet"]
    if case.recipe is not None:
        (folder / "recipe.json").write_text(json.dumps(case.recipe, indent=2) + "\n", encoding="utf-8")
        arguments += ["--recipe", str(folder / "recipe.json")]
    if case.command.startswith("video"):
        run_command([*arguments, "--output", str(folder / "frames")])
        return
    with tempfile.TemporaryDirectory() as temporary:
        output, record = Path(temporary) / "picture.png", Path(temporary) / "run"
        saving = case.command.startswith("stylize")
        run_command([*arguments, "--output", str(output), *(["--save-run", str(record)] if saving else [])])
        shutil.copy(record / "picture.png" if saving else output, folder / "picture.png")
        if saving and case.recipe is None:
            shutil.copy(record / "recipe.json", folder / "recipe.json")


def write_manifest(inputs: Path) -> None:
    """How each picture was painted and how to paint it again, and thumbnails that identify the inputs."""
    cases = {}
    for name, case in CASES.items():
        recipe = ["--recipe", "recipe.json"] if case.recipe is not None else []
        again = case.flags if case.from_flags else ["--recipe", "recipe.json"]
        cases[name] = {
            "painted_with": [*case.words, *case.flags, *recipe],
            "paint_again_with": [*case.words, *again],
            "result": "frames" if case.command.startswith("video") else "picture.png",
        }
    thumbnails = {path.name: thumbnail(path) for path in sorted(inputs.glob("*.png"))}
    manifest = {"commit": COMMIT, "inputs": thumbnails, "cases": cases}
    text = json.dumps(manifest, indent=1)
    (HERE / "manifest.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        inputs = Path(temporary)
        write_inputs(inputs)
        for name in sys.argv[1:] or CASES:
            paint(name, CASES[name], inputs)
        write_manifest(inputs)


if __name__ == "__main__":
    main()
