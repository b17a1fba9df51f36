"""From what a client sent to files of our own: everything that decodes, run in children under limits.

The worker and the server never decode a stranger's picture themselves: they read the PNGs written here. Of a
clip, the frames are written here too. Each function changes into the job's folder, so that messages name
``content`` and ``style``, not a place on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from impasto import api, pictures, samples
from impasto.errors import ImpastoError
from impasto.painting import engine, schedule
from impasto.pictures import Picture, blend
from impasto.pictures.geometry import Size, fit, resample
from impasto.recipe import Recipe
from impasto.studio.sandbox.isolation import RefusedError
from impasto.studio.sandbox.uploads import header
from impasto.studio.settings import StudioSettings
from impasto.video.settings import VideoRecipe

__all__ = [
    "THUMBNAIL", "Order", "clip_job", "decode_clip", "export", "look", "prepare", "recipes", "render_sample",
    "render_samples", "thumbnail",
]  # fmt: skip

THUMBNAIL = 256  # long side in pixels
_LOOK = 1600
_STYLE = 1024  # styles are kept at this long side at least, if they have it
SAMPLE = 768  # long side of our own style pictures


@dataclass(frozen=True)
class Order:
    """What is to be painted, apart from the content.

    Attributes:
        recipe: JSON. video: JSON of ``VideoSettings``, for clips.
        styles: for each, the name of one of our samples, or None: the file ``style-<n>``.
        masks, style_masks: how many files ``mask-<n>`` and ``style_mask-<n>`` there are.
    """

    recipe: str
    video: str | None
    styles: tuple[str | None, ...]
    masks: int
    style_masks: int


def recipes(order: Order) -> tuple[Recipe, VideoRecipe]:
    """The order's settings, as a picture's and as a clip's."""
    picture = Recipe.from_json(order.recipe)
    motion = VideoRecipe.model_validate_json(order.video) if order.video else VideoRecipe()
    return picture, motion.replace(picture=picture)


def prepare(folder: Path, order: Order, limits: StudioSettings) -> dict[str, Any]:
    """Decode a job's files into PNGs, check everything that can be known before painting.

    Returns:
        kind, height and width of the result; frames and copy (streams to keep) of a clip.

    Raises:
        RefusedError, ImpastoError: one line for the client.
    """
    os.chdir(folder)
    about = header(Path("content"), "content", limits, clips=True)
    recipe, _ = recipes(order)
    source = _decoded("content", limits) if about.kind == "image" else _first_frame()
    size = _result_size(recipe, source.size, about.kind, limits)
    _keep(Path("content.png"), source, size)
    _jpeg(Path("content.jpg"), pictures.load("content.png"))
    styles = _styles(
        order, limits, round(max(size) * recipe.style_scale * 2) + 1, whole=bool(recipe.style_crop)
    )
    masks = [_mask("mask", n, limits) for n in range(order.masks)]
    style_masks = [_mask("style_mask", n, limits) for n in range(order.style_masks)]
    if about.kind == "video" and (order.style_masks or order.masks > 1):
        raise RefusedError(
            "several masks for a clip", "one grey mask at most: white is painted", field="mask"
        )
    painted = recipe.replace(size=max(size))
    job = api.prepare(
        "content.png", styles, painted, device="cpu", max_memory=1e15,
        mask=() if about.kind == "video" else masks, style_mask=style_masks,
    )  # fmt: skip
    engine.check(job.scene, job.recipe, job.encoder)
    facts: dict[str, Any] = {"kind": about.kind, "height": size[0], "width": size[1], "format": about.format}
    if about.kind == "video":
        facts |= {"frames": about.frames or None, "copy": _copied(order)}
    return facts


def _decoded(name: str, limits: StudioSettings, field: str | None = None) -> Picture:
    try:
        return pictures.load(name, max_pixels=limits.pixels)
    except ImpastoError as error:
        raise RefusedError(error.got, error.expected, error.remedy, field=field or name) from None


def _first_frame() -> Picture:
    from impasto.video.frames import open_clip, read
    from impasto.video.store import from_pixels

    try:
        frame = next(iter(islice(read(open_clip("content")), 1)))
    except ImpastoError as error:
        raise RefusedError(error.got, error.expected, error.remedy, field="content") from None
    return Picture(from_pixels(frame.pixels)[:, :3])


def _result_size(recipe: Recipe, source: Size, kind: str, limits: StudioSettings) -> Size:
    size = schedule.output_size(recipe, *source, enlarge=kind == "image")
    if max(size) > limits.result_side:
        got = f"a result of {size[1]}×{size[0]} pixels"
        raise RefusedError(
            got, f"at most {limits.result_side} a side here", "choose a smaller size", field="size"
        )
    return size


def _keep(path: Path, picture: Picture, size: Size) -> None:
    """As PNG of 8 bits, quickly packed: it is read once or twice and then deleted."""
    array = pictures.to_uint8(resample(picture.pixels, size))
    image = Image.fromarray(array)
    if picture.alpha is not None:
        alpha = (resample(picture.alpha, size)[0, 0] * 255.0).round().to(torch.uint8).numpy()
        image.putalpha(Image.fromarray(alpha))
    image.save(path, "PNG", compress_level=1)


def _jpeg(path: Path, picture: Picture, quality: int = 90) -> None:
    target = path.with_suffix(".partial.jpg")
    pictures.save(target, picture.pixels, alpha=picture.alpha, quality=quality)
    target.replace(path)


def _styles(order: Order, limits: StudioSettings, long_side: int, *, whole: bool) -> list[str]:
    found = []
    for number, name in enumerate(order.styles):
        path = Path(f"style-{number}.png")
        if name is not None:
            path.unlink(missing_ok=True)
            os.link(render_sample(limits.data / "samples", name), path)
        else:
            raw = f"style-{number}"
            header(Path(raw), "style", limits)
            picture = _decoded(raw, limits, "style")
            side = max(picture.size) if whole else min(max(picture.size), max(_STYLE, long_side))
            _keep(path, picture, fit(*picture.size, side))
            _thumbnail(pictures.load(path), Path(f"style-{number}.webp"))
        found.append(str(path))
    return found


def _mask(kind: str, number: int, limits: StudioSettings) -> str:
    raw, path = f"{kind}-{number}", Path(f"{kind}-{number}.png")
    header(Path(raw), kind, limits)
    picture = _decoded(raw, limits, kind)
    _keep(path, Picture(picture.pixels), picture.size)
    return str(path)


def _thumbnail(picture: Picture, path: Path) -> None:
    small = resample(picture.pixels, fit(*picture.size, min(THUMBNAIL, max(picture.size))))
    partial = path.with_suffix(".partial.webp")
    pictures.save(partial, small, quality=85)
    partial.replace(path)


def thumbnail(source: Path, target: Path) -> None:
    """A picture of ours at ``THUMBNAIL`` pixels, as WebP."""
    _thumbnail(pictures.load(source), target)


# -- clips ---------------------------------------------------------------------------------------------


def clip_job(order: Order, copy: Sequence[str], device: str, most: int) -> Any:
    """The job of the clip in the present folder, as ``impasto.video`` has it; of ``most`` frames and one."""
    from impasto.video.job import prepare_video

    _, motion = recipes(order)
    styles = [f"style-{number}.png" for number in range(len(order.styles))]
    mask = "mask-0.png" if order.masks else None
    return prepare_video(
        "content", styles, "result.mp4", motion, copy=copy, mask=mask, limit=most + 1, device=device
    )


def _copied(order: Order) -> list[str]:
    """The sound, where an MP4 can hold it."""
    try:
        clip_job(order, ("audio",), "cpu", 1).store.remove()
    except ImpastoError:
        clip_job(order, (), "cpu", 1).store.remove()
        return []
    return ["audio"]


def decode_clip(folder: Path, order: Order, copy: Sequence[str], most: int) -> int:
    """All frames of a clip into its work folder; returns how many."""
    from impasto.video.stages import decode

    os.chdir(folder)
    job = clip_job(order, copy, "cpu", most)
    for moment in decode(job):
        if moment.done > most:
            raise RefusedError(
                f"'content' has more than {most} frames", "a shorter clip", "cut it", status=413
            )
    return len((job.store.recall("clip") or {"times": ()})["times"])


# -- pictures for the page -----------------------------------------------------------------------------


def look(folder: Path, limits: StudioSettings) -> tuple[str, int, int]:
    """``look.jpg`` of the file ``content``, for browsers that cannot show it: (kind, height, width)."""
    os.chdir(folder)
    about = header(Path("content"), "content", limits, clips=True)
    picture = _decoded("content", limits) if about.kind == "image" else _first_frame()
    height, width = picture.size
    size = fit(height, width, min(_LOOK, max(height, width)))
    _jpeg(Path("look.jpg"), Picture(resample(picture.pixels, size)))
    return about.kind, height, width


def render_sample(folder: Path, name: str) -> Path:
    """One of our own paintings or photographs as PNG, with a WebP thumbnail beside; made once."""
    from filelock import FileLock

    path = folder / f"{name}.png"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        if not path.exists():
            build: Callable[[], Tensor] = (
                (lambda: samples.painting(name, size=SAMPLE))
                if name in samples.PAINTINGS
                else (lambda: samples.photograph(name))
            )
            pixels = build()
            _thumbnail(Picture(pixels), path.with_suffix(".webp"))
            _jpeg(path.with_suffix(".jpg"), Picture(pixels), quality=95)
            partial = path.with_suffix(".partial.png")
            pictures.save(partial, pixels)
            partial.replace(path)
    return path


def render_samples(folder: Path, names: Sequence[str]) -> None:
    """All of them, giving way to whoever waits for a painting."""
    os.nice(10)
    for name in names:
        render_sample(folder, name)


def export(folder: Path, recipe: str, ending: str, strength: float) -> Path:
    """The result in another format or weaker, with its recipe inside; returns where it lies."""
    os.chdir(folder)
    painted = pictures.load("result.png")
    if strength < 1.0:
        painted = blend.blend("result.png", strength, "content.png")
    path = Path(f"export-{os.getpid()}.{ending}")
    pictures.save(path, painted.pixels, alpha=painted.alpha, metadata=recipe)
    return folder / path
