"""Runs a batch: finds the pictures, skips what is finished, paints the rest, writes the table of results."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from impasto import api, pictures
from impasto.batch.inputs import DEFAULT_NAME
from impasto.batch.journal import Journal, remove_unfinished, write_table
from impasto.batch.listing import Entry, Listing, StoredResults
from impasto.batch.painting import PaintingOptions, PicturePiece, loaded_encoder
from impasto.errors import PictureError, RecipeError
from impasto.machine import available_memory, choose_device
from impasto.painting.schedule import painting_size
from impasto.pictures import READABLE_SUFFIXES
from impasto.pictures.geometry import Size
from impasto.pieces.addresses import Address, Location, location
from impasto.pieces.piece import Files, Needs
from impasto.pieces.places import device_at, executor_for, resolved
from impasto.pieces.running import PieceProgress, run_pieces
from impasto.recipe import Recipe

__all__ = ["BatchOutcome", "BatchProgress", "run_batch"]

PathLike = str | os.PathLike[str]

#: Threads that read contents in advance, to know which they are.
READERS = 4

#: How far a batch is: finished pictures and all, those of earlier runs included, and the share of the work.
BatchProgress = PieceProgress


@dataclass(frozen=True)
class BatchOutcome:
    """What became of a batch.

    The pictures and failures are read from a temporary database.

    Attributes:
        folder: with the pictures, ``results.csv`` and ``results.jsonl``.
        pictures: file → what is known about it: ``seconds``, ``losses`` …; for all that are finished.
        failures: file → one line about why it could not be painted.
        painted: number of pictures that this run has painted.
        seconds: that this run took.
    """

    folder: Location
    pictures: Mapping[Location, Mapping[str, Any]]
    failures: Mapping[Location, str]
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
        contents, styles: files, folders, and patterns such as ``photos/**/*.jpg``; also addresses such as
            ``s3://bucket/photos``, which are read where the pictures are painted. With ``method="instant"``
            styles may also be saved ones (.safetensors).
        output: the folder of the results; made if its parent exists. To an address pictures are written from
            where they are painted; in an object store, one batch at a time.
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
    painting, on = PaintingOptions(recipe or Recipe(), **options), resolved(on)
    painting = replace(painting, device=device_at(on, painting.device, gpus_per_piece))
    target = location(os.fspath(output))
    # A folder that all machines share is one of this machine too, but each writes its pictures by itself.
    folder: Location = (target.local or target) if isinstance(target, Address) else target
    words = [[os.fspath(path) for path in paths] for paths in (contents, styles)]
    suffixes: tuple[str, ...] = READABLE_SUFFIXES
    if painting.recipe.method == "instant":
        suffixes = (*suffixes, api.SAVED_STYLE_SUFFIX)
    listing = Listing(words[0], words[1], folder, pair=pair, blend=blend, style_suffixes=suffixes)
    listing.name_results(name)
    _check_outputs(listing, painting)
    journal = Journal(folder)
    with journal.locked():
        if isinstance(folder, Path):
            remove_unfinished(folder / path for path in listing.folders())
        run = _Run(journal, listing, target)
        run.paint(painting, on, processes, gpus_per_piece, on_progress)
    return BatchOutcome(
        folder,
        StoredResults(listing, "record", json.loads),
        StoredResults(listing, "error", str),
        run.painted,
        time.perf_counter() - begin,
    )


def _check_outputs(listing: Listing, options: PaintingOptions) -> None:
    """Refuse, before anything is painted, results that cannot be written or that would replace an input."""
    if (path := listing.input_named_like_a_result(options.further_files)) is not None:
        raise PictureError(f"the result '{path}' is also an input", remedy="choose another folder")
    for name in listing.endings().values():
        pictures.check_encoding(str(listing.folder / name), options.bit_depth)


class _Run:
    """One run of a batch, and what it has come to so far.

    Args:
        target: the folder of the pictures; an address is written to where they are painted.
    """

    def __init__(self, journal: Journal, listing: Listing, target: Location) -> None:
        self.journal, self.listing, self.target = journal, listing, target
        self.painted = 0
        self.passed = 0  # pictures that are finished already, or cannot be read
        self.live: dict[int, tuple[Entry, PicturePiece]] = {}  # index of a piece → what it paints
        self.digests: OrderedDict[Location, tuple[str, str]] = OrderedDict()

    def paint(
        self,
        options: PaintingOptions,
        on: str,
        processes: int,
        gpus: float,
        on_progress: Callable[[BatchProgress], None] | None,
    ) -> None:
        """Paint what is missing, and write the table whatever happens."""
        try:
            needs = Needs()
            if on != "local" or processes != 1:
                many = max(1, processes) if on == "local" else 1
                options, needs = _with_memory(options, self.listing, many, gpus)
            pieces = self._pieces(options)
            first = next(pieces, None)
            if first is not None:
                self._paint(chain([first], pieces), options, needs, on, processes, on_progress)
            if on_progress is not None and len(self.listing):
                done = self.passed + self.painted
                on_progress(BatchProgress(done, len(self.listing), 1.0, ""))
        finally:
            self.journal.close()
            write_table(self.journal.folder / "results.csv", _Table(self.listing))

    def _paint(
        self,
        pieces: Iterator[PicturePiece],
        options: PaintingOptions,
        needs: Needs,
        on: str,
        processes: int,
        on_progress: Callable[[BatchProgress], None] | None,
    ) -> None:
        # Counted with those that are done, so that a resumed run paints with as many threads.
        total = len(self.listing)
        executor = executor_for(on, total, processes=processes, device=options.device, needs=needs)
        outcomes = run_pieces(
            pieces, executor, count=total, earlier=lambda: self.passed, on_progress=on_progress
        )
        with closing(outcomes):
            for outcome in outcomes:
                entry, piece = self.live.pop(outcome.index)
                if outcome.error is not None:
                    self.listing.fail(entry.number, outcome.error)
                    continue
                record = {"identity": piece.identity, **_known(entry), **outcome.result.facts}
                self.listing.finish(entry.number, record)
                self.journal.add(record)
                self.painted += 1

    def _pieces(self, options: PaintingOptions) -> Iterator[PicturePiece]:
        """The pictures that are missing, each made when there is room for it."""
        index = 0
        for entry, content, others in self._with_digests(options):
            error = content[1] or next((reason for _, reason in others.values() if reason), "")
            digests = {
                entry.content.path: content[0],
                **{path: digest for path, (digest, _) in others.items()},
            }
            output = self.target / entry.name
            piece = PicturePiece(output, entry.content.path, entry.styles, options, digests)
            if error:
                self.listing.fail(entry.number, error)
                self.passed += 1
            elif (record := self.journal.finished(piece.identity, entry.name)) is not None:
                self.listing.finish(entry.number, record)
                self.passed += 1
            else:
                self.live[index] = (entry, piece)
                index += 1
                yield piece

    def _with_digests(
        self, options: PaintingOptions
    ) -> Iterator[tuple[Entry, tuple[str, str], dict[Location, tuple[str, str]]]]:
        """Each picture with what is known of its content, and of its other files.

        Contents are read by threads, a few files ahead: that takes longer than all else in this process.
        """

        def of_content(entry: Entry) -> tuple[str, str]:
            known = entry.content.fingerprint
            return (known, "") if known is not None else _digest(entry.content.path)

        with ThreadPoolExecutor(READERS, thread_name_prefix="digest") as threads:
            entries = self.listing.entries()
            ahead = deque(
                (entry, threads.submit(of_content, entry)) for entry in islice(entries, 4 * READERS)
            )
            while ahead:
                entry, future = ahead.popleft()
                if (following := next(entries, None)) is not None:
                    ahead.append((following, threads.submit(of_content, following)))
                content = future.result()
                if not content[1] and entry.content.fingerprint is None:
                    self.listing.remember_fingerprint(entry.content_number, content[0])
                others = (*entry.styles, *options.further_files)
                yield entry, content, {path: self._digest_of_other(path) for path in others}

    def _digest_of_other(self, path: Location) -> tuple[str, str]:
        """As :func:`_digest`, remembered, because many pictures share these files."""
        if path not in self.digests:
            self.digests[path] = _digest(path)
        self.digests.move_to_end(path)
        while len(self.digests) > 1000:
            self.digests.popitem(last=False)
        return self.digests[path]


def _digest(path: Location) -> tuple[str, str]:
    """(what changes with the contents of a file, empty string), or (empty string, why it cannot be read)."""
    try:
        if isinstance(path, Path):
            return hashlib.sha256(path.read_bytes()).hexdigest(), ""
        entry = path.entry()
        if entry is not None and entry.fingerprint is not None:
            return entry.fingerprint, ""
        return hashlib.sha256(path.read_bytes()).hexdigest(), ""
    except OSError as error:
        return "", f"'{path}' cannot be read: {error.strerror}"
    except PictureError as error:
        return "", str(error)


def _known(entry: Entry) -> dict[str, Any]:
    """What is known about a picture before it is painted."""
    return {
        "output": entry.name,
        "content": str(entry.content.path),
        "style": "+".join(str(path) for path in entry.styles),
    }


class _Table:
    """The rows of ``results.csv``, read from the listing as often as they are gone through."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    def __iter__(self) -> Iterator[dict[str, Any]]:
        outcomes = self.listing.outcomes()
        for entry, (_, _, record, error) in zip(self.listing.entries(), outcomes, strict=True):
            if record is None:
                status = {"status": "missing" if error is None else "failed", "error": error or ""}
                yield _known(entry) | status
                continue
            losses = {
                "loss" if name == "total" else f"loss/{name}": v for name, v in record["losses"].items()
            }
            yield {**record, **losses, "status": "done"}


def _with_memory(
    options: PaintingOptions, listing: Listing, processes: int, gpus: float
) -> tuple[PaintingOptions, Needs]:
    """The options with a limit of memory that does not depend on what is free, and what a picture needs.

    Args:
        processes: that will share this machine; 1 for a cluster, whose machines are not known yet.
    """
    encoder = loaded_encoder(options.recipe, Files(), "cpu")
    limit = options.max_memory or float("inf")
    if processes > 1:
        limit = min(limit, 0.8 * available_memory(choose_device("cpu")) / processes)
    needed = 0.0
    for size in _largest_sizes(options.recipe, listing):
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
    return limited, Needs(1, memory or 0.0, gpus)


def _largest_sizes(recipe: Recipe, listing: Listing) -> set[Size]:
    """Sizes (height, width) of painting of which none takes more memory: of the contents, if these decide it.

    Otherwise a square, because only the long side is known without reading millions of headers.
    """
    if recipe.size != "original":
        return {painting_size(recipe, 1000, 1000)}
    sizes: set[Size] = set()
    for entry in listing.entries():
        if isinstance(entry.content.path, Path):
            with suppress(PictureError):
                header = pictures.read_header(entry.content.path)
                sizes.add(painting_size(recipe, header.height, header.width))
    return sizes
