"""A job: a clip, its styles, its settings and its output, checked before any work is done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import pictures
from impasto.errors import VideoError
from impasto.losses.objective import StyleSource
from impasto.machine import choose_device, choose_dtype
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.painting.engine import output_size
from impasto.pictures.colour import colour_moments, to_oklab
from impasto.pictures.geometry import Size, resample
from impasto.video.frames import Clip, open_clip, read
from impasto.video.settings import VideoRecipe
from impasto.video.store import Store, from_pixels
from impasto.video.writing import Codec, choose_codec, require_container

__all__ = ["PathLike", "VideoJob", "prepare_video"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class VideoJob:
    """Everything a run needs, checked before any work is done.

    Attributes:
        size: (height, width) of the result.
        codec: None: a folder of pictures is written.
        copy: kinds of streams copied through: ``audio``, ``subtitle``.
        limit: only so many frames; None: all.
    """

    clip: Clip
    styles: tuple[StyleSource, ...]
    recipe: VideoRecipe
    encoder: Encoder
    device: torch.device
    size: Size
    output: Path
    codec: Codec | None
    mask: Path | None
    quality: int
    copy: tuple[str, ...]
    processes: int
    limit: int | None
    preview: Path | None
    store: Store
    identity: dict[str, Any]


def prepare_video(
    clip: PathLike,
    style: PathLike | Sequence[PathLike],
    output: PathLike,
    recipe: VideoRecipe | None = None,
    *,
    rate: Fraction | float = 25,
    codec: str | None = None,
    quality: int = 16,
    copy: Sequence[str] = ("audio", "subtitle"),
    mask: PathLike | None = None,
    limit: int | None = None,
    processes: int = 1,
    preview: PathLike | None = None,
    device: str = "auto",
    restart: bool = False,
) -> VideoJob:
    """Load and check everything; raises the project's errors before any work is done.

    Args:
        clip: a video file or a folder of pictures.
        style: one style picture or several.
        output: a file (.mp4, .mov, .mkv, .webm, .avi), or a folder for pictures.
        rate: frames a second of a folder.
        codec: a key of ``writing.CODECS``; None: the usual one for the output's ending.
        quality: rate factor of h264, hevc and vp9, 0 (best) to 51.
        mask: a picture, folder or clip: white is painted, black left as filmed.
        processes: shots painted at once.
        preview: a .png that always shows the newest frame.
        restart: throw away what an earlier run left.
    """
    recipe, place = recipe or VideoRecipe(), Path(output)
    opened = open_clip(clip, rate)
    if processes < 1 or (limit is not None and limit < 1) or not 0 <= quality <= 51:
        raise VideoError(f"processes {processes}, limit {limit}, quality {quality}", "≥ 1, ≥ 1 and 0 to 51")
    listed = list(style) if isinstance(style, (list, tuple)) else [style]
    pictures = [pictures.load(one) for one in listed]  # type: ignore[arg-type]
    chosen = choose_codec(place, codec) if place.suffix else None
    _check_output(place, opened, [Path(one) for one in listed], chosen, copy, quality)  # type: ignore[arg-type]
    size = _size(recipe, opened)
    full = recipe.replace(picture=recipe.picture.replace(size=max(size)))
    store = Store(place.with_name(place.name + ".work"), 65535 if chosen and chosen.deep else 255)
    palette = _palette(opened, full, size)
    styles = tuple(StyleSource(one.pixels, one.alpha, palette) for one in pictures)
    where = choose_device(device)
    picture = full.picture
    encoder = load_encoder(
        picture.encoder,
        weights=picture.weights,
        pooling=picture.pooling,
        padding=picture.padding,
        device=where,
        dtype=choose_dtype(picture.precision, where),
    )
    identity = _identity(opened, styles, full, mask, limit, processes, store.levels)
    _claim(store, identity, restart)
    return VideoJob(
        opened, styles, full, encoder, where, size, place, chosen, None if mask is None else Path(mask),
        quality, tuple(copy), processes, limit, None if preview is None else Path(preview), store, identity,
    )  # fmt: skip


def _palette(clip: Clip, recipe: VideoRecipe, size: Size) -> tuple[Tensor, Tensor] | None:
    """Colours of the first frame, that the styles are brought to: each frame's own would make it flicker."""
    if recipe.picture.colours == "only":
        raise VideoError(
            "colours 'only' for a video: nothing would be painted", "'style', 'content' or 'match'"
        )
    if recipe.picture.colours == "style":
        return None
    first = resample(from_pixels(next(read(clip, recipe.on_corrupt)).pixels), size)
    return colour_moments(to_oklab(first[:, :3]), first[:, 3:] if first.shape[1] == 4 else None)


def _size(recipe: VideoRecipe, clip: Clip) -> Size:
    """The result's size: the long side asked for, but a clip is not enlarged unless told to."""
    return output_size(recipe.picture, clip.height, clip.width, enlarge=False)


def _check_output(
    place: Path, clip: Clip, styles: list[Path], codec: Codec | None, copy: Sequence[str], quality: int
) -> None:
    if not place.parent.is_dir():
        raise VideoError(
            f"the folder of the output '{place}' does not exist", remedy=f"mkdir -p '{place.parent}'"
        )
    for other in (clip.path, *styles):
        if place.exists() and place.resolve() == other.resolve():
            raise VideoError(f"the output '{place}' is also an input", remedy="choose another name")
    if codec is None:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise VideoError(f"the output '{place}' is there already", "a new or empty folder", "rename it")
    elif place.is_dir():
        raise VideoError(f"the output '{place}' is a folder", "a file name", "choose another name")
    else:
        require_container(place, clip, codec, copy, quality)


def _identity(
    clip: Clip,
    styles: tuple[StyleSource, ...],
    recipe: VideoRecipe,
    mask: PathLike | None,
    limit: int | None,
    processes: int,
    levels: int,
) -> dict[str, Any]:
    """What makes this job this job: a run with another identity does not go on with its frames."""
    digest = hashlib.sha256()
    for style in styles:
        digest.update(style.pixels.numpy().tobytes())
    newest = max((file.stat().st_mtime_ns for file in clip.files), default=clip.path.stat().st_mtime_ns)
    facts: dict[str, Any] = {
        "clip": str(clip.path.resolve()),
        "clip changed": newest,
        "styles": digest.hexdigest()[:16],
        "mask": None if mask is None else str(Path(mask).resolve()),
        "limit": limit,
        "processes": processes,
        "levels": levels,
    }
    settings: dict[str, Any] = json.loads(recipe.to_json())
    picture: dict[str, Any] = settings.pop("picture")
    return facts | settings | picture


def _claim(store: Store, identity: dict[str, Any], restart: bool) -> None:
    """Make the work folder ours, or find that it is."""
    if restart:
        store.remove()
    before = store.recall("job")
    plain = json.loads(json.dumps(identity))
    if before is not None and before != plain:
        changed = [
            f"{k} {before.get(k)!r} → {plain.get(k)!r}" for k in plain if before.get(k) != plain.get(k)
        ]
        raise VideoError(
            f"'{store.root}' holds frames painted otherwise ({', '.join(changed[:3])})",
            "the same settings to go on",
            "repeat the earlier command, or add --restart to begin anew",
        )
    if before is None:
        store.make("input", "mask", "reference")
        store.remember("job", plain)
