"""Which pictures are painted in the manner of which, and what the results are called."""

from __future__ import annotations

import glob
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from impasto.errors import PictureError, RecipeError
from impasto.pictures import READABLE_SUFFIXES

__all__ = ["DEFAULT_NAME", "FIELDS", "Combination", "SourceFile", "combine", "file_names", "find_files"]

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
    """A picture file, and its folder below the one that was given, or below the fixed part of a pattern."""

    path: Path
    folder: PurePath = field(default_factory=PurePath)


@dataclass(frozen=True)
class Combination:
    """A content with the style that it is painted in, or with the styles that are blended for it."""

    content: SourceFile
    styles: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.content.path} in {'+'.join(str(style) for style in self.styles)}"


def find_files(
    patterns: Sequence[str], output: Path, suffixes: Sequence[str] = READABLE_SUFFIXES
) -> list[SourceFile]:
    """The files that files, folders and patterns such as ``photos/**/*.jpg`` name, each once, in their order.

    Folders and patterns stand for the files in them with one of ``suffixes``, in the order of their names.
    Hidden files and what lies in ``output`` are left out.

    Raises:
        PictureError: a file or folder that does not exist, or a pattern or folder without pictures.
    """
    found: dict[Path, SourceFile] = {}
    for pattern in patterns:
        for file in _matches(pattern, output, suffixes):
            found.setdefault(file.path.resolve(), file)
    return list(found.values())


def _matches(pattern: str, output: Path, suffixes: Sequence[str]) -> list[SourceFile]:
    path = Path(pattern)
    if path.is_dir():
        root, candidates = path, sorted(path.iterdir())
    elif glob.has_magic(pattern) and not path.exists():
        root = _fixed_part(path)
        candidates = sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207
    elif path.exists():
        return [SourceFile(path)]
    else:
        raise PictureError(f"there is no file '{path}'", remedy="check the path")
    inside = output.resolve()
    files = [
        SourceFile(file, file.parent.relative_to(root))
        for file in candidates
        if file.suffix.lower() in suffixes
        and not file.name.startswith(".")
        and file.is_file()
        and inside not in file.resolve().parents
    ]
    if not files:
        raise PictureError(
            f"there are no pictures in '{pattern}'" if path.is_dir() else f"no picture matches '{pattern}'",
            f"files that end in {', '.join(READABLE_SUFFIXES[:6])} …",
            "for folders within folders write 'FOLDER/**/*.jpg'",
        )
    return files


def _fixed_part(pattern: Path) -> Path:
    """``photos`` of ``photos/**/*.jpg``."""
    fixed = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def combine(
    contents: Sequence[SourceFile], styles: Sequence[Path], *, pair: bool = False, blend: bool = False
) -> list[Combination]:
    """Every content in every style; all pictures of a style together, so that it is loaded once.

    Args:
        pair: the first content in the first style, the second in the second …
        blend: every content in a blend of all styles.

    Raises:
        RecipeError: both, or pairs of lists that are not equally long.
    """
    if pair and blend:
        raise RecipeError("--pair with --blend", "one of them")
    if blend:
        return [Combination(content, tuple(styles)) for content in contents]
    if not pair:
        return [Combination(content, (style,)) for style in styles for content in contents]
    if len(contents) != len(styles):
        raise RecipeError(
            f"pairs of {len(contents)} contents and {len(styles)} styles",
            "as many of one as of the other",
            "leave --pair out for every content in every style",
        )
    return [Combination(content, (style,)) for content, style in zip(contents, styles, strict=True)]


def file_names(combinations: Sequence[Combination], template: str) -> list[PurePath]:
    """The name of each result, relative to the folder of the batch.

    Raises:
        RecipeError: a field that does not exist, a name outside of the folder, or one name for two pictures.
    """
    _check_template(template)
    taken: dict[str, Combination] = {}
    names = []
    for index, combination in enumerate(combinations, 1):
        name = PurePath(_filled_in(template, combination, index))
        if name.is_absolute() or ".." in name.parts or not name.name:
            raise RecipeError(f"the name {str(name)!r} of a result", "a name below the output folder")
        # File systems of macOS and Windows do not tell capitals from small letters.
        earlier = taken.setdefault(str(name).lower(), combination)
        if earlier is not combination:
            raise RecipeError(
                f"two results would be called '{name}': {earlier} and {combination}",
                "a name of its own for each picture",
                "add {folder}, {style} or {index} to --name, as in '{folder}/{content}-{style}.png'",
            )
        names.append(name)
    return names


def _check_template(template: str) -> None:
    possible = ", ".join("{" + field + "}" for field in FIELDS)
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
        unknown = [field for field in fields if field not in FIELDS]
    except ValueError as error:
        raise RecipeError(f"the name {template!r}: {error}", f"possible fields are {possible}") from None
    if unknown:
        raise RecipeError(f"the field {{{unknown[0]}}} in the name {template!r}", f"possible are {possible}")


def _filled_in(template: str, combination: Combination, index: int) -> str:
    content = combination.content
    try:
        return template.format(
            content=content.path.stem,
            style="+".join(style.stem for style in combination.styles),
            folder=content.folder.as_posix(),
            index=index,
        )
    except ValueError as error:
        raise RecipeError(f"the name {template!r}: {error}", "as in '{index:04}-{content}.png'") from None
