"""Decodes and checks the uploads of a job, and writes them as PNGs.

The server and the workers never decode an uploaded picture themselves: they read these PNGs.
Each function changes into the job's folder, so that error messages name ``content`` and ``style-0``, not
paths on this machine.

The run is prepared here although the worker, another process that may start hours later, prepares it again:
only this shows whether the files and settings fit each other, and an accepted job should not fail for a
reason that its client could have been told at once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from impasto import api, pictures
from impasto.errors import ImpastoError
from impasto.painting import schedule
from impasto.pictures import Picture
from impasto.pictures.geometry import Size, fit, resample
from impasto.recipe import Recipe
from impasto.studio.errors import RefusedError
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.sandbox.headers import UploadHeader, check_upload
from impasto.studio.sandbox.images import write_png, write_thumbnail
from impasto.studio.sandbox.samples import render_sample
from impasto.studio.sandbox.styles import load_style, write_sample_of_style
from impasto.studio.settings import StudioSettings

__all__ = ["JobFacts", "decode_content", "prepare_job"]

_MIN_STYLE_SIZE = 1024  # uploaded styles are not scaled below this long side, so that details survive
#: A JPEG's decoder may reduce it to this many times what it is scaled to afterwards. The result differs by a
#: quarter of a grey level on average; with 2 it would by up to 34 levels where it is reduced to an eighth.
_REDUCED = 3
_NO_MEMORY_LIMIT = 1e15  # bytes; the worker checks whether there is enough memory to paint


@dataclass(frozen=True)
class JobFacts:
    """What is known about a job once its files are decoded.

    Attributes:
        kind: ``image`` or ``video``.
        format: of the content, by Pillow's or FFmpeg's name.
        size: (height, width) of the result.
        frames: of a clip, if its container says; None otherwise.
        copied_streams: kinds of streams that the result takes over from a clip: ``audio``.
    """

    kind: str
    format: str
    size: Size
    frames: int | None = None
    copied_streams: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> JobFacts:
        """From what the sandbox sent, which is JSON: tuples have become lists."""
        height, width = facts["size"]
        frames = facts["frames"]
        return cls(
            str(facts["kind"]), str(facts["format"]), (int(height), int(width)),
            None if frames is None else int(frames), tuple(map(str, facts["copied_streams"])),
        )  # fmt: skip


def prepare_job(folder: Path, inputs: JobInputs, limits: StudioSettings) -> dict[str, Any]:
    """Decode a job's uploads into PNGs and check everything that can be known before painting.

    Returns:
        The fields of ``JobFacts``.

    Raises:
        RefusedError, ImpastoError: with a one-line message for the client.
    """
    os.chdir(folder)
    recipe = inputs.picture_recipe()

    def result_size(kind: str, source: Size) -> Size:
        return _result_size(recipe, source, limits, enlarge=kind == "image")

    header, source, upright = decode_content(limits, lambda *of: max(result_size(*of)))
    is_clip = header.kind == "video"
    keys = _prepare_keys(inputs, upright, header, limits)
    if keys and recipe.size is None:
        recipe = recipe.replace(size=max(keys[0].size))
    size = result_size(header.kind, upright)
    recipe = recipe.replace(size=max(size))
    painted = size if is_clip else schedule.painting_size(recipe, *upright)
    size = schedule.output_size(recipe, *painted)  # as the worker will compute it
    content = write_png(Path("content.png"), source, painted)
    alpha = None if content.alpha is None else resample(content.alpha, size)
    pictures.save("content.jpg", resample(content.pixels, size), alpha=alpha, quality=90)
    styles = _prepare_styles(inputs, recipe, max(size), limits)
    masks = [_prepare_mask("mask", number, limits) for number in range(inputs.masks)]
    style_masks = [_prepare_mask("style_mask", number, limits) for number in range(inputs.style_masks)]
    if is_clip and (inputs.style_masks or inputs.masks > 1):
        raise RefusedError(
            "several masks for a clip", "one grey mask at most: white is painted", field="mask"
        )
    api.prepare(
        content, styles or keys, recipe, device="cpu", max_memory=_NO_MEMORY_LIMIT,
        mask=() if is_clip else masks, style_mask=style_masks,
    )  # fmt: skip
    if not is_clip:
        return asdict(JobFacts(header.kind, header.format, size))
    from impasto.studio.sandbox import clips  # PyAV and OpenCV are loaded for clips only

    streams = clips.check_clip_run(inputs, header.format)
    return asdict(JobFacts(header.kind, header.format, size, header.frames or None, streams))


def decode_content(
    limits: StudioSettings, side: Callable[[str, Size], int]
) -> tuple[UploadHeader, Picture, Size]:
    """The upload ``content`` in the working directory, for a picture that is scaled down from it.

    Args:
        side: long side of that picture, for a kind and a (height, width) that may be exchanged.

    Returns:
        Its header; the picture, or the clip's first frame, perhaps reduced already; and the (height, width)
        that it has upright.
    """
    header = check_upload(Path("content"), "content", limits, allow_clip=True)
    if header.kind != "image":
        from impasto.studio.sandbox import clips

        frame = clips.first_frame("content", header.format)
        return header, frame, frame.size
    stored = (header.height, header.width)
    picture = _decode_upload("content", "content", limits, _REDUCED * side("image", stored))
    if max(picture.size) == max(stored):
        return header, picture, picture.size
    turned = (picture.size[0] > picture.size[1]) != (stored[0] > stored[1])
    return header, picture, stored[::-1] if turned else stored


def _decode_upload(name: str, field: str, limits: StudioSettings, enough: int | None = None) -> Picture:
    try:
        return pictures.load(name, max_pixels=limits.pixels, enough=enough)
    except ImpastoError as error:
        raise RefusedError.from_error(error, field) from None


def _result_size(recipe: Recipe, source: Size, limits: StudioSettings, *, enlarge: bool) -> Size:
    size = schedule.output_size(recipe, *source, enlarge=enlarge)
    if max(size) > limits.result_side:
        got = f"a result of {size[1]}×{size[0]} pixels"
        expected = f"at most {limits.result_side} a side here"
        raise RefusedError(got, expected, "choose a smaller size", field="size")
    try:
        schedule.scale_sizes(recipe.replace(size=max(size)), *source)
    except ImpastoError as error:  # too small for the layers
        raise RefusedError.from_error(error, "size") from None
    return size


def _prepare_styles(
    inputs: JobInputs, recipe: Recipe, result_side: int, limits: StudioSettings
) -> list[Picture | api.InstantStyle]:
    """``style-<n>.png`` for each style, at twice the size at which it is used at most.

    Of a learned style ``style-<n>.safetensors``.
    """
    max_side = max(_MIN_STYLE_SIZE, round(result_side * recipe.style_scale * 2) + 1)
    styles: list[Picture | api.InstantStyle] = []
    for number, name in enumerate(inputs.style_names):
        path = Path(f"style-{number}.png")
        if name is not None:
            path.unlink(missing_ok=True)
            samples = limits.data / "samples"
            # A copy: Landlock allows no link from where nothing may be written.
            shutil.copyfile(samples / render_sample(samples, name), path)
            styles.append(pictures.load(path))
            continue
        style = load_style(f"style-{number}", recipe.method, limits)
        if isinstance(style, Picture):
            side = max(style.size)
            if not recipe.style_crop:  # a crop is given in pixels of the upload, so that its size must stay
                side = min(side, max_side)
            style = write_png(path, style, fit(*style.size, side))
            write_thumbnail(Path(f"style-{number}.webp"), style)
        else:
            style.save(path.with_suffix(api.SAVED_STYLE_SUFFIX))
            write_sample_of_style(Path(f"style-{number}.webp"), style)
        styles.append(style)
    return styles


def _prepare_keys(
    inputs: JobInputs, size: Size, content: UploadHeader, limits: StudioSettings
) -> list[Picture]:
    """``key-<n>.png`` for each key frame at the upload's size, with its alpha."""
    if not inputs.keys:
        return []
    if content.kind != "video":
        raise RefusedError("key frames for a picture", "a clip in 'content'", field="key")
    keys: list[Picture] = []
    for number in range(len(inputs.keys)):
        check_upload(Path(f"key-{number}"), "key", limits)
        picture = _decode_upload(f"key-{number}", "key", limits)
        keys.append(write_png(Path(f"key-{number}.png"), picture, picture.size))
    from impasto.studio.sandbox import clips

    clips.check_keys(inputs, size, content.frames)
    return keys


def _prepare_mask(field: str, number: int, limits: StudioSettings) -> Picture:
    """``mask-<n>.png`` or ``style_mask-<n>.png`` at the upload's size, without its alpha."""
    upload = f"{field}-{number}"
    check_upload(Path(upload), field, limits)
    picture = _decode_upload(upload, field, limits)
    return write_png(Path(f"{upload}.png"), Picture(picture.pixels), picture.size)
