"""Paints, records and measures one cell of a study; its folder is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import api, pictures
from impasto.errors import ImpastoError, PictureError
from impasto.files import replacing, write_atomically
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.painting import engine
from impasto.painting.engine import Step
from impasto.pictures.geometry import fit, resample
from impasto.recipe import DEFAULT_SIZE
from impasto.studies import metrics, sources, textbook
from impasto.studies.judges import JUDGED, Judge, encoder_digest, load
from impasto.studies.plan import StudyCell

__all__ = ["PAINTERS", "CellTask", "attempt", "is_done", "is_judged", "judge_again", "paint", "read"]

#: What a value of an axis may have as its ``painter``: name → generator of steps.
PAINTERS: dict[str, Callable[..., Iterator[Step]]] = {
    "impasto": engine.steps,
    "textbook": textbook.steps,
}


@dataclass(frozen=True)
class CellTask:
    """A cell with all that is needed to paint and to measure it, in any process.

    Attributes:
        parent: folder with the folders of all cells.
        shown: names of the coordinates in which the cells of the study differ.
        references: further pictures whose style the result is compared with.
    """

    parent: Path
    cell: StudyCell
    shown: tuple[str, ...]
    judge: Judge
    references: tuple[str, ...] = ()
    device: str = "auto"

    @property
    def identity(self) -> str:
        """Changes with everything that the picture depends on: settings, pictures, weights."""
        cell = self.cell
        facts = {
            "recipe": cell.recipe.model_dump(mode="json"),
            "pictures": [spec and sources.digest(spec) for spec in (cell.content, cell.style)],
            "canvas": cell.canvas,
            "painter": cell.painter,
            "encoder": encoder_digest(cell.recipe.encoder, cell.recipe.weights),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]

    @property
    def folder(self) -> Path:
        """The cell's folder, named by its coordinates and its identity: ``relu3_2.seed-0.1a2b3c4d5e``."""
        words = [
            f"{axis}-{label}" if axis == "seed" else label
            for axis, label in self.cell.coordinates.items()
            if axis in self.shown
        ]
        slug = ".".join(re.sub(r"[^A-Za-z0-9_+-]+", "-", word).strip("-") for word in words)[:100]
        return self.parent / f"{slug}.{self.identity}".lstrip(".")

    @property
    def cost(self) -> float:
        """Pixels times iterations, roughly, which weights the cell in the progress of the study."""
        size = self.cell.recipe.size if isinstance(self.cell.recipe.size, int) else DEFAULT_SIZE
        return float(size * size * self.cell.recipe.iterations[-1])


def read(folder: Path) -> dict[str, Any] | None:
    """The record of a finished cell; None if there is none."""
    with suppress(OSError, ValueError):
        record = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
        if isinstance(record, dict) and (folder / "picture.png").is_file():
            return record
    return None


def is_done(task: CellTask) -> bool:
    """Whether the cell is painted, in this call or an earlier one."""
    return read(task.folder) is not None


def is_judged(task: CellTask) -> bool:
    """Whether the cell is measured by this judge against these references."""
    record = read(task.folder)
    return record is not None and record.get("judged_by") == _judged_by(task)


def paint(task: CellTask, on_step: Callable[[Step], None] | None = None) -> None:
    """Paint, record and measure a cell. Its folder gets its name when all files are in it."""
    cell, folder = task.cell, task.folder
    _remove_unfinished(task)
    content = None if cell.content is None else sources.picture(cell.content)
    styles = [] if cell.style is None else [sources.picture(cell.style)]
    run = api.prepare(content, styles, cell.recipe, canvas=cell.canvas, device=task.device)
    result = api.run(run, on_step=on_step, step_fn=PAINTERS[cell.painter])
    try:
        with replacing(folder) as partial:
            api.record(result, partial)
            facts = _facts(cell, result) | _judgement(task, partial)
            (partial / "cell.json").write_text(_as_json(facts), encoding="utf-8")
    except OSError as error:
        raise PictureError(
            f"the cell {folder} cannot be written: {error.strerror}", "a writable folder"
        ) from None


def _remove_unfinished(task: CellTask) -> None:
    """Delete what a killed process left of this cell, and the cell's folder if its record cannot be read."""
    for leftover in (task.folder, *task.parent.glob(f".*.partial.{task.identity}")):
        shutil.rmtree(leftover, ignore_errors=True)


def _facts(cell: StudyCell, result: api.Result) -> dict[str, Any]:
    """What ``cell.json`` says about the painting."""
    return {
        "coordinates": dict(cell.coordinates),
        "evaluations": len(result.trace),
        "seconds": round(result.seconds, 3),
        "threads": torch.get_num_threads(),
        "losses": result.losses,
        "events": sum(entry["event"] is not None for entry in result.trace),
        "non_finite": sum(not math.isfinite(entry["loss"]) for entry in result.trace),
    }


def _as_json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=1) + "\n"


def judge_again(task: CellTask) -> None:
    """Measure a painted cell again, by another judge or against other references."""
    record = read(task.folder) or {}
    write_atomically(task.folder / "cell.json", _as_json(record | _judgement(task, task.folder)))


def _judged_by(task: CellTask) -> str:
    return " ".join([task.judge.identity, *(sources.digest(spec) for spec in task.references)])


def _judgement(task: CellTask, folder: Path) -> dict[str, Any]:
    return {
        "judge": task.judge.identity,
        "judged_by": _judged_by(task),
        "measures": measure(task, pictures.load(folder / "picture.png").pixels),
    }


def measure(task: CellTask, result: Tensor) -> dict[str, float]:
    """All measurements of a finished picture (1, 3, H, W), as it was read back from its file of 8 bits."""
    cell, judge = task.cell, load(task.judge)
    size = (int(result.shape[-2]), int(result.shape[-1]))
    measures = {"stroke_px": metrics.stroke_width(result)}
    if cell.content is not None:
        content = resample(sources.picture(cell.content).pixels, size)
        measures |= {
            "content_psnr_db": metrics.psnr(result, content),
            "content_ssim": metrics.ssim(result, content),
            "content_edges": metrics.edge_agreement(result, content),
        }
        painter = _painting_encoder(cell.recipe.encoder, cell.recipe.weights, cell.recipe.pooling)
        measures |= _by_layer("content_own", metrics.feature_distances(painter, result, content, JUDGED))
        measures |= _by_layer("content_judge", metrics.feature_distances(judge, result, content, JUDGED))
    if cell.style is not None:
        style = _as_painted(cell.style, size, cell.recipe.style_scale)
        measures["style_palette"] = metrics.palette_distance(result, style)
        measures |= _by_layer("style_judge", metrics.style_distances(judge, result, style, JUDGED))
    for spec in task.references:
        reference = _as_painted(spec, size, cell.recipe.style_scale)
        name = f"reference/{Path(spec).stem.rpartition(':')[2]}"
        measures |= _by_layer(name, metrics.style_distances(judge, result, reference, JUDGED))
    return measures


def _by_layer(name: str, values: Mapping[str, float]) -> dict[str, float]:
    """Layer → value as ``name/layer`` → value, with their mean as ``name``."""
    if not values:
        return {}
    mean = math.fsum(values.values()) / len(values)
    return {name: mean} | {f"{name}/{layer}": value for layer, value in values.items()}


def _as_painted(spec: str, size: tuple[int, int], scale: float) -> Tensor:
    """A style picture at the size at which the engine used it: never enlarged."""
    pixels = sources.picture(spec).pixels
    height, width = pixels.shape[-2:]
    long_side = min(max(height, width), max(1, round(max(size) * scale)))
    return resample(pixels, fit(height, width, long_side))


_encoders: dict[tuple[str, str, str], Encoder] = {}


def _painting_encoder(name: str, weights: Path | None, pooling: str | None) -> Encoder:
    """The encoder that a picture was painted with, but in float32 on the CPU."""
    key = (name, str(weights), str(pooling))
    if key not in _encoders:
        _encoders.clear()
        _encoders[key] = load_encoder(name, weights=weights, pooling=pooling)
    return _encoders[key]


def attempt(task: CellTask, on_step: Callable[[Step], None] | None = None) -> str | None:
    """Paint or measure a cell, if either is missing; returns one line about an error, or None."""
    try:
        if not is_done(task):
            paint(task, on_step)
        elif not is_judged(task):
            judge_again(task)
    except ImpastoError as error:
        return str(error)
    except (RuntimeError, MemoryError) as error:  # PyTorch's: out of memory, a kernel that failed
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return None
