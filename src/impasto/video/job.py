"""``prepare_video``: a clip, its styles, its settings and its output, checked before any work is done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from impasto import pictures
from impasto.errors import VideoError
from impasto.feedforward.style import InstantStyle, is_saved_style, saved_styles
from impasto.machine import choose_device
from impasto.networks.encoder import Encoder
from impasto.painting import engine, instant
from impasto.painting.schedule import output_size
from impasto.painting.setup import encoder_for
from impasto.pictures.colour import palette_moments
from impasto.pictures.geometry import Size, resample
from impasto.pieces.piece import Needs
from impasto.pieces.places import device_at, resolved
from impasto.scene import Scene, Style
from impasto.video.clip_context import frame_recipe, unfinished
from impasto.video.frames import Clip, open_clip, read
from impasto.video.identity import begun_with_finishing, claim_work_folder, run_identity
from impasto.video.key_frames import KeyFrame, load_keys
from impasto.video.needs import shot_needs
from impasto.video.settings import VideoRecipe
from impasto.video.store import Store, from_pixels
from impasto.video.writing import Codec, choose_codec, require_container

__all__ = ["WRITING", "PathLike", "VideoJob", "clip_facts", "pass_names", "prepare_video"]

PathLike = str | os.PathLike[str]

#: Name of the facts that are in the work folder while pictures are written to the output.
WRITING = "writing"


@dataclass(frozen=True)
class VideoJob:
    """Everything a run needs, loaded and checked. The other attributes are those of :func:`prepare_video`.

    Attributes:
        styles: the pictures; none if there are saved styles.
        saved_styles: replace the pictures, with ``method="instant"``.
        recipe: with the size filled in.
        size: (height, width) of the result.
        codec: None where a folder of pictures is written.
        store: the work folder.
        shot_device: what a shot is painted on where it is a piece of work.
    """

    clip: Clip
    styles: tuple[Style, ...]
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
    on: str
    limit: int | None
    preview: Path | None
    store: Store
    keys: tuple[KeyFrame, ...] = ()
    saved_styles: tuple[InstantStyle, ...] = ()
    part_frames: int | None = None
    gpus_per_piece: float = 0.0
    shot_device: str = "cpu"

    @property
    def shot_needs(self) -> Needs:
        """What painting a shot takes."""
        return shot_needs(self.recipe.picture, self.encoder, self.size, self.gpus_per_piece)

    @property
    def has_cover(self) -> bool:
        """Whether key frames leave parts unpainted, so that every frame has to say which."""
        return any(key.alpha is not None for key in self.keys)

    @property
    def can_be_transparent(self) -> bool:
        """Whether the output has an alpha channel."""
        return self.codec is None or bool(self.codec.formats[1])


def clip_facts(job: VideoJob) -> dict[str, Any]:
    """What decoding stored about the clip: times, corrupt frames and cuts."""
    facts = job.store.recall("clip")
    assert facts is not None, "`decode` runs first"
    return facts


def pass_names(job: VideoJob) -> list[str]:
    """The kinds of painted frames in the store: ``pass1``, ``pass2``, …"""
    return [f"pass{number}" for number in range(1, job.recipe.passes + 1)]


def prepare_video(
    clip: PathLike | Clip,
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
    on: str = "local",
    preview: PathLike | None = None,
    device: str = "auto",
    restart: bool = False,
    keys: Mapping[int, PathLike] | None = None,
    first_frame: PathLike | None = None,
    part_frames: int | None = None,
    gpus_per_piece: float = 0.0,
) -> VideoJob:
    """Load and check everything; raises the project's errors before any work is done.

    Args:
        clip: a video file, a folder of pictures, or what ``open_clip`` found of either.
        style: one style picture or several. With ``method="instant"`` also saved styles (.safetensors).
        output: a file (.mp4, .mov, .mkv, .webm, .avi), or a folder for pictures.
        rate: frames a second of a folder of pictures.
        codec: a key of ``writing.CODECS``; None: the default for the ending of the output.
        quality: constant rate factor of h264, hevc and vp9, 0 (lossless) to 51.
        copy: kinds of streams that are copied into the output.
        mask: a picture, folder or clip: white is painted, black left as filmed.
        limit: paint only the first ``limit`` frames; None: all.
        processes: how many shots, or parts of them, are painted at the same time.
        on: where they are painted, see :func:`impasto.pieces.places.executor_for`.
        preview: a .png that is replaced by the newest frame while painting.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        restart: delete what an earlier run left in the work folder.
        keys: index of a frame → its painting: the clip is painted from these, see
            :mod:`impasto.video.propagation`. Without a size in the recipe, it gets that of the paintings.
        first_frame: a picture of the clip's first frame; None: it is decoded where it is needed.
        part_frames: longer shots are cut into parts of about so many frames, which are painted at the same
            time, see :mod:`impasto.video.parts`; 0: never; None: where more can be painted at the same time
            than there are shots.
        gpus_per_piece: GPUs that a shot takes on a cluster.
    """
    recipe, path = recipe or VideoRecipe(), Path(output)
    source = clip if isinstance(clip, Clip) else open_clip(clip, rate)
    if processes < 1 or (limit is not None and limit < 1) or not 0 <= quality <= 51:
        raise VideoError(f"processes {processes}, limit {limit}, crf {quality}", "≥ 1, ≥ 1 and 0 to 51")
    files = style if isinstance(style, (list, tuple)) else [cast(PathLike, style)]
    saved = saved_styles(files, recipe.picture.method)
    loaded = [] if saved else [pictures.load(file) for file in files]
    inputs = [Path(file) for file in files if is_saved_style(file)]
    inputs += [picture.source for picture in loaded if picture.source is not None]
    encoding = choose_codec(path, codec) if path.suffix else None
    store = Store(path.with_name(path.name + ".work"), 65535 if encoding and encoding.deep else 255)
    begun = store.recall(WRITING) is not None and not restart
    _check_output(path, source, inputs, encoding, copy, quality, begun=begun)
    key_files = {index: Path(file) for index, file in (keys or {}).items()}
    frames = min(filter(None, (len(source.times), limit)), default=0)
    key_frames = load_keys(key_files, (source.height, source.width), frames)
    if key_frames and recipe.picture.method == "instant":
        raise VideoError("key frames with method 'instant'", "the optimiser", "choose another preset")
    if key_frames and recipe.picture.size is None:
        recipe = recipe.replace(picture=recipe.picture.replace(size=max(key_frames[0].pixels.shape[-2:])))
    # A clip is enlarged only when a size is asked for.
    size = output_size(recipe.picture, source.height, source.width, enlarge=False)
    recipe = recipe.replace(picture=recipe.picture.replace(size=max(size)))
    palette = _palette(source, recipe, size, first_frame)
    styles = tuple(Style(picture.pixels, picture.alpha, palette) for picture in loaded)
    on = resolved(on)
    shot_device = device_at(on, device, gpus_per_piece)
    chosen_device = choose_device(device if on == "local" else "cpu")
    encoder = encoder_for(recipe.picture, chosen_device)
    _check_recipe(recipe, size, styles, saved, encoder, from_keys=bool(key_frames))
    # Shots that are painted with another number of threads differ by rounding.
    shared_by = processes if on == "local" else "a cluster"
    mask_path = None if mask is None else Path(mask)
    identity = run_identity(
        source, saved or styles, recipe, mask=mask_path, limit=limit, processes=shared_by, levels=store.levels
    )
    if key_frames:
        identity["keys"] = [f"{key.index} {_pixels_digest(key)}" for key in key_frames]
    claim_work_folder(store, identity, source, restart=restart)
    if key_frames or not begun_with_finishing(store):
        recipe = recipe.replace(picture=unfinished(recipe.picture))
    return VideoJob(
        clip=source,
        styles=styles,
        recipe=recipe,
        encoder=encoder,
        device=chosen_device,
        size=size,
        output=path,
        codec=encoding,
        mask=mask_path,
        quality=quality,
        copy=tuple(copy),
        processes=processes,
        on=on,
        limit=limit,
        preview=None if preview is None else Path(preview),
        store=store,
        keys=key_frames,
        saved_styles=saved,
        part_frames=part_frames,
        gpus_per_piece=gpus_per_piece,
        shot_device=shot_device,
    )


def _pixels_digest(key: KeyFrame) -> str:
    digest = hashlib.sha256(key.pixels.numpy().tobytes())
    if key.alpha is not None:
        digest.update(key.alpha.numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_recipe(
    recipe: VideoRecipe,
    size: Size,
    styles: tuple[Style, ...],
    saved: Sequence[InstantStyle],
    encoder: Encoder,
    *,
    from_keys: bool,
) -> None:
    """Refuse a recipe by which these styles cannot be painted at this size.

    Args:
        from_keys: whether there are key frames; what they do not show is painted without finishing.
    """
    black = torch.zeros(1, 3, *size)
    if recipe.picture.method == "instant":
        instant.check(Scene(black, styles), recipe.picture, saved)
        if saved:
            InstantStyle.blend(saved, recipe.picture.style_blend)  # refuses weights that do not fit
        return
    if from_keys:
        recipe = recipe.replace(picture=unfinished(recipe.picture))
    scene = Scene(black, styles, start=black if from_keys else None)
    engine.check_shared(scene, frame_recipe(recipe), encoder)


def _palette(
    clip: Clip, recipe: VideoRecipe, size: Size, first_frame: PathLike | None
) -> tuple[Tensor, Tensor] | None:
    """Colour moments of the first frame, which the styles are matched to; None if they keep their colours.

    The whole clip has the same palette, because with a new one for each frame the colours would flicker.
    """
    if recipe.picture.colours == "only":
        raise VideoError(
            "colours 'only' for a video: nothing would be painted", "'style', 'content' or 'match'"
        )
    if recipe.picture.colours == "style":
        return None
    if first_frame is not None:
        picture = pictures.load(first_frame)
        return palette_moments(resample(picture.pixels, size), picture.alpha)
    first = resample(from_pixels(next(read(clip, recipe.on_corrupt)).pixels), size)
    return palette_moments(first[:, :3], first[:, 3:] if first.shape[1] == 4 else None)


def _check_output(
    path: Path,
    clip: Clip,
    styles: Sequence[Path],
    codec: Codec | None,
    copy: Sequence[str],
    quality: int,
    *,
    begun: bool,
) -> None:
    """Refuse an output that cannot be written, or that is one of the inputs.

    Args:
        begun: whether this run has begun to write it, and goes on.
    """
    if not path.parent.is_dir():
        raise VideoError(
            f"the folder of the output '{path}' does not exist", remedy=f"mkdir -p '{path.parent}'"
        )
    for source in (clip.path, *styles):
        if path.exists() and path.resolve() == source.resolve():
            raise VideoError(f"the output '{path}' is also an input", remedy="choose another name")
    if codec is None:
        if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not begun)):
            raise VideoError(f"the output '{path}' exists already", "a new or empty folder", "rename it")
    elif path.is_dir():
        raise VideoError(f"the output '{path}' is a folder", "a file name", "choose another name")
    else:
        require_container(path, clip, codec, copy, quality)
