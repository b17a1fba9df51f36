"""``impasto mask``: grey masks for ``stylize --mask``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from impasto.cli.checks import check_inputs, check_output
from impasto.cli.lists import VALUE_LIST
from impasto.cli.progress import working
from impasto.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["mask"]


def mask(
    picture: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    box: Annotated[list[int] | None, VALUE_LIST] = None,
    faces: bool = False,
    model: Path | None = None,
    invert: bool = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"])] = False,
) -> int:
    """Make a grey mask for `impasto stylize --mask`: the object in a box, cut out, or the faces.

    Parameters
    ----------
    picture
        Photograph or painting.
    output
        File to write, best a .png.
    box
        The object and a little around it: left, top, width and height in pixels.
    faces
        A soft ellipse around each face that OpenCV's detector YuNet finds.
    model
        The detector's file, face_detection_yunet_2023mar.onnx. Default: the one in the folder of weights.
    invert
        Mask everything else instead.
    quiet
        Print nothing unless something goes wrong.

    Examples
    --------
    impasto mask photo.jpg --box 40,20,200,300 -o statue.png
    impasto mask photo.jpg --faces --invert -o no-faces.png
    """
    if faces == (box is not None):
        raise RecipeError(f"{'both' if faces else 'neither'} --box and --faces", "one of the two")
    if model is not None and not faces:
        raise RecipeError("--model with --box", "--model is the face detector, for --faces")
    if box is not None and len(box) != 4:
        raise RecipeError(f"a box of {len(box)} numbers", "left,top,width,height, as 40,20,200,300")
    check_inputs([picture, *([model] if model else [])])
    check_output(output, [picture])
    with working("looking for faces" if faces else "cutting out the object", quiet):
        from impasto import pictures

        pictures.check_output(output, inputs=[picture])
        white = _faces(picture, model) if box is None else _object(picture, box)
    white = 1.0 - white if invert else white
    path = pictures.save(output, white.expand(1, 3, -1, -1), inputs=[picture])
    if not quiet:
        print(path)
    return 0


def _object(picture: Path, box: list[int]) -> Tensor:
    """(1, 1, H, W): what stands in the box."""
    from impasto import pictures
    from impasto.masks import cutouts

    left, top, width, height = box
    return cutouts.cut_out(pictures.load(picture).pixels, (left, top, width, height))


def _faces(picture: Path, model: Path | None) -> Tensor:
    """(1, 1, H, W): ellipses around the faces."""
    from impasto import pictures
    from impasto.masks import faces

    file = faces.model_file(model)
    photo = pictures.load(picture)
    return faces.face_mask(photo.size, faces.find_faces(photo.pixels, file))
