"""``impasto texture`` and ``impasto reconstruct``: paint with the style loss or the content loss alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from impasto.cli.checks import check_inputs, check_output
from impasto.cli.exit_codes import INTERRUPTED
from impasto.cli.flags import (
    CONTENT_SETTINGS,
    MASK_SETTINGS,
    OUTPUT,
    RECIPE,
    STYLE_SETTINGS,
    Device,
    Output,
    Quiet,
    recipe_flags,
    typed,
)
from impasto.cli.painting import note, paint, say, summary
from impasto.cli.progress import working
from impasto.errors import RecipeError
from impasto.recipe import Recipe

__all__ = ["reconstruct", "texture"]

NO_MASKS = dict.fromkeys(MASK_SETTINGS, "there are no masks here")

TEXTURE_DEFAULTS = {"init": "noise"}
RECONSTRUCT_DEFAULTS = {"init": "noise", "content_weight": 1.0}

TextureFlags = recipe_flags(
    "texture",
    defaults=TEXTURE_DEFAULTS,
    names={"style_layers": ["--style-layers", "--layers"]},
    choices={"init": Literal["noise", "style-colours"]},
    without={"size": "a texture has a width and a height", "method": "a texture is made by optimisation"}
    | NO_MASKS
    | dict.fromkeys(CONTENT_SETTINGS, "a texture has no content"),
)
ReconstructFlags = recipe_flags(
    "reconstruct",
    defaults=RECONSTRUCT_DEFAULTS,
    names={"content_layers": ["--content-layers", "--layers"]},
    choices={"init": Literal["noise", "content"]},
    without=NO_MASKS
    | dict.fromkeys(STYLE_SETTINGS, "a reconstruction has no style")
    | {"method": "a reconstruction is made by optimisation"},
)


def texture(
    style: list[Path],
    *,
    output: Output,
    size: Annotated[str, Parameter(group=OUTPUT, metavar="SIZE")] = "512",
    seamless: Annotated[bool, Parameter(group=OUTPUT)] = False,
    tile: Annotated[bool, Parameter(show=False)] = False,
    device: Device = "auto",
    quiet: Quiet = False,
    settings: Annotated[TextureFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Make a texture of any size from STYLE, with the style loss alone, starting from noise.

    Parameters
    ----------
    style
        Picture whose strokes, colours and patterns are used. Several pictures are blended.
    output
        File to write: .png, .jpg, .webp, .avif or .tif.
    size
        Width and height in pixels, such as 800x600; one number for a square.
    seamless
        Make a texture that repeats without a seam. Both sides must be multiples of 16; a smaller number is
        enough with shallower layers.
    tile
        The old name of --seamless.
    device
        auto, cpu, cuda, cuda:1, xpu or mps.
    quiet
        Print nothing unless something goes wrong.

    Examples
    --------
    impasto texture painting.jpg -o texture.png --size 800x600
    impasto texture painting.jpg -o wallpaper.png --size 512 --seamless
    impasto texture painting.jpg -o strokes.png --layers relu1_1,relu2_1
    """
    if tile:
        note(quiet, "--tile of `impasto texture` is now called --seamless; the old name will be removed")
    width, height = _width_and_height(size)
    fixed: dict[str, Any] = {"content_weight": 0.0, "size": max(width, height)}
    fixed |= {"padding": "circular"} if seamless or tile else {}
    recipe = Recipe(**(TEXTURE_DEFAULTS | typed(settings) | fixed))
    return _paint(None, style, recipe, output, (height, width), device, quiet)


def reconstruct(
    content: Path,
    *,
    output: Output,
    device: Device = "auto",
    quiet: Quiet = False,
    settings: Annotated[ReconstructFlags | None, Parameter(name="*", group=RECIPE)] = None,  # type: ignore[valid-type]
) -> int:
    """Reconstruct CONTENT from its features, with the content loss alone, starting from noise.

    Parameters
    ----------
    content
        Picture to reconstruct.
    output
        File to write: .png, .jpg, .webp, .avif or .tif.
    device
        auto, cpu, cuda, cuda:1, xpu or mps.
    quiet
        Print nothing unless something goes wrong.

    Examples
    --------
    impasto reconstruct photo.jpg -o from-relu4_2.png --layers relu4_2
    impasto reconstruct photo.jpg -o from-two.png --layers conv1_1,conv4_1 --iterations 200
    """
    recipe = Recipe(**(RECONSTRUCT_DEFAULTS | typed(settings) | {"style_weight": 0.0}))
    return _paint(content, [], recipe, output, None, device, quiet)


def _paint(
    content: Path | None,
    styles: Sequence[Path],
    recipe: Recipe,
    output: Path,
    canvas: tuple[int, int] | None,
    device: str,
    quiet: bool,
) -> int:
    """Check the paths, paint and save; returns the exit code.

    Args:
        content: None for a texture.
        styles: empty for a reconstruction.
        canvas: (height, width) of a texture in pixels; None for a reconstruction.
    """
    inputs = [*([content] if content else []), *styles]
    check_inputs(inputs)
    check_output(output, inputs)
    with working("loading", quiet):
        from impasto import api, pictures

        pictures.check_output(output, inputs=inputs)
        run = api.prepare(content, list(styles), recipe, canvas=canvas, device=device)
        pictures.check_output(output, inputs=inputs, size=run.size)
    result = paint(run, quiet=quiet)
    say(quiet, summary(result, result.save(output)))
    return 0 if result.finished else INTERRUPTED


def _width_and_height(size: str) -> tuple[int, int]:
    """(width, height) of ``800x600``, ``800×600`` or ``512``."""
    parts = size.lower().replace("×", "x").split("x")
    try:
        sides = [int(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise RecipeError(f"size {size!r}", "width and height in pixels, as 800x600, or one number")
    return sides[0], sides[-1]
