"""A picture of a batch as a piece of work; what pictures have in common is loaded once in each process."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from impasto import api, pictures
from impasto.errors import PictureError
from impasto.files import write_atomically
from impasto.machine import choose_device
from impasto.networks.encoder import Encoder
from impasto.networks.weights import encoder_digest
from impasto.painting import engine
from impasto.painting.result import Result
from impasto.painting.setup import encoder_for
from impasto.pictures import DEFAULT_MAX_PIXELS, Picture
from impasto.pictures.geometry import Size
from impasto.pieces.addresses import Address, Location
from impasto.pieces.piece import Files, Report
from impasto.recipe import Recipe

__all__ = ["PaintedFile", "PaintingOptions", "PicturePiece", "loaded_encoder"]

T = TypeVar("T")


@dataclass(frozen=True)
class PaintingOptions:
    """What all pictures of a batch are painted with; see :func:`impasto.api.prepare` and ``Result.save``.

    Attributes:
        budget: seconds for each picture; None: as long as the recipe's iterations take.
    """

    recipe: Recipe
    init_image: Path | None = None
    mask: tuple[Path, ...] = ()
    style_mask: tuple[Path, ...] = ()
    budget: float | None = None
    max_memory: float | None = None
    tile: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    device: str = "auto"
    bit_depth: int = 8
    quality: int = 95

    @property
    def further_files(self) -> tuple[Path, ...]:
        """The files beside content and styles that are read for every picture."""
        return (*self.mask, *self.style_mask, *_some(self.init_image))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The settings that a picture depends on. Tiles change it by rounding only."""
        recipe = self.recipe.model_dump(mode="json", exclude={"weights"})
        return {
            "recipe": recipe,
            "encoder": encoder_digest(self.recipe.encoder, self.recipe.weights),
            "budget": self.budget,
            "bit_depth": self.bit_depth,
            "quality": self.quality,
        }


@dataclass(frozen=True)
class PaintedFile:
    """A finished picture: the contents of its file, and what is known about it.

    Attributes:
        data: empty where the piece has written the file itself.
    """

    data: bytes
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class PicturePiece:
    """A content and its styles, to be painted into a file.

    Attributes:
        output: the file; its folder is made when it is needed. An address is written where the picture is
            painted.
        digests: path → what changes with its contents, of every file that is read.
    """

    output: Location
    content: Location
    styles: tuple[Location, ...]
    options: PaintingOptions
    digests: Mapping[Location, str]

    @cached_property
    def identity(self) -> str:
        """Changes with everything that the picture depends on: contents of files, recipe, format."""
        options = self.options
        groups = ((self.content,), self.styles, options.mask, options.style_mask, _some(options.init_image))
        facts = options.identity | {
            "files": [[self.digests[path] for path in group] for group in groups],
            "format": self.output.suffix.lower(),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def label(self) -> str:
        """The name of the file."""
        return self.output.name

    @property
    def cost(self) -> float:
        """The same for all, because the long side of the results is."""
        return 1.0

    def is_done(self) -> bool:
        """Whether an earlier run has painted it, which the journal knows: such pictures are no pieces."""
        return False

    def inputs(self) -> Sequence[Path]:
        """The files that it reads, each once, without those that have an address."""
        options = self.options
        files = [self.content, *self.styles, *options.further_files, *_some(options.recipe.weights)]
        return [path for path in dict.fromkeys(files) if isinstance(path, Path)]

    def work(self, files: Files, report: Report) -> PaintedFile:
        """Paint it."""
        options, recipe = self.options, self.options.recipe
        encoder = loaded_encoder(recipe, files, options.device)
        run = api.prepare(
            self._load(self.content, files),
            [
                _shared(self.digests[path], lambda path=path: self._load_style(path, files))  # type: ignore[misc]
                for path in self.styles
            ],
            recipe,
            init_image=None if options.init_image is None else self._load(options.init_image, files),
            mask=[self._load(path, files) for path in options.mask],
            style_mask=[self._load(path, files) for path in options.style_mask],
            encoder=encoder,
            device=options.device,
            max_pixels=options.max_pixels,
            max_memory=options.max_memory,
            tile=options.tile,
        )
        if _statistics_can_be_shared(run):
            statistics = self._style_statistics(run)
            run = replace(run, scene=replace(run.scene, style_statistics=statistics))
        elif api.style_can_be_shared(run):
            run = replace(run, saved_styles=(self._instant_style(run),))
        result = api.run(
            run, on_step=lambda step: report(step.evaluations / step.planned), budget=options.budget
        )
        data = result.to_bytes(str(self.output), bit_depth=options.bit_depth, quality=options.quality)
        facts = _facts(result) | {"bytes": len(data)}
        if isinstance(self.output, Address):
            self.output.write_bytes(data)
            return PaintedFile(b"", facts)
        return PaintedFile(data, facts)

    def keep(self, result: PaintedFile) -> None:
        """Write the file, whole or not at all."""
        if isinstance(self.output, Address):
            return
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.output, result.data)
        except OSError as error:
            raise PictureError(
                f"'{self.output}' cannot be written: {error.strerror}", "a folder with enough free space"
            ) from None

    def _load(self, path: Location, files: Files) -> Picture:
        limit = self.options.max_pixels
        if isinstance(path, Address):
            return pictures.load_bytes(path.read_bytes(), str(path), max_pixels=limit)
        if not files.were_sent:
            return pictures.load(path, max_pixels=limit)
        return pictures.load_bytes(files.read(path), str(path), max_pixels=limit)

    def _load_style(self, path: Location, files: Files) -> Picture | api.InstantStyle:
        if path.suffix.lower() != api.SAVED_STYLE_SUFFIX:
            return self._load(path, files)
        if isinstance(path, Address):
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / path.name
                copy.write_bytes(path.read_bytes())
                return api.InstantStyle.load(copy)
        local = files.path(path)
        assert local is not None
        return api.InstantStyle.load(local)

    def _style_statistics(self, run: api.PreparedRun) -> dict[Size, Mapping[str, Tensor]]:
        """The styles' statistics at the sizes of this picture, computed once for the same long sides."""
        recipe = run.recipe
        sizes = engine.check(run.scene, recipe, run.encoder)
        key = (
            tuple(self.digests[path] for path in self.styles),
            recipe.to_json(),
            str(run.device),
            tuple(max(size) for size in sizes),
        )
        by_scale = _remembered(
            _statistics,
            key,
            lambda: list(engine.style_statistics(run.scene, recipe, run.encoder).values()),
            8,
        )
        return dict(zip(dict.fromkeys(sizes), by_scale, strict=True))

    def _instant_style(self, run: api.PreparedRun) -> api.InstantStyle:
        """The style's statistics for instant transfer, computed once for the same long sides."""
        digests = tuple(self.digests[path] for path in self.styles)
        key = (digests, run.recipe.to_json(), str(run.device), max(run.size), run.memory.limits.tile)
        return _remembered(_instant_styles, key, lambda: api.instant_style(run), 8)


def _some(path: Path | None) -> tuple[Path, ...]:
    return () if path is None else (path,)


def _statistics_can_be_shared(run: api.PreparedRun) -> bool:
    """Whether the styles' statistics depend on the styles alone, and change no byte of the result."""
    recipe = run.recipe
    return (
        recipe.method == "optimise"
        and recipe.colours == "style"
        and recipe.wants_style
        and not recipe.guidance  # weighs the parts of the styles by the content
        and recipe.clean_chroma is None  # reads the style pictures themselves at the last scale
        and not run.scene.regions
        and run.memory.limits.tile is None  # statistics in tiles differ by rounding
    )


def _facts(result: Result) -> dict[str, Any]:
    """What the journal says about a picture."""
    sums: dict[str, float] = {}
    for name, value in result.losses.items():
        part = name.split("/", maxsplit=1)[0]
        sums[part] = sums.get(part, 0.0) + value
    height, width = result.pixels.shape[-2:]
    return {
        "seconds": round(result.seconds, 3),
        "width": int(width),
        "height": int(height),
        "evaluations": len(result.trace),
        "threads": torch.get_num_threads(),
        "losses": {name: float(f"{value:.6g}") for name, value in sums.items()},
    }


# -- what pictures have in common, for the lifetime of the process ------------------------------------------

_encoders: OrderedDict[Hashable, Encoder] = OrderedDict()
_styles: OrderedDict[Hashable, Picture | api.InstantStyle] = OrderedDict()
_statistics: OrderedDict[Hashable, list[Mapping[str, Tensor]]] = OrderedDict()
_instant_styles: OrderedDict[Hashable, api.InstantStyle] = OrderedDict()


def loaded_encoder(recipe: Recipe, files: Files, device: str) -> Encoder:
    """The recipe's encoder on a device, loaded once."""
    weights = files.path(recipe.weights)
    key = (recipe.encoder, weights, recipe.pooling, recipe.padding, recipe.precision, device)
    return _remembered(
        _encoders, key, lambda: encoder_for(recipe.replace(weights=weights), choose_device(device)), 1
    )


def _shared(digest: str, load: Callable[[], Picture | api.InstantStyle]) -> Picture | api.InstantStyle:
    return _remembered(_styles, digest, load, 4)


def _remembered(memory: OrderedDict[Hashable, T], key: Hashable, make: Callable[[], T], limit: int) -> T:
    """The value of ``key``, made now if it is not remembered; the least recently used ones are forgotten."""
    if key not in memory:
        memory[key] = make()
    memory.move_to_end(key)
    while len(memory) > limit:
        memory.popitem(last=False)
    return memory[key]
