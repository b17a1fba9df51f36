"""Runs a batch: finds the pictures, skips what is finished, paints the rest, writes the table of results."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impasto import api, pictures
from impasto.batch.inputs import DEFAULT_NAME, Combination, combine, file_names, find_files
from impasto.batch.journal import Journal, remove_unfinished, write_table
from impasto.batch.painting import PaintingOptions, PicturePiece, loaded_encoder
from impasto.errors import PictureError, RecipeError
from impasto.machine import available_memory, choose_device
from impasto.painting.schedule import output_size
from impasto.pictures import READABLE_SUFFIXES
from impasto.pictures.geometry import Size
from impasto.pieces.piece import Files, Needs
from impasto.pieces.places import executor_for
from impasto.pieces.running import PieceProgress, run_pieces
from impasto.recipe import Recipe

__all__ = ["BatchOutcome", "BatchProgress", "run_batch"]

PathLike = str | os.PathLike[str]

#: How far a batch is: finished pictures and all, those of earlier runs included, and the share of the work.
BatchProgress = PieceProgress


@dataclass(frozen=True)
class BatchOutcome:
    """What became of a batch.

    Attributes:
        folder: with the pictures, ``results.csv`` and ``results.jsonl``.
        pictures: file → what is known about it: ``seconds``, ``losses`` …; for all that are finished.
        failures: file → one line about why it could not be painted.
        painted: number of pictures that this run has painted.
        seconds: that this run took.
    """

    folder: Path
    pictures: Mapping[Path, Mapping[str, Any]]
    failures: Mapping[Path, str]
    painted: int
    seconds: float


def run_batch(
    contents: Sequence[PathLike],
    styles: Sequence[PathLike],
    output: PathLike,
    recipe: Recipe | None = None,
    *,
    pair: bool = False,
    blend: bool = False,
    name: str = DEFAULT_NAME,
    on: str = "local",
    processes: int = 1,
    gpus_per_piece: float = 0.0,
    on_progress: Callable[[BatchProgress], None] | None = None,
    **options: Any,
) -> BatchOutcome:
    """Paint every content in the manner of every style, and skip what an earlier run has finished.

    A picture that cannot be painted does not end the batch; it is named in the outcome.

    Args:
        contents, styles: files, folders, and patterns such as ``photos/**/*.jpg``. With
            ``method="instant"`` styles may also be saved ones (.safetensors).
        output: the folder of the results; made if its parent exists.
        recipe: the settings; None: the defaults.
        pair: the first content in the first style, the second in the second …
        blend: every content in a blend of all styles, see ``style_blend``.
        name: template of the file names, with the fields of :data:`impasto.batch.inputs.FIELDS`.
        on: where it is painted, see :func:`impasto.pieces.places.executor_for`.
        processes: how many pictures are painted at the same time on this machine; 0: as many as cores and
            memory allow. With 1 they are painted in this process, and their bytes are those of ``stylize``.
        gpus_per_piece: GPUs that a picture takes on a cluster.
        on_progress: called often; must be quick.
        options: fields of :class:`impasto.batch.painting.PaintingOptions`, such as ``device`` or ``budget``.

    Raises:
        PictureError, RecipeError: the batch cannot be painted at all, such as for names that are not unique.
        ImpastoError: the cluster is not reachable or is lost; what is finished is kept.
    """
    begin = time.perf_counter()
    folder = Path(output)
    painting = PaintingOptions(recipe or Recipe(), **options)
    suffixes: tuple[str, ...] = READABLE_SUFFIXES
    if painting.recipe.method == "instant":
        suffixes = (*suffixes, api.SAVED_STYLE_SUFFIX)
    combinations = combine(
        find_files([os.fspath(path) for path in contents], folder),
        [file.path for file in find_files([os.fspath(path) for path in styles], folder, suffixes)],
        pair=pair,
        blend=blend,
    )
    outputs = [folder / path for path in file_names(combinations, name)]
    _check_outputs(outputs, combinations, painting)
    journal = Journal(folder)
    with journal.locked():
        remove_unfinished(outputs)
        run = _Run(journal, _pieces(combinations, outputs, painting, journal), len(combinations))
        run.paint(on, processes, gpus_per_piece, on_progress)
    return BatchOutcome(folder, run.finished, run.failures, run.painted, time.perf_counter() - begin)


def _check_outputs(
    outputs: Sequence[Path], combinations: Sequence[Combination], options: PaintingOptions
) -> None:
    """Refuse, before anything is painted, results that cannot be written or that would replace an input."""
    inputs = {combination.content.path.resolve() for combination in combinations}
    inputs |= {style.resolve() for combination in combinations for style in combination.styles}
    inputs |= {path.resolve() for path in options.further_files}
    for output in outputs:
        if output.resolve() in inputs:
            raise PictureError(f"the result '{output}' is also an input", remedy="choose another folder")
    for output in {output.suffix: output for output in outputs}.values():
        pictures.check_encoding(str(output), options.bit_depth)


def _pieces(
    combinations: Sequence[Combination], outputs: Sequence[Path], options: PaintingOptions, journal: Journal
) -> list[tuple[PicturePiece, str | None]]:
    """Each picture as a piece, with the reason for which a file of it cannot be read, or None."""
    digests: dict[Path, str] = {}
    errors: dict[Path, str] = {}
    sizes: dict[Path, Size | None] = {}
    pieces = []
    for combination, output in zip(combinations, outputs, strict=True):
        files = [combination.content.path, *combination.styles, *options.further_files]
        for path in files:
            if path not in digests:
                digests[path], errors[path] = _digest(path)
        own = {path: digests[path] for path in files}
        content = combination.content.path
        if content not in sizes:
            sizes[content] = _result_size(content, options.recipe)
        piece = PicturePiece(output, content, combination.styles, options, own, sizes[content])
        piece = replace(piece, record=journal.finished(piece.identity, output))
        pieces.append((piece, next((errors[path] for path in files if errors[path]), None)))
    return pieces


def _digest(path: Path) -> tuple[str, str]:
    """(SHA-256 of a file, empty string), or (empty string, why it cannot be read)."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest(), ""
    except OSError as error:
        return "", f"'{path}' cannot be read: {error.strerror}"


def _result_size(content: Path, recipe: Recipe) -> Size | None:
    try:
        header = pictures.read_header(content)
    except PictureError:
        return None
    return output_size(recipe, header.height, header.width)


@dataclass
class _Run:
    """One run of a batch, and what it has come to so far."""

    journal: Journal
    pieces: Sequence[tuple[PicturePiece, str | None]]
    total: int
    finished: dict[Path, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[Path, str] = field(default_factory=dict)
    painted: int = 0

    def paint(
        self,
        on: str,
        processes: int,
        gpus: float,
        on_progress: Callable[[BatchProgress], None] | None,
    ) -> None:
        """Paint what is missing, and write the table whatever happens."""
        missing = []
        for piece, error in self.pieces:
            if piece.record is not None:
                self.finished[piece.output] = piece.record
            elif error is not None:
                self.failures[piece.output] = error
            else:
                missing.append(piece)
        try:
            if missing:
                self._paint(missing, on, processes, gpus, on_progress)
        finally:
            write_table(self.journal.folder / "results.csv", [self._row(piece) for piece, _ in self.pieces])

    def _paint(
        self,
        missing: list[PicturePiece],
        on: str,
        processes: int,
        gpus: float,
        on_progress: Callable[[BatchProgress], None] | None,
    ) -> None:
        needs = Needs()
        if on != "local" or processes != 1:
            missing, needs = _with_memory(missing, max(1, processes) if on == "local" else 1, gpus)
        # Counted with those that are done, so that a resumed run paints with as many threads.
        executor = executor_for(
            on, self.total, processes=processes, device=missing[0].options.device, needs=needs
        )
        outcomes = run_pieces(missing, executor, earlier=self.total - len(missing), on_progress=on_progress)
        with closing(outcomes):
            for outcome in outcomes:
                piece = missing[outcome.index]
                if outcome.error is not None:
                    self.failures[piece.output] = outcome.error
                    continue
                self.finished[piece.output] = record = (
                    _record(piece, self.journal.folder) | outcome.result.facts
                )
                self.journal.add(record)
                self.painted += 1

    def _row(self, piece: PicturePiece) -> dict[str, Any]:
        """A picture's row of ``results.csv``."""
        record = self.finished.get(piece.output)
        if record is None:
            failed = piece.output in self.failures
            status = {
                "status": "failed" if failed else "missing",
                "error": self.failures.get(piece.output, ""),
            }
            return _record(piece, self.journal.folder) | status
        losses = {"loss" if name == "total" else f"loss/{name}": v for name, v in record["losses"].items()}
        return {**record, **losses, "status": "done"}


def _record(piece: PicturePiece, folder: Path) -> dict[str, Any]:
    """What is known about a picture before it is painted."""
    return {
        "identity": piece.identity,
        "output": piece.output.relative_to(folder).as_posix(),
        "content": str(piece.content),
        "style": "+".join(str(path) for path in piece.styles),
    }


def _with_memory(pieces: list[PicturePiece], processes: int, gpus: float) -> tuple[list[PicturePiece], Needs]:
    """The pieces with a limit of memory that does not depend on what is free, and what each of them needs.

    Args:
        processes: that will share this machine; 1 for a cluster, whose machines are not known yet.
    """
    options = pieces[0].options
    encoder = loaded_encoder(options.recipe, Files(), "cpu")
    sizes = {piece.size for piece in pieces if piece.size is not None}
    limit = options.max_memory or float("inf")
    if processes > 1:
        limit = min(limit, 0.8 * available_memory(choose_device("cpu")) / processes)
    needed = 0.0
    for size in sizes:
        try:
            plan = api.expected_memory(options.recipe, encoder, size, limit, tile=options.tile)
            needed = max(needed, plan.bytes)
        except RecipeError:
            continue  # the piece itself will say so
    # A little more than is needed, so that the same plan is made again where the piece is worked on.
    memory = min(limit, needed + 1e6) if needed else None
    limited = replace(
        options, max_memory=memory if options.device == "cpu" or not gpus else options.max_memory
    )
    return [replace(piece, options=limited) for piece in pieces], Needs(1, memory or 0.0, gpus)
