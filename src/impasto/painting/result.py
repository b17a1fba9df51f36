"""A finished picture, and the record of its run in a folder."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from impasto import pictures
from impasto.errors import PictureError
from impasto.files import write_atomically
from impasto.painting.engine import Step
from impasto.recipe import Recipe

__all__ = ["Result", "record", "trace_entry"]


@dataclass(frozen=True)
class Result:
    """A finished picture.

    Attributes:
        pixels: (1, 3, H, W), float32, sRGB, [0, 1], on the CPU.
        alpha: (1, 1, H, W) or None.
        losses: the best picture's total (``total``) and the last evaluation's losses by name.
        trace: one entry per evaluation, see :func:`trace_entry`.
        seconds: wall time of the painting, loading excluded.
        finished: False if it was stopped before its last step.
        inputs: the files that the pictures came from, never to be overwritten.
        environment: versions, processor and device.
    """

    pixels: Tensor
    alpha: Tensor | None
    recipe: Recipe
    losses: dict[str, float]
    trace: list[dict[str, Any]]
    seconds: float
    finished: bool
    inputs: tuple[Path, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def image(self) -> Image.Image:
        """The picture for Pillow, RGB or RGBA, 8 bits."""
        array = pictures.to_uint8(self.pixels)
        if self.alpha is None:
            return Image.fromarray(array)
        alpha = (self.alpha[0, 0].numpy() * 255.0).round().astype(np.uint8)
        return Image.fromarray(np.dstack([array, alpha]))

    def save(self, path: str | os.PathLike[str], *, bit_depth: int = 8, quality: int = 95) -> Path:
        """Write the picture with its recipe in its metadata; see :func:`impasto.pictures.save`.

        Raises:
            PictureError: the path is one of ``inputs``, or it cannot be written.
        """
        return pictures.save(
            path,
            self.pixels,
            alpha=self.alpha,
            metadata=self.recipe.to_json(),
            bit_depth=bit_depth,
            quality=quality,
            inputs=self.inputs,
        )

    def to_bytes(self, name: str | os.PathLike[str], *, bit_depth: int = 8, quality: int = 95) -> bytes:
        """The contents of the file that :meth:`save` would write to ``name``."""
        return pictures.to_bytes(
            name,
            self.pixels,
            alpha=self.alpha,
            metadata=self.recipe.to_json(),
            bit_depth=bit_depth,
            quality=quality,
        )


def trace_entry(step: Step, seconds: float) -> dict[str, Any]:
    """A step as an entry of the trace; ``seconds`` since the painting began."""
    return {
        "evaluation": step.evaluations,
        "scale": step.scale,
        "height": step.size[0],
        "width": step.size[1],
        "iteration": step.iteration,
        "seconds": round(seconds, 4),
        "loss": step.loss,
        "best_loss": step.best_loss,
        "event": step.event,
        **step.terms,
    }


def record(result: Result, folder: Path) -> Path:
    """Write a run into ``folder``: picture.png, recipe.json, trace.jsonl, environment.json.

    The folder is made if it is missing, its parent is not; files of another run in it are replaced.

    Raises:
        PictureError: the folder or a file in it cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise PictureError(
            f"the run cannot be saved in {folder}: {error.strerror}", "a folder in a folder that exists"
        ) from None
    result.save(folder / "picture.png")
    lines = "".join(json.dumps(_without_non_finite(line)) + "\n" for line in result.trace)
    summary = result.environment | {
        "seconds": round(result.seconds, 3),
        "finished": result.finished,
        "losses": _without_non_finite(result.losses),
        "inputs": [str(path) for path in result.inputs],
    }
    for name, text in (
        ("recipe.json", result.recipe.to_json() + "\n"),
        ("trace.jsonl", lines),
        ("environment.json", json.dumps(summary, indent=2) + "\n"),
    ):
        _write(folder / name, text)
    return folder


def _without_non_finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with None in place of NaN and infinity, which JSON lacks."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text)
    except OSError as error:
        raise PictureError(
            f"{path} cannot be written: {error.strerror}", "a writable folder with enough free space"
        ) from None
