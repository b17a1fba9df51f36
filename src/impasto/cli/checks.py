"""Checks of paths that run before PyTorch is loaded, because loading it takes seconds.

They catch the most common mistakes: a missing file, a mistyped folder, an output over an input. Whatever
depends on a file's content (its format, its size) is left to ``impasto.pictures``, which checks the paths
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from impasto.errors import PictureError

__all__ = ["check_inputs", "check_layers", "check_output", "check_run_folder", "make_folder"]

#: The file name extensions of the formats that can be written.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff")
#: The file name extensions of files with layers.
LAYER_ENDINGS = (".ora", ".tif", ".tiff")
#: What ``--save-run`` writes.
RUN_FILES = ("picture.png", "recipe.json", "trace.jsonl", "environment.json")


def check_inputs(paths: Iterable[Path]) -> None:
    """Check that all inputs exist; folders pass.

    Raises:
        PictureError: there is no such file, it cannot be read, or the path is a web address.
    """
    for path in paths:
        if str(path).startswith(("http:/", "https:/")):
            raise PictureError(f"'{path}' is a web address", "expected a picture file", "download it first")
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise PictureError(f"there is no file '{path}'", remedy="check the path") from None
        except OSError as error:
            raise PictureError(f"'{path}' cannot be read: {error.strerror}") from None


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Check that a picture can be written to ``path``.

    Raises:
        PictureError: unknown file name extension, missing folder, or the path is one of the inputs.
    """
    _check_file(path, inputs, ENDINGS)


def check_layers(path: Path, output: Path, inputs: Iterable[Path]) -> None:
    """Check that a file with layers can be written to ``path`` beside the picture in ``output``.

    Raises:
        PictureError: as :func:`check_output`, or both are the same file.
    """
    _check_file(path, inputs, LAYER_ENDINGS)
    if path.resolve() == output.resolve():
        raise PictureError(f"--layers names the output '{path}'", "a file of its own", "choose another name")


def _check_file(path: Path, inputs: Iterable[Path], endings: tuple[str, ...]) -> None:
    if path.suffix.lower() not in endings:
        raise PictureError(
            f"the output '{path}' has an ending that cannot be written",
            f"expected {', '.join(endings)}",
            "rename it",
        )
    if not path.parent.is_dir():
        raise PictureError(
            f"the folder of the output '{path}' does not exist",
            remedy=f"create it first: mkdir -p '{path.parent}'",
        )
    if _is_one_of(path, inputs):
        raise PictureError(f"the output '{path}' is also an input", remedy="choose another name")


def check_run_folder(folder: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Check that ``--save-run`` would replace neither an input nor, without ``--overwrite``, an earlier run.

    Raises:
        PictureError: the folder cannot be created, is not empty, or contains an input that would be replaced.
    """
    parent = folder.absolute().parent
    if not parent.is_dir() or (folder.exists() and not folder.is_dir()):
        raise PictureError(
            f"the run cannot be saved in '{folder}'",
            "a new or empty folder in a folder that exists",
            f"make '{parent}' first" if not parent.is_dir() else "choose another name",
        )
    inputs = list(inputs)
    for name in RUN_FILES:
        if _is_one_of(folder / name, inputs):
            raise PictureError(
                f"saving the run in '{folder}' would replace the input '{folder / name}'",
                remedy="choose another folder",
            )
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        what = "holds an earlier run" if (folder / "trace.jsonl").exists() else "is not empty"
        raise PictureError(
            f"the folder '{folder}' {what}",
            "a new or empty folder",
            "choose another, or add --overwrite to replace the run in it",
        )


def make_folder(path: Path) -> None:
    """Make a folder if it is missing; ``PictureError`` if that is not possible."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise PictureError(
            f"no folder '{path}': {error.strerror}", "a folder in a folder that exists"
        ) from None


def _is_one_of(path: Path, others: Iterable[Path]) -> bool:
    """Whether ``path`` is the same file as one of the others, links included."""
    try:
        return path.exists() and any(path.samefile(other) for other in others if other.exists())
    except OSError:
        return False
