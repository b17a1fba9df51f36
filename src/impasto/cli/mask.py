"""``impasto mask``: make a grey mask for ``impasto stylize --mask``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from impasto.cli.checks import check_inputs, check_output
from impasto.cli.flags import Output, Quiet
from impasto.cli.lists import VALUE_LIST
from impasto.cli.progress import working
from impasto.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["mask"]


def mask(
    picture: Path,
    *,
    output: Output,
    box: Annotated[list[int] | None, VALUE_LIST] = None,
    faces: bool = False,
    model: Path | None = None,
    invert: bool = False,
    quiet: Quiet = False,
) -> int:
    """Make a grey mask for `impasto stylize --mask`: of the object in a box, or of faces.

    Parameters
    ----------
    picture
        Photograph or painting.
    output
        File to write; .png is best, as it keeps the mask exactly.
    box
        Cut out the object in this box: left, top, width and height in pixels. Leave a little room around it.
    faces
        Find faces with OpenCV's detector YuNet, and mask a soft ellipse around each.
    model
        File of the face detector, face_detection_yunet_2023mar.onnx. Default: the one in the folder of
        weights.
    invert
        Mask everything except the object or the faces.
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
        pixels = _faces(picture, model) if box is None else _object(picture, box)
    pixels = 1.0 - pixels if invert else pixels
    path = pictures.save(output, pixels.expand(1, 3, -1, -1), inputs=[picture])
    if not quiet:
        print(path)
    return 0


def _object(picture: Path, box: list[int]) -> Tensor:
    """Mask (1, 1, H, W) in [0, 1] of the object in a box; 1 is the object."""
    from impasto import pictures
    from impasto.masks import cutouts

    left, top, width, height = box
    return cutouts.cut_out(pictures.load(picture).pixels, (left, top, width, height))


def _faces(picture: Path, model: Path | None) -> Tensor:
    """Mask (1, 1, H, W) in [0, 1] of ellipses around the faces; 1 is a face."""
    from impasto import pictures
    from impasto.masks import faces

    file = faces.model_file(model)
    photo = pictures.load(picture)
    return faces.face_mask(photo.size, faces.find_faces(photo.pixels, file))
