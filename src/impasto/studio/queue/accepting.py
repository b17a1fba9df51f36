"""From a form to a row: uploads to disk, settings judged, files decoded in a child, twins found."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import IO, Any

from impasto import __version__, samples
from impasto.errors import ImpastoError, RecipeError
from impasto.networks import weights
from impasto.recipe import PRESETS, Recipe
from impasto.studio.queue.jobs import Job, Jobs, new_id
from impasto.studio.queue.keeping import borrow, folder_bytes
from impasto.studio.sandbox import isolation, preparing
from impasto.studio.sandbox.isolation import RefusedError
from impasto.studio.settings import StudioSettings
from impasto.video.settings import VideoSettings

__all__ = ["Asked", "Desk", "from_form", "from_json", "read_json", "usable_encoders", "usable_presets"]

DEFAULT_PRESET = "fast"
Source = IO[bytes] | Path  # an upload, or a file of an earlier job
_FILES = ("content", "style", "mask", "style_mask")
_WORDS = ("style_id", "preset", "recipe", "video", "no_mask")


@dataclass
class Asked:
    """What a request asks for; files and settings not yet judged.

    Attributes:
        styles: in order: the name of one of our samples, or a picture.
        preset, video: None: not given.
        no_mask: drop the earlier job's masks.
    """

    content: Source | None = None
    styles: list[str | Source] = field(default_factory=list)
    masks: list[Source] = field(default_factory=list)
    style_masks: list[Source] = field(default_factory=list)
    preset: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    video: dict[str, Any] | None = None
    no_mask: bool = False


def read_json(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object; raises ``RefusedError`` for anything else, NaN and infinity among them."""

    def constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    try:
        found = json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RefusedError(
            f"'{what}' is not JSON: {reason}", 'an object as {"size": 800}', field=what
        ) from None
    if not isinstance(found, dict):
        raise RefusedError(f"'{what}' is not a JSON object", 'settings by name, as {"size": 800}', field=what)
    return found


def from_form(parts: Iterable[tuple[str, Any]]) -> Asked:
    """A form's parts in their order; ``Any`` is a ``str`` or an upload with ``file``."""
    asked = Asked()
    for name, value in parts:
        is_file = not isinstance(value, str)
        if name not in _FILES + _WORDS:
            possible = ", ".join(_FILES + _WORDS)
            raise RefusedError(f"unknown part {name[:40]!r} of the form", f"possible are {possible}")
        if is_file != (name in _FILES):
            raise RefusedError(f"'{name}' is {'a file' if is_file else 'text'}", "the other", field=name)
        if name == "content":
            if asked.content is not None:
                raise RefusedError("'content' is given twice", "one picture or clip", field="content")
            asked.content = value.file
        elif name in ("style", "style_id"):
            asked.styles.append(value.file if is_file else value)
        elif is_file:
            (asked.masks if name == "mask" else asked.style_masks).append(value.file)
        else:
            _take(asked, name, value)
    return asked


def _take(asked: Asked, name: str, value: str) -> None:
    if name == "preset":
        asked.preset = value
    elif name == "no_mask":
        asked.no_mask = value not in ("", "0", "false")
    elif name == "recipe":
        asked.recipe = read_json(value, "recipe") if value.strip() else {}
    else:
        asked.video = read_json(value, "video") if value.strip() else {}


def from_json(body: Mapping[str, Any]) -> Asked:
    """The JSON form of ``again``."""
    shapes = {"recipe": dict, "video": dict, "preset": str, "style_id": list, "no_mask": bool}
    for name, value in body.items():
        shape = shapes.get(name)
        if shape is None:
            raise RefusedError(f"unknown part {str(name)[:40]!r}", f"possible are {', '.join(shapes)}")
        if value is not None and not isinstance(value, shape):
            raise RefusedError(f"'{name}' is no {shape.__name__}", "JSON of that type", field=name)
    styles = body.get("style_id") or []
    if not all(isinstance(one, str) for one in styles):
        raise RefusedError("'style_id' is not a list of names", field="style")
    return Asked(
        styles=list(styles), preset=body.get("preset"), recipe=body.get("recipe") or {},
        video=body.get("video"), no_mask=bool(body.get("no_mask")),
    )  # fmt: skip


def usable_encoders() -> list[str]:
    """The encoders whose weights are on this machine."""
    return [one.name for one in weights.status() if one.path is not None]


def usable_presets() -> dict[str, tuple[str, dict[str, Any]]]:
    """The presets whose encoder is on this machine: a client has nothing fetched from elsewhere."""
    here = usable_encoders()
    return {name: one for name, one in PRESETS.items() if one[1].get("encoder", "compact") in here}


class Desk:
    """Where jobs are accepted."""

    def __init__(self, settings: StudioSettings, jobs: Jobs) -> None:
        self.settings, self.jobs = settings, jobs
        self._pending: Counter[str] = Counter()
        self._lock = Lock()

    def run(self, function: Any, *arguments: Any) -> Any:
        """A function of ``preparing`` in a child under the limits."""
        return isolation.run(
            function, *arguments, memory=self.settings.decode_bytes, seconds=self.settings.decode_seconds
        )

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """A place in the queue, kept while a request is read; raises ``RefusedError`` (429) if full."""
        with self._lock:
            if self.jobs.waiting() + self._pending.total() >= self.settings.queue:
                raise RefusedError("the queue is full", remedy="come back in a minute", status=429)
            if self.jobs.unfinished_of(client) + self._pending[client] >= self.settings.client_jobs:
                got = f"{self.settings.client_jobs} of your jobs are waiting or running already"
                raise RefusedError(got, remedy="wait for one of them, or cancel it", status=429)
            self._pending[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._pending[client] -= 1

    def accept(self, asked: Asked, client: str, before: Job | None = None) -> Job:
        """Make a job of it; a finished twin's result is taken over.

        Args:
            before: the job whose files and settings are taken where ``asked`` has none.

        Raises:
            RefusedError: nothing of it was kept.
        """
        if before is not None:
            self._inherit(asked, before)
        preset, recipe, video = self._settings(asked, before)
        self._require(asked)
        job = new_id()
        folder = self.settings.folder(job)
        folder.mkdir(parents=True)
        try:
            return self._accept(job, folder, asked, client, preset, recipe, video)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _accept(
        self,
        job: str,
        folder: Path,
        asked: Asked,
        client: str,
        preset: str,
        recipe: Recipe,
        video: VideoSettings,
    ) -> Job:
        given = recipe.model_dump_json(exclude_unset=True)
        files = self._store(folder, asked)
        digest = _digest(files, recipe, video)
        columns: dict[str, Any] = {
            "id": job,
            "client": client,
            "digest": digest,
            "preset": preset,
            "recipe": given,
        }
        twin = self.jobs.twin(digest)
        if twin is not None and borrow(twin, folder, self.settings):
            # Its times are its own: when somebody else painted the same is nobody's business.
            return self._done(columns, twin, folder)
        order = preparing.Order(
            given, video.model_dump_json(), tuple(one["id"] for one in files["styles"]),
            files["masks"], files["style_masks"],
        )  # fmt: skip
        facts = self._prepared(folder, order)
        clip = facts["kind"] == "video"
        if asked.video and not clip:
            raise RefusedError("settings of a clip for a picture", "none", "leave out 'video'", field="video")
        files |= {"format": facts["format"], "copy": facts.get("copy", [])}
        return self.jobs.add(
            **columns, kind=facts["kind"], video=order.video if clip else None, uploads=json.dumps(files),
            height=facts["height"], width=facts["width"], frames=facts.get("frames"),
        )  # fmt: skip

    def _prepared(self, folder: Path, order: preparing.Order) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = self.run(preparing.prepare, folder, order, self.settings)
        except RefusedError as error:
            raise _about(error, error.status, error.field) from None
        return facts

    def _done(self, columns: dict[str, Any], twin: Job, folder: Path) -> Job:
        import time

        now = time.time()
        return self.jobs.add(
            **columns, kind=twin.kind, video=twin.video, uploads=twin.uploads, height=twin.height,
            width=twin.width, frames=twin.frames, state="done", created=now, started=now, finished=now,
            progress=1.0, preview=1, result=twin.result, bytes=folder_bytes(folder),
        )  # fmt: skip

    # -- settings ---------------------------------------------------------------------------------------
    def _settings(self, asked: Asked, before: Job | None) -> tuple[str, Recipe, VideoSettings]:
        preset = asked.preset or (before.preset if before is not None else DEFAULT_PRESET)
        if preset not in usable_presets():
            possible = f"possible are {', '.join(usable_presets())}"
            raise RefusedError(f"unknown preset {preset[:40]!r}", possible, field="preset")
        base, motion = dict(PRESETS[preset][1]), {}
        if before is not None and asked.preset is None:
            base, motion = json.loads(before.recipe), json.loads(before.video or "{}")
        try:
            recipe = Recipe(**(base | asked.recipe))
        except RecipeError as error:
            raise _about(error, 422, None) from None
        try:
            video = VideoSettings(**(motion | (asked.video or {})))
        except RecipeError as error:
            raise _about(error, 422, None, "video.") from None
        self._require_here(recipe, video)
        return preset, recipe, video

    def _require_here(self, recipe: Recipe, video: VideoSettings) -> None:
        here = usable_encoders()
        checks = [
            (recipe.weights is not None, "weights", "a path is not taken from a client", "leave it out"),
            (recipe.init == "picture", "init", "init 'picture' needs a picture", "another start"),
            (recipe.encoder not in here, "encoder", f"encoder {recipe.encoder!r} is not here", f"{here}"),
            (
                isinstance(recipe.size, int) and recipe.size > self.settings.result_side,
                "size", f"size {recipe.size}", f"at most {self.settings.result_side} here",
            ),
            (
                video.flow == "raft" and find_spec("torchvision") is None,
                "video.flow", "flow 'raft' needs torchvision, which is not here", "dis or farneback",
            ),
        ]  # fmt: skip
        for wrong, name, got, expected in checks:
            if wrong:
                raise RefusedError(got, expected, field=name)

    # -- files ------------------------------------------------------------------------------------------
    def _inherit(self, asked: Asked, before: Job) -> None:
        folder, files = self.settings.folder(before.id), before.files
        asked.content = folder / "content"
        if not asked.styles:
            asked.styles = [one["id"] or folder / f"style-{n}" for n, one in enumerate(files["styles"])]
        if not asked.masks and not asked.no_mask:
            asked.masks = [folder / f"mask-{n}" for n in range(files["masks"])]
        if not asked.style_masks and not asked.no_mask:
            asked.style_masks = [folder / f"style_mask-{n}" for n in range(files["style_masks"])]

    def _require(self, asked: Asked) -> None:
        if asked.content is None:
            raise RefusedError("no content", "a picture or a clip in 'content'", field="content")
        for one in asked.styles:
            if isinstance(one, str) and one not in samples.PAINTINGS:
                possible = f"possible are {', '.join(samples.PAINTINGS)}"
                raise RefusedError(f"unknown style {one[:40]!r}", possible, field="style")
        counts: dict[str, list[Any]] = {
            "style": asked.styles,
            "mask": asked.masks,
            "style_mask": asked.style_masks,
        }
        for name, given in counts.items():
            if len(given) > self.settings.files:
                raise RefusedError(f"{len(given)} of '{name}'", f"at most {self.settings.files}", field=name)

    def _store(self, folder: Path, asked: Asked) -> dict[str, Any]:
        """Every upload under a name of ours; what is asked for, in writing."""
        assert asked.content is not None
        styles: list[dict[str, Any]] = []
        for number, one in enumerate(asked.styles):
            digest = None if isinstance(one, str) else _copy(one, folder / f"style-{number}")
            styles.append({"id": one if isinstance(one, str) else None, "sha256": digest})
        masks = [_copy(one, folder / f"mask-{n}") for n, one in enumerate(asked.masks)]
        style_masks = [_copy(one, folder / f"style_mask-{n}") for n, one in enumerate(asked.style_masks)]
        return {
            "content": _copy(asked.content, folder / "content"),
            "styles": styles, "masks": len(masks), "style_masks": len(style_masks),
            "sha256": masks + style_masks,
        }  # fmt: skip


def _copy(source: Source, path: Path) -> str:
    """An upload to its place, on disk before this returns; its SHA-256."""
    if isinstance(source, Path):
        try:
            os.link(source, path)
        except FileNotFoundError:
            raise RefusedError(
                "the earlier job's files are gone", remedy="upload them again", status=409
            ) from None
        with path.open("rb") as file:
            return _sha256(file)
    source.seek(0)
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    source.seek(0)
    return _sha256(source)


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _digest(files: Mapping[str, Any], recipe: Recipe, video: VideoSettings) -> str:
    """Equal for equal bytes and settings of the same version."""
    told = [__version__, files, recipe.to_json(), recipe.size, video.model_dump_json()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _about(error: ImpastoError, status: int, name: str | None, prefix: str = "") -> RefusedError:
    """The same with the setting that it is about, where the message names one."""
    told = re.match(r"(?:setting|unknown setting) '?(\w+)'?", error.got)
    named = told[1] if told else None
    flags = [
        flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+)", f"{error.expected} {error.remedy}")
    ]
    words = [one for one in Recipe.model_fields if "_" in one and one in error.got]
    guess = next((one for one in (*flags, *words) if one in Recipe.model_fields), None)
    found = name or (prefix + named if named else guess if not prefix else None)
    return RefusedError(error.got, error.expected, error.remedy, status=status, field=found)
