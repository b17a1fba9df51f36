"""Paints the golden pictures. To be run with the version before the restructuring, commit 6f051d9, only.

    git worktree add /tmp/before 6f051d9
    PYTHONPATH=/tmp/before/src OMP_NUM_THREADS=1 python tests/golden/before/make.py [CASE …]

Inputs are scikit-image's photographs, Impasto's own paintings and masks drawn here; :func:`write_inputs`
writes them to a folder. Every case is one call of the command line; its folder keeps what ``--save-run``
writes, without paths of the machine. ``manifest.json`` lists the calls, for ``tests/test_golden_before.py``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
COMMIT = "6f051d9"

LARGE = {"size": "192", "iterations": "12,12", "precision": "float32", "seed": "7"}
SMALL = {"size": "128", "coarsest": "64", "iterations": "12,12", "precision": "float32", "seed": "7"}


@dataclass(frozen=True)
class Case:
    """One call of the command line.

    Attributes:
        pictures: command and input files.
        settings: the recipe, as flags; the stored recipe.json stands for them later.
        extras: flags that belong to no recipe: masks, tiles, pictures to start from.
        keep_trace: the whole folder of the run is kept.
        slow: not among the tests that a developer runs at each change.
    """

    pictures: str
    settings: dict[str, str]
    extras: str = ""
    keep_trace: bool = False
    slow: bool = True


def large(
    pictures: str, extras: str = "", *, slow: bool = True, keep_trace: bool = False, **settings: str
) -> Case:
    return Case(f"stylize {pictures}", LARGE | settings, extras, keep_trace, slow)


def small(pictures: str, extras: str = "", *, slow: bool = True, **settings: str) -> Case:
    return Case(f"stylize {pictures}", SMALL | settings, extras, slow=slow)


def other(pictures: str, extras: str = "", *, slow: bool = True, **settings: str) -> Case:
    return Case(pictures, settings, extras, slow=slow)


TWO = "coffee.png wave.png glass.png"

CASES = {
    # -- every style loss ----------------------------------------------------------------------------------
    "gram": large("chelsea.png wave.png", keep_trace=True, slow=False),
    "wasserstein": large("chelsea.png wave.png", style_loss="wasserstein"),
    "sliced": large("chelsea.png wave.png", style_loss="sliced"),
    "histogram": large("chelsea.png wave.png", style_loss="histogram"),
    "remd": large("chelsea.png wave.png", style_loss="remd"),
    "nearest": large("chelsea.png wave.png", style_loss="nearest", slow=False),
    "fine": large("chelsea.png wave.png", "--preset fine"),
    "several-losses": small(
        "astronaut.png garden.png", style_loss="gram,histogram,remd", style_loss_weights="1,2,0.5"
    ),
    "automatic-precision": small("astronaut.png glass.png", precision="auto"),
    # -- the content and its weight ------------------------------------------------------------------------
    "self-similarity": small("astronaut.png wave.png", content_loss="self-similarity", content_weight="0.5"),
    "strength": small("astronaut.png wave.png", strength="0.7"),
    "total-variation": small("astronaut.png wave.png", tv_weight="3"),
    "layers": small(
        "astronaut.png wave.png",
        content_layers="conv2_2,relu4_1",
        content_layer_weights="1,3",
        style_layers="relu1_2,relu3_1,relu4_1",
        style_layer_weights="1,0,2",
    ),
    "match-canvas": small("astronaut.png garden.png", style_loss="nearest", match_content="0"),
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
    "adam": small("coffee.png glass.png", optimiser="adam", learning_rate="0.03"),
    "history-and-margin": small(
        "coffee.png glass.png", history="3", margin="0", padding="zeros", tolerance="0.3", iterations="30,20"
    ),
    # -- styles --------------------------------------------------------------------------------------------
    "strokes": small(
        "chelsea.png garden.png", style_scale="0.6", style_rotation="30", style_crop="20,30,200,160"
    ),
    "blend": small("chelsea.png garden.png woodcut.png", style_blend="1,3"),
    "coarse-to-fine": small("chelsea.png garden.png woodcut.png", style_order="coarse-to-fine"),
    # -- regions -------------------------------------------------------------------------------------------
    "grey-masks": large(TWO, "--mask left.png right.png", slow=False),
    "grey-style-masks": small(TWO, "--mask left.png right.png --style-mask top.png glass-left.png"),
    "labels": large(
        TWO, "--mask labels.png --style-mask wave-labels.png glass-labels.png", style_loss="gram,nearest"
    ),
    "feather-and-weights": small(
        TWO, "--mask left.png right.png", feather="0.15", region_weights="1,0.02"
    ),
    "mask-inside": small(TWO, "--mask left.png right.png", mask_spread="inside"),
    "alpha": small("chelsea-cut.png wave.png", slow=False),
    "alpha-style": small("coffee.png chelsea-cut.png"),
    # -- tiles ---------------------------------------------------------------------------------------------
    "tiles": large("chelsea.png wave.png", "--tile 64", iterations="10,6"),
    "tiles-of-all": small(
        TWO,
        "--mask left.png right.png --tile 64",
        style_loss="wasserstein,sliced,histogram,remd,nearest",
        content_loss="self-similarity",
        tv_weight="0.1",
        iterations="8,5",
    ),
    # -- other commands ------------------------------------------------------------------------------------
    "texture": other(
        "texture garden.png",
        size="160x96", iterations="15,15", coarsest="80", precision="float32", seed="7",
    ),
    "texture-seamless": other(
        "texture glass.png", "--tile",
        size="128", iterations="15,15", coarsest="64", precision="float32", seed="7",
    ),
    "circular": small("astronaut.png glass.png", padding="circular"),
    "reconstruct": other(
        "reconstruct chelsea.png", "--layers relu2_1,conv3_1",
        size="128", iterations="20,20", coarsest="64", precision="float32", seed="7",
    ),
}  # fmt: skip


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


# -- running -----------------------------------------------------------------------------------------------


def flags(settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]


def command_line(arguments: Sequence[str]) -> None:
    """One call in this process.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    from impasto.cli import main

    said = io.StringIO()
    code: Any = None
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    if code:
        raise RuntimeError(f"impasto {' '.join(arguments)}: exit code {code}: {said.getvalue()}")
