"""``impasto stylize``: paint a photograph in the manner of a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from impasto.cli.checks import check_inputs, check_layers, check_output, check_run_folder
from impasto.cli.exit_codes import INTERRUPTED
from impasto.cli.flags import (
    OUTPUT,
    RECIPE,
    Device,
    Output,
    Paths,
    Preset,
    Quiet,
    flag,
    merge,
    recipe_flags,
    typed,
)
from impasto.cli.loading import PicturesAhead, load_engine
from impasto.cli.messages import as_typed
from impasto.cli.painting import announce, note, paint, say, summary
from impasto.cli.progress import working
from impasto.errors import RecipeError
from impasto.quantities import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from impasto.api import PreparedRun
    from impasto.painting.engine import Step

__all__ = ["DEFAULT_MEGAPIXELS", "check_values", "stylize"]

DEFAULT_MEGAPIXELS = 178  # Where Pillow, too, begins to suspect a decompression bomb.

StylizeFlags = recipe_flags("stylize", shown={"size": "512"})


def stylize(
    content: Path,
    style: list[Path],
    *,
    output: Output,
    preset: Preset = None,
    recipe: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    budget: Annotated[str | None, Parameter(group=OUTPUT, metavar="TIME")] = None,
    max_memory: Annotated[str | None, Parameter(group=OUTPUT, metavar="SIZE")] = None,
    tile: Annotated[int | None, Parameter(group=OUTPUT)] = None,
    init_image: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    mask: Paths = None,
    style_mask: Paths = None,
    layers: Annotated[Path | None, Parameter(group=OUTPUT, metavar="FILE")] = None,
    save_run: Annotated[Path | None, Parameter(group=OUTPUT, metavar="FOLDER")] = None,
    overwrite: Annotated[bool, Parameter(group=OUTPUT)] = False,
    preview_every: Annotated[int, Parameter(group=OUTPUT)] = 0,
    bit_depth: Annotated[Literal[8, 16], Parameter(group=OUTPUT)] = 8,
    quality: Annotated[int, Parameter(group=OUTPUT)] = 95,
    max_pixels: Annotated[int, Parameter(group=OUTPUT)] = DEFAULT_MEGAPIXELS * 1_000_000,
    device: Device = "auto",
    warm: Annotated[bool, Parameter(group=OUTPUT)] = False,
    quiet: Quiet = False,
    settings: Annotated[StylizeFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Paint CONTENT in the manner of STYLE.

    Parameters
    ----------
    content
        Photograph or picture to paint: .jpg, .png, .webp, .avif, .heic, .tif, .psd, .bmp, .gif
        or .ppm.
    style
        Picture whose strokes, colours and patterns are used. Several pictures are blended. With --preset
        instant also files of `impasto learn`.
    output
        File to write: .png, .jpg, .webp, .avif or .tif.
    preset
        Settings to start from. draft: a quick look; fast: the default; fine, finest: slower, strokes that
        have grown together; classic: by Gram matrices, the default with --recipe, --style-loss or
        --normalisation; instant: at once, by a trained network; reference: as in the paper of 2015, with
        the full VGG-19.
    recipe
        Recipe file to use. It overrides the preset, and flags override it.
    budget
        Time to paint for, such as 20s or 5m, instead of a number of iterations.
    max_memory
        Memory that the process may use, such as 4GB. Default: four fifths of the free memory.
    tile
        Side in pixels of the tiles that a large picture is computed in, to save memory. Default: chosen to
        fit the memory.
    init_image
        Picture to start from instead of the content or noise.
    mask
        Regions of CONTENT: one picture of coloured labels, or one grey mask per style. Black is not painted.
    style_mask
        Regions of STYLE: per style, labels in the same colours; or one grey mask per mask.
    layers
        Also write content, masks and painting as layers of one file for an editor: .ora for GIMP and Krita,
        or .tif.
    save_run
        Save the run in a new folder: picture, recipe, losses of each iteration, versions.
    overwrite
        Allow --save-run to replace an earlier run.
    preview_every
        Write the best picture so far to OUTPUT every N iterations; 0: only the finished picture.
    bit_depth
        Bits per channel; 16 needs .tif as OUTPUT, and holds for --layers too.
    quality
        Quality of .jpg, .webp and .avif, 1 to 100.
    max_pixels
        Refuse input files with more pixels, before they are decoded.
    device
        auto, cpu, cuda, cuda:1, xpu or mps.
    warm
        Have PyTorch kept loaded by a helper process, so that further pictures with --warm begin at once. It
        ends by itself when it has had nothing to do for ten minutes. Linux only.
    quiet
        Print nothing unless something goes wrong.

    Examples
    --------
    impasto stylize photo.jpg painting.jpg -o out.png
    impasto stylize photo.jpg painting.jpg -o out.jpg --size 1200 --budget 2m
    impasto stylize photo.jpg painting.jpg -o out.png --strength 0.7 --style-loss gram,nearest
    impasto stylize photo.jpg wave.jpg oil.jpg -o out.png --style-blend 2,1
    impasto stylize photo.jpg wave.jpg oil.jpg -o out.png --mask sky.png,water.png
    impasto stylize photo.psd painting.jpg -o out.tif --bit-depth 16 --layers out.ora
    """
    del warm  # `impasto.cli.entry` sees to it before the command line is parsed.
    chosen = merge(preset, recipe, settings)
    seconds = None if budget is None else parse_seconds(budget)
    memory = None if max_memory is None else parse_bytes(max_memory)
    check_values(tile, quality, preview_every, max_pixels)
    inputs = [content, *style, *([init_image] if init_image else []), *(mask or []), *(style_mask or [])]
    check_inputs(inputs)
    check_output(output, inputs)
    if layers is not None:
        check_layers(layers, output, inputs)
    if save_run is not None:
        check_run_folder(save_run, inputs, overwrite=overwrite)
    _note_unused(seconds, typed(settings), save_run, overwrite, quiet)
    with working("loading", quiet), PicturesAhead(inputs, max_pixels) as picture_of:
        load_engine()
        from impasto import api, pictures

        pictures.check_output(output, inputs=inputs, bit_depth=bit_depth)
        if layers is not None:
            pictures.check_layers_output(layers, inputs)
        run = api.prepare(
            picture_of(content),
            [picture_of(path) for path in style],
            chosen,
            init_image=None if init_image is None else picture_of(init_image),
            mask=[picture_of(path) for path in mask or ()],
            style_mask=[picture_of(path) for path in style_mask or ()],
            device=device,
            max_pixels=max_pixels,
            max_memory=memory,
            tile=tile,
        )
        pictures.check_output(output, inputs=inputs, bit_depth=bit_depth, size=run.size)
    if chosen.method == "optimise":
        announce(run, seconds, quiet)
    preview = _preview(run, output, preview_every, {"quality": quality, "bit_depth": bit_depth})
    result = paint(run, quiet=quiet, on_step=preview, budget=seconds)
    path = result.save(output, bit_depth=bit_depth, quality=quality)
    if layers is not None:
        pictures.save_layers(layers, api.layers(run, result), bit_depth=bit_depth, inputs=inputs)
    if save_run is not None:
        api.record(result, save_run)
    say(quiet, summary(result, path))
    return 0 if result.finished else INTERRUPTED


def check_values(tile: int | None, quality: int, preview_every: int, max_pixels: int) -> None:
    """Raise ``RecipeError`` for flags out of range."""
    if tile is not None and tile < 64:
        raise RecipeError(f"tiles of {tile} pixels", "64 or more", "leave --tile out to have it chosen")
    if not 1 <= quality <= 100:
        raise RecipeError(f"quality {quality}", "1 to 100", "95 is the default")
    if preview_every < 0:
        raise RecipeError(f"preview every {preview_every} iterations", "0 (off) or more")
    if max_pixels < 1:
        raise RecipeError(f"at most {max_pixels} pixels", "1 or more")


def _note_unused(
    budget: float | None, settings: dict[str, Any], save_run: Path | None, overwrite: bool, quiet: bool
) -> None:
    """Print a note for each flag that has no effect because of the other flags."""
    for name in ("iterations", "coarse_finishing", "finishing"):
        if budget is not None and settings.get(name, 0) not in (0, (0,)):  # 0 turns finishing off
            given = f"{flag(name)} {as_typed(settings[name])}"
            note(quiet, f"--budget decides when to stop: {given} only divides the time among the scales")
    if budget is not None and "tolerance" in settings:
        note(quiet, "--budget decides when to stop: --tolerance is ignored")
    if overwrite and save_run is None:
        note(quiet, "--overwrite is ignored without --save-run: OUTPUT is always replaced")


def _preview(
    run: PreparedRun, output: Path, every: int, options: dict[str, Any]
) -> Callable[[Step], None] | None:
    """A callback that writes the best picture so far every ``every`` iterations; None if ``every`` is 0."""
    if not every:
        return None
    from impasto import pictures
    from impasto.pictures import geometry

    def write(step: Step) -> None:
        if step.evaluations % every == 0:
            pixels = step.picture_within(run.size).cpu()
            height, width = pixels.shape[-2:]
            alpha = None if run.alpha is None else geometry.resample(run.alpha, (height, width))
            pictures.save(output, pixels, alpha=alpha, inputs=run.inputs, **options)

    return write
