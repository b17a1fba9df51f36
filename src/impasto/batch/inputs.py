"""Which pictures are painted in the manner of which, and what the results are called."""

from __future__ import annotations

import glob
import os
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from impasto.errors import PictureError, RecipeError
from impasto.pictures import READABLE_SUFFIXES
from impasto.pieces.addresses import Address, Location, is_address

__all__ = ["DEFAULT_NAME", "FIELDS", "SourceFile", "check_template", "file_name", "matches"]

#: Fields of a template for names, with what they stand for.
FIELDS = {
    "content": "the content's name without its ending",
    "style": "the style's; of several that are blended, all with + between them",
    "folder": "the content's folder below the one that was given",
    "index": "number of the picture from 1; {index:04} is padded with zeros",
}
DEFAULT_NAME = "{content}-{style}.png"


@dataclass(frozen=True)
class SourceFile:
    """A picture file.

    Attributes:
        folder: below the one that was given, or below the fixed part of a pattern.
        fingerprint: changes with its contents, where a store tells one; None elsewhere.
    """

    path: Location
    folder: PurePath = field(default_factory=PurePath)
    fingerprint: str | None = None


def matches(
    pattern: str, output: Location, suffixes: Sequence[str] = READABLE_SUFFIXES
) -> Iterator[SourceFile]:
    """The files that a file, a folder or a pattern such as ``photos/**/*.jpg`` names, in any order.

    Folders and patterns stand for the files in them with one of ``suffixes``. Hidden files and what lies in
    ``output`` are left out.

    Raises:
        PictureError: a file or folder that does not exist, or a pattern or folder without pictures.
    """
    if is_address(pattern):
        find = _shared if Address(pattern).local else _stored
        found = find(Address(pattern), output, suffixes)
    else:
        found = _on_disk(pattern, output, suffixes)
    first = next(found, None)
    if first is None:
        alone = pattern if is_address(pattern) else str(Path(pattern))
        raise PictureError(
            f"no picture matches '{alone}'"
            if glob.has_magic(pattern)
            else f"there are no pictures in '{alone}'",
            f"files that end in {', '.join(READABLE_SUFFIXES[:6])} …",
            "for folders within folders write 'FOLDER/**/*.jpg'",
        )
    yield first
    yield from found


def _on_disk(pattern: str, output: Location, suffixes: Sequence[str]) -> Iterator[SourceFile]:
    path = Path(pattern)
    candidates: Iterator[str | os.DirEntry[str]]
    root: PurePath
    if path.is_dir():
        root, candidates = path, os.scandir(path)
    elif glob.has_magic(pattern) and not path.exists():
        root, candidates = _fixed_part(path), glob.iglob(pattern, recursive=True)  # noqa: PTH207
    elif path.exists():
        yield SourceFile(path)
        return
    else:
        raise PictureError(f"there is no file '{path}'", remedy="check the path")
    local = output.local if isinstance(output, Address) else output
    inside = None if local is None else local.resolve()
    for candidate in candidates:
        file = Path(candidate)
        if _is_wanted(file, suffixes) and file.is_file() and inside not in file.resolve().parents:
            yield SourceFile(file, file.parent.relative_to(root))


def _shared(address: Address, output: Location, suffixes: Sequence[str]) -> Iterator[SourceFile]:
    """Files of a folder that all machines share, which each reads by itself."""
    for file in _on_disk(str(address.local), output, suffixes):
        yield replace(file, path=Address(f"{address.protocol}://{Path(str(file.path)).absolute()}"))


def _stored(address: Address, output: Location, suffixes: Sequence[str]) -> Iterator[SourceFile]:
    """Files of an object store."""
    if glob.has_magic(address.url):
        root, recursive = _fixed_part(PurePosixPath(address.path)), True
        matching = re.compile(_translated(address.path))
    elif (entry := address.entry()) is not None:
        yield SourceFile(address, fingerprint=entry.fingerprint)
        return
    else:
        root, recursive, matching = PurePosixPath(address.path), False, re.compile("")
    inside = f"{output}/" if isinstance(output, Address) else None
    for entry in Address(f"{address.protocol}://{root}").files(recursive=recursive):
        path = PurePosixPath(entry.address.path)
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        own = inside is not None and entry.address.url.startswith(inside)
        if _is_wanted(path, suffixes) and matching.match(str(path)) and not hidden and not own:
            yield SourceFile(entry.address, path.parent.relative_to(root), entry.fingerprint)


def _translated(pattern: str) -> str:
    from fsspec.utils import glob_translate

    return str(glob_translate(pattern))


def _is_wanted(path: PurePath, suffixes: Sequence[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _fixed_part(pattern: PurePath) -> PurePath:
    """``photos`` of ``photos/**/*.jpg``."""
    fixed = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return type(pattern)(*fixed)


def file_name(template: str, content: SourceFile, styles: Sequence[Location], index: int) -> PurePath:
    """The name of a result, relative to the folder of the batch.

    Args:
        index: of the picture, from 1.

    Raises:
        RecipeError: a name outside of the folder.
    """
    try:
        filled = template.format(
            content=content.path.stem,
            style="+".join(style.stem for style in styles),
            folder=content.folder.as_posix(),
            index=index,
        )
    except ValueError as error:
        raise RecipeError(f"the name {template!r}: {error}", "as in '{index:04}-{content}.png'") from None
    name = PurePath(filled)
    if name.is_absolute() or ".." in name.parts or not name.name:
        raise RecipeError(f"the name {str(name)!r} of a result", "a name below the output folder")
    return name


def check_template(template: str) -> None:
    """Raise ``RecipeError`` for a template of names with fields that do not exist."""
    possible = ", ".join("{" + field + "}" for field in FIELDS)
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
        unknown = [field for field in fields if field not in FIELDS]
    except ValueError as error:
        raise RecipeError(f"the name {template!r}: {error}", f"possible fields are {possible}") from None
    if unknown:
        raise RecipeError(f"the field {{{unknown[0]}}} in the name {template!r}", f"possible are {possible}")
