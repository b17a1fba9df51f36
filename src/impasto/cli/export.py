"""``impasto export``: instant transfer as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from impasto.cli.checks import check_inputs
from impasto.cli.flags import Quiet
from impasto.cli.lists import PATH_LIST, VALUE_LIST
from impasto.cli.progress import working
from impasto.errors import RecipeError, WeightsError, require_extra
from impasto.files import readable_size

__all__ = ["export"]

#: Smallest and largest side of a picture in a file of fixed sizes.
SIDES = (16, 2048)
#: Sides of a tile are multiples of this.
MULTIPLE = 8

Sides = Annotated[list[int] | None, VALUE_LIST]


def export(
    output: Path,
    *,
    size: Sides = None,
    style_size: Sides = None,
    style: Annotated[list[Path] | None, PATH_LIST] = None,
    parts: bool = False,
    seed: int = 0,
    quiet: Quiet = False,
) -> int:
    """Write the network of `--preset instant` as ONNX, for browsers and for programs without PyTorch.

    The file takes a picture, a style and a strength, and gives the painted picture; with --style it takes a
    picture and a strength alone. It is compared with PyTorch before the command ends.

    Parameters
    ----------
    output
        File to write, FILE.onnx.
    size
        Fix the picture's width and height in pixels, such as 640,480. Default: free, but multiples of 8.
    style_size
        The same for the style.
    style
        Make a style part of the file: a file of `impasto learn`. Several are blended.
    parts
        Write FILE-statistics.onnx, FILE-maps.onnx and FILE-painting.onnx instead: so a program computes a
        style once, uses it for many pictures, and paints large ones in tiles. --size is the tile's then.
    seed
        Seed of the noise in flat areas.
    quiet
        Print only the files' names.

    Examples
    --------
    impasto export instant.onnx
    impasto export instant.onnx --size 640,480 --style-size 512,512
    impasto export instant.onnx --parts
    impasto export mine.onnx --style mine.safetensors
    """
    if output.suffix.lower() != ".onnx":
        raise WeightsError(f"the output '{output}' has another ending", "expected FILE.onnx", "rename it")
    if not output.parent.is_dir():
        raise WeightsError(
            f"the folder of '{output}' does not exist", remedy=f"create it first: mkdir -p '{output.parent}'"
        )
    fixed, fixed_style = _sides(size, "--size"), _sides(style_size, "--style-size")
    if parts and style_size is not None:
        raise RecipeError("--style-size with --parts", "a style of any size", "leave it out")
    if style and (parts or style_size is not None):
        other = "--parts" if parts else "--style-size"
        raise RecipeError(f"--style with {other}", "one of them")
    check_inputs(style or [])
    if parts and fixed is not None and any(side % MULTIPLE for side in fixed):
        raise RecipeError(f"a tile of {_named(fixed)}", f"sides that are multiples of {MULTIPLE}")
    require_extra("export", ("onnx", "onnxruntime"), "the export", WeightsError)
    with working("exporting", quiet):
        from impasto.feedforward.export.files import write_parts, write_whole
        from impasto.feedforward.export.models import ModelBuilder
        from impasto.feedforward.network import InstantNetwork
        from impasto.feedforward.style import InstantStyle
        from impasto.networks.registry import load_encoder

        network = InstantNetwork.embedded(load_encoder())
        known = InstantStyle.blend([InstantStyle.load(path) for path in style]) if style else None
        network = network if known is None else network.learned(known)
        builder = ModelBuilder(network.encoder, network.decoder, seed)
        if parts:
            files, gap = write_parts(output, builder, size=fixed)
        else:
            gap = write_whole(output, builder, size=fixed, style_size=fixed_style, style=known)
            files = [output]
    for file in files:
        print(file if quiet else f"{file} ({readable_size(file.stat().st_size)})")
    if not quiet:
        print(f"compared with PyTorch: pixels from 0 to 1 differ by {gap:.1g} at most")
    return 0


def _sides(values: list[int] | None, flag: str) -> tuple[int, int] | None:
    """(height, width) of a flag's width and height."""
    if values is None:
        return None
    if len(values) != 2 or not all(SIDES[0] <= value <= SIDES[1] for value in values):
        raise RecipeError(
            f"{flag} {','.join(map(str, values))}", f"width,height of {SIDES[0]} to {SIDES[1]} pixels"
        )
    return values[1], values[0]


def _named(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]} pixels"
