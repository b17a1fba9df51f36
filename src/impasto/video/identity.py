"""Which run a work folder belongs to: everything that the painted frames depend on, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.errors import VideoError
from impasto.feedforward.style import InstantStyle
from impasto.recipe import Recipe
from impasto.scene import Style
from impasto.video.boundary import video_errors
from impasto.video.clip_context import unfinished
from impasto.video.frames import Clip
from impasto.video.settings import OLD_NAMES, VideoRecipe
from impasto.video.store import Store

__all__ = ["OtherRunError", "begun_with_finishing", "claim_work_folder", "run_identity"]

#: Fact of a run: whether its frames are finished, which earlier versions did not do.
FINISHED = "frames are finished"

_BLOCK, _MAX_BLOCKS = 1 << 20, 64  # bytes; larger files are read at so many places


class OtherRunError(VideoError):
    """The work folder holds frames painted from other pictures or with other settings."""


def run_identity(
    clip: Clip,
    styles: Sequence[Style | InstantStyle],
    recipe: VideoRecipe,
    *,
    mask: Path | None,
    limit: int | None,
    processes: int | str,
    levels: int,
) -> dict[str, Any]:
    """Everything that the painted frames depend on; only a run with the same identity may resume another.

    Files count by what is in them, so that a folder may be moved in between.

    Raises:
        VideoError: the mask cannot be read.
    """
    digest = hashlib.sha256()
    for style in styles:
        if isinstance(style, InstantStyle):
            digest.update(style.digest.encode())
        else:
            digest.update(style.pixels.numpy().tobytes())
            if style.mask is not None:
                digest.update(style.mask.numpy().tobytes())
    frames = limit
    if clip.times:
        frames = len(clip.times) if limit is None else min(limit, len(clip.times))
    facts: dict[str, Any] = {
        "clip digest": _digest([clip.path] if not clip.files else clip.files),
        "styles": digest.hexdigest()[:16],
        "mask digest": None if mask is None else _mask_digest(mask),
        "frames": frames,
        "processes": processes,
        "levels": levels,
        FINISHED: any(recipe.picture.finishing),
    }
    return facts | _flat(recipe)


def _flat(recipe: VideoRecipe) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(recipe.to_json())
    picture: dict[str, Any] = settings.pop("picture")
    return settings | picture


def _mask_digest(mask: Path) -> str:
    """As :func:`_digest`, of a picture, a clip or the files in a folder."""
    with video_errors(f"the mask '{mask}' cannot be read"):
        files = sorted(path for path in mask.iterdir() if path.is_file()) if mask.is_dir() else [mask]
        return _digest(files)


def _digest(files: Sequence[Path]) -> str:
    """SHA-256 of files: whole up to 64 MB, beyond that of their sizes and 64 blocks spread over them."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{size} ".encode())
        step = max(_BLOCK, size // _MAX_BLOCKS)
        with path.open("rb") as file:
            for position in range(0, size, step):
                file.seek(position)
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:32]


def claim_work_folder(store: Store, identity: dict[str, Any], clip: Clip, *, restart: bool) -> None:
    """Make the work folder for this run, or check that the frames in it belong to this run.

    Raises:
        OtherRunError: they were painted from other pictures or with other settings.
    """
    if restart:
        store.remove()
    stored = store.recall("job")
    if stored is None:
        store.make("input", "mask", "reference")
        store.remember("job", identity)
        return
    changes = [
        f"{name} {before!r} → {value!r}"
        for name, before, value in _compared(stored, identity, clip)
        if before != value
    ]
    if changes:
        raise OtherRunError(
            f"'{store.root}' holds frames painted with other settings ({', '.join(changes[:3])})",
            "the same settings to resume it",
            "repeat the earlier command, or add --restart to begin anew",
        )


def begun_with_finishing(store: Store) -> bool:
    """Whether the frames in a claimed work folder are finished; older versions finished none."""
    return bool((store.recall("job") or {}).get(FINISHED))


def _without_finishing(facts: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a run as if its recipe had no finishing, as in versions that finished no frames."""
    known = {**defaults, **facts}
    picture = Recipe(**{name: known[name] for name in Recipe.model_fields})
    return {**facts, **json.loads(unfinished(picture).to_json())}


def _compared(stored: dict[str, Any], identity: dict[str, Any], clip: Clip) -> list[tuple[str, Any, Any]]:
    """(name, before, now) of everything that can be compared.

    A setting that the stored identity lacks is younger than it: the frames were painted with its default.
    Version 0.1 knew a clip by the time of its last change instead of a digest.
    """
    defaults = _flat(VideoRecipe())
    if FINISHED not in stored:
        stored, identity = _without_finishing(stored, defaults), _without_finishing(identity, defaults)
    known = defaults | {OLD_NAMES.get(name, name): value for name, value in stored.items()}
    compared = [(name, known[name], value) for name, value in identity.items() if name in known]
    if "clip changed" in stored:
        newest = max((file.stat().st_mtime_ns for file in clip.files), default=clip.path.stat().st_mtime_ns)
        compared.append(("clip changed", stored["clip changed"], newest))
    return compared
