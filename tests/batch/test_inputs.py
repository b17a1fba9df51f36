"""Which files are found, how they are combined, and what the results are called."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from impasto.batch.inputs import DEFAULT_NAME, Combination, SourceFile, combine, file_names, find_files
from impasto.errors import PictureError, RecipeError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/{b,a.x}.jpg, photos/deep/er/c.PNG, others that are no pictures, and an earlier result."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/b.jpg", "photos/a.x.jpg", "photos/deep/er/c.PNG", "photos/notes.txt",
                 "photos/.hidden.jpg", "photos/out/b-wave.png", "one.data", "empty/notes.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def found(*patterns: str) -> list[tuple[str, str]]:
    return [(f.path.as_posix(), f.folder.as_posix()) for f in find_files(patterns, Path("photos/out"))]


@pytest.mark.usefixtures("files")
def test_files_folders_and_patterns_in_their_order() -> None:
    folder = [("photos/a.x.jpg", "."), ("photos/b.jpg", ".")]
    deep = ("photos/deep/er/c.PNG", "deep/er")
    assert found("photos") == folder
    assert found("photos/**/*.*") == [*folder, deep]
    assert found("photos/*/*/*.PNG") == [deep]
    assert found("photos/b.jpg", "photos/") == [folder[1], folder[0]]
    assert found("one.data", "./one.data") == [("one.data", ".")]  # a file that is named is taken as it is


@pytest.mark.usefixtures("files")
def test_other_endings_where_they_are_asked_for() -> None:
    Path("photos/mine.safetensors").touch()
    names = [f.path.name for f in find_files(["photos"], Path("photos/out"), (".jpg", ".safetensors"))]
    assert names == ["a.x.jpg", "b.jpg", "mine.safetensors"]
    assert "photos/mine.safetensors" not in dict(found("photos"))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("none.jpg", "there is no file 'none.jpg'"), ("empty", "there are no pictures in 'empty'"),
     ("photos/*.gif", r"no picture matches 'photos/\*\.gif'"), ("photos/out", "there are no pictures in")],
)  # fmt: skip
@pytest.mark.usefixtures("files")
def test_what_finds_nothing_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(PictureError, match=message):
        found("photos", pattern)


A, B, X, Y = (
    SourceFile(Path("a.jpg")),
    SourceFile(Path("p/b.jpg"), PurePath("p")),
    Path("x.png"),
    Path("y.jpg"),
)


def test_every_content_in_every_style_or_pairs_or_blends() -> None:
    def pairs(**how: bool) -> list[tuple[str, ...]]:
        made = combine([A, B], [X, Y], **how)
        return [(each.content.path.stem, *(style.stem for style in each.styles)) for each in made]

    assert pairs() == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]
    assert pairs(pair=True) == [("a", "x"), ("b", "y")]
    assert pairs(blend=True) == [("a", "x", "y"), ("b", "x", "y")]
    with pytest.raises(RecipeError, match="one of them"):
        pairs(pair=True, blend=True)
    with pytest.raises(RecipeError, match="pairs of 2 contents and 1 styles; as many"):
        combine([A, B], [X], pair=True)


def test_names_by_template() -> None:
    made = combine([A, B], [X, Y])
    assert [str(name) for name in file_names(made, DEFAULT_NAME)] == [
        "a-x.png", "b-x.png", "a-y.png", "b-y.png",
    ]  # fmt: skip
    names = file_names(made, "{style}/{folder}/{index:03}-{content}.jpg")
    assert [name.as_posix() for name in names[:2]] == ["x/001-a.jpg", "x/p/002-b.jpg"]
    assert str(file_names(combine([A], [X, Y], blend=True), "{style}.tif")[0]) == "x+y.tif"


@pytest.mark.parametrize(
    ("template", "message"),
    [("{size}.png", r"the field \{size\}.*possible are \{content\}, \{style\}, \{folder\}, \{index\}"),
     ("{content", "possible fields are"), ("{}.png", "the field {}"), ("{content.path}.png", "the field"),
     ("{content:d}.png", "the name '{content:d}.png'"), ("../{content}.png", "below the output folder"),
     ("/{content}.png", "below the output folder"),
     ("{style}.png", "two results would be called 'x.png': .*--name")],
)  # fmt: skip
def test_names_that_cannot_be_are_refused(template: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        file_names(combine([A, B], [X]), template)


def test_names_that_differ_in_capitals_alone_are_one_name() -> None:
    capital = Combination(SourceFile(Path("q/A.jpg")), (X,))
    with pytest.raises(RecipeError, match=r"called 'A-x\.png': a\.jpg in x\.png and q/A\.jpg in x\.png"):
        file_names([Combination(A, (X,)), capital], DEFAULT_NAME)
