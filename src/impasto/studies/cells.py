"""A cell of a study: painted, recorded and measured in any process; written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import api, pictures
from impasto.errors import PictureError
from impasto.files import replacing, write_atomically
from impasto.machine import choose_device
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.networks.weights import encoder_digest
from impasto.painting import engine
from impasto.painting.engine import Step
from impasto.painting.setup import encoder_for
from impasto.pictures.geometry import fit, resample
from impasto.pieces.piece import Files, Report
from impasto.recipe import DEFAULT_SIZE
from impasto.studies import metrics, sources, textbook
from impasto.studies.judges import JUDGED, Judge, load
from impasto.studies.plan import StudyCell, picture_labels

__all__ = ["PAINTERS", "CellTask", "is_judged", "is_painted", "read"]

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

    @cached_property
    def identity(self) -> str:
        """Changes with everything that the picture depends on: settings, pictures, weights.

        Once it is known it travels with the task, to where the files are not.
        """
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

    @property
    def label(self) -> str:
        """The coordinates in which the cells differ."""
        return ", ".join(self.cell.coordinates[name] for name in self.shown)

    @cached_property
    def judge_identity(self) -> str:
        """See :attr:`impasto.studies.judges.Judge.identity`."""
        return self.judge.identity

    @cached_property
    def judged_by(self) -> str:
        """Changes with the judge and with the references."""
        return " ".join([self.judge_identity, *(sources.digest(spec) for spec in self.references)])

    def is_done(self) -> bool:
        """Whether the cell is painted, and measured by this judge against these references."""
        return is_judged(self)

    def inputs(self) -> Sequence[Path]:
        """The files of its pictures and weights; its own picture, if that is only to be measured again."""
        specs = (self.cell.content, self.cell.style, *self.references)
        files = [Path(spec) for spec in specs if spec and sources.is_file(spec)]
        files += [path for path in (self.cell.recipe.weights, self.judge.weights) if path is not None]
        return [*files, self._picture] if is_painted(self) else files

    @property
    def _picture(self) -> Path:
        return self.folder / "picture.png"

    def work(self, files: Files, report: Report) -> dict[str, bytes]:
        """Paint and measure the cell, or only measure it if it is painted; returns files of its folder."""
        painted = self._picture in files if files.were_sent else is_painted(self)
        with sources.reading(files):
            if painted:
                picture = pictures.load_bytes(files.read(self._picture), str(self._picture))
                return {"cell.json": _as_json(_judgement(self, picture.pixels, files)).encode()}
            return _paint(self, files, report)

    def keep(self, result: Mapping[str, bytes]) -> None:
        """Write a cell's folder, which gets its name when all files are in it; or only new measurements."""
        try:
            if "picture.png" not in result:
                facts = (read(self.folder) or {}) | json.loads(result["cell.json"])
                write_atomically(self.folder / "cell.json", _as_json(facts))
                return
            _remove_unfinished(self)
            with replacing(self.folder) as partial:
                partial.mkdir()
                for name, data in result.items():
                    write_atomically(partial / name, data)
        except OSError as error:
            raise PictureError(
                f"the cell {self.folder} cannot be written: {error.strerror}", "a writable folder"
            ) from None


def read(folder: Path) -> dict[str, Any] | None:
    """The record of a finished cell; None if there is none."""
    with suppress(OSError, ValueError):
        record = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
        if isinstance(record, dict) and (folder / "picture.png").is_file():
            return record
    return None


def is_painted(task: CellTask) -> bool:
    """Whether the cell is painted, in this call or an earlier one."""
    return read(task.folder) is not None


def is_judged(task: CellTask) -> bool:
    """Whether the cell is measured by this judge against these references."""
    record = read(task.folder)
    return record is not None and record.get("judged_by") == task.judged_by


def _paint(task: CellTask, files: Files, report: Report) -> dict[str, bytes]:
    """Paint, record and measure a cell; the files of its folder by name."""
    cell = task.cell
    content = None if cell.content is None else sources.picture(cell.content)
    styles = [] if cell.style is None else [sources.picture(cell.style)]
    encoder = encoder_for(
        cell.recipe.replace(weights=files.path(cell.recipe.weights)), choose_device(task.device)
    )
    run = api.prepare(content, styles, cell.recipe, encoder=encoder, canvas=cell.canvas, device=task.device)
    result = api.run(
        run, on_step=lambda step: report(step.evaluations / step.planned), step_fn=PAINTERS[cell.painter]
    )
    with tempfile.TemporaryDirectory(prefix="impasto-") as name:
        folder = api.record(result, Path(name))
        picture = pictures.load(folder / "picture.png")
        facts = _facts(cell, result) | _judgement(task, picture.pixels, files)
        written = {path.name: path.read_bytes() for path in folder.iterdir()}
    return written | {"cell.json": _as_json(facts).encode()}


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


def _judgement(task: CellTask, result: Tensor, files: Files) -> dict[str, Any]:
    """The measurements of a finished picture (1, 3, H, W), and by whom."""
    return {
        "judge": task.judge_identity,
        "judged_by": task.judged_by,
        "measures": measure(task, result, files),
    }


def measure(task: CellTask, result: Tensor, files: Files) -> dict[str, float]:
    """All measurements of a finished picture (1, 3, H, W), as it was read back from its file of 8 bits."""
    cell, judge = task.cell, load(replace(task.judge, weights=files.path(task.judge.weights)))
    size = (int(result.shape[-2]), int(result.shape[-1]))
    measures = {"stroke_px": metrics.stroke_width(result)}
    if cell.content is not None:
        content = resample(sources.picture(cell.content).pixels, size)
        measures |= {
            "content_psnr_db": metrics.psnr(result, content),
            "content_ssim": metrics.ssim(result, content),
            "content_edges": metrics.edge_agreement(result, content),
        }
        weights = files.path(cell.recipe.weights)
        painter = _painting_encoder(cell.recipe.encoder, weights, cell.recipe.pooling)
        measures |= _by_layer("content_own", metrics.feature_distances(painter, result, content, JUDGED))
        measures |= _by_layer("content_judge", metrics.feature_distances(judge, result, content, JUDGED))
    if cell.style is not None:
        style = _as_painted(cell.style, size, cell.recipe.style_scale)
        measures["style_palette"] = metrics.palette_distance(result, style)
        measures |= _by_layer("style_judge", metrics.style_distances(judge, result, style, JUDGED))
    for label, spec in zip(picture_labels(task.references), task.references, strict=True):
        reference = _as_painted(spec, size, cell.recipe.style_scale)
        measures |= _by_layer(f"reference/{label}", metrics.style_distances(judge, result, reference, JUDGED))
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
