"""Which files are found, how they are combined, and what the results are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.batch.inputs import DEFAULT_NAME, matches
from impasto.batch.listing import Listing
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
    listing = Listing(patterns, ["one.data"], Path("photos/out"))
    listing.name_results("{index}.png")
    files = [entry.content for entry in listing.entries()]
    return [(str(file.path), file.folder.as_posix()) for file in files]


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
    files = matches("photos", Path("photos/out"), (".jpg", ".safetensors"))
    assert sorted(file.path.name for file in files) == ["a.x.jpg", "b.jpg", "mine.safetensors"]
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


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """p/{a,q/b}.jpg to paint, and x.png and y.jpg as styles."""
    monkeypatch.chdir(tmp_path)
    for name in ("p/a.jpg", "p/q/b.jpg", "x.png", "y.jpg", "r/A.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def listed(
    template: str = DEFAULT_NAME, styles: tuple[str, ...] = ("x.png", "y.jpg"), **how: bool
) -> Listing:
    listing = Listing(["p/**/*.jpg"], styles, Path("out"), **how)
    listing.name_results(template)
    return listing


@pytest.mark.usefixtures("pictures")
def test_every_content_in_every_style_or_pairs_or_blends() -> None:
    def pairs(**how: bool) -> list[tuple[str, ...]]:
        entries = listed("{index}.png", **how).entries()
        return [(each.content.path.stem, *(style.stem for style in each.styles)) for each in entries]

    assert pairs() == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]
    assert pairs(pair=True) == [("a", "x"), ("b", "y")]
    assert pairs(blend=True) == [("a", "x", "y"), ("b", "x", "y")]
    with pytest.raises(RecipeError, match="one of them"):
        pairs(pair=True, blend=True)
    with pytest.raises(RecipeError, match="pairs of 2 contents and 1 styles; as many"):
        listed(styles=("x.png",), pair=True)


@pytest.mark.parametrize(
    ("contents", "styles", "how"),
    [([], ["x.png"], {}), (["p"], [], {}), ([], [], {"pair": True}), ([], ["x.png"], {"blend": True})],
)
@pytest.mark.usefixtures("pictures")
def test_nothing_to_paint_is_refused(contents: list[str], styles: list[str], how: dict[str, bool]) -> None:
    with pytest.raises(RecipeError, match=f"{len(contents)} contents and {len(styles)} styles; at least one"):
        Listing(contents, styles, Path("out"), **how)


@pytest.mark.usefixtures("pictures")
def test_names_by_template() -> None:
    def names(template: str, **how: bool) -> list[str]:
        return [entry.name for entry in listed(template, **how).entries()]

    assert names(DEFAULT_NAME) == ["a-x.png", "b-x.png", "a-y.png", "b-y.png"]
    assert names("{style}/{folder}/{index:03}-{content}.jpg")[:2] == ["x/001-a.jpg", "x/q/002-b.jpg"]
    assert names("{style}-{content}.tif", blend=True)[0] == "x+y-a.tif"


@pytest.mark.parametrize(
    ("template", "message"),
    [("{size}.png", r"the field \{size\}.*possible are \{content\}, \{style\}, \{folder\}, \{index\}"),
     ("{content", "possible fields are"), ("{}.png", "the field {}"), ("{content.path}.png", "the field"),
     ("{content:d}.png", "the name '{content:d}.png'"), ("../{content}.png", "below the output folder"),
     ("/{content}.png", "below the output folder"),
     ("{style}.png", r"called 'x\.png': p/a\.jpg in x\.png and p/q/b\.jpg in x\.png; .*--name")],
)  # fmt: skip
@pytest.mark.usefixtures("pictures")
def test_names_that_cannot_be_are_refused(template: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        listed(template)


@pytest.mark.usefixtures("pictures")
def test_names_that_differ_in_capitals_alone_are_one_name() -> None:
    listing = Listing(["p/a.jpg", "r/A.jpg"], ["x.png"], Path("out"))
    with pytest.raises(RecipeError, match=r"called 'A-x\.png': p/a\.jpg in x\.png and r/A\.jpg in x\.png"):
        listing.name_results(DEFAULT_NAME)


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("how", [{}, {"blend": True}])
def test_a_listing_is_read_in_pages(monkeypatch: pytest.MonkeyPatch, how: dict[str, bool]) -> None:
    """More files than a page has, from any number on."""
    monkeypatch.setattr("impasto.batch.listing.PAGE", 3)
    for number in range(10):
        Path(f"p/n{number}.jpg").write_bytes(b"")
    listing = listed(**how)
    entries = list(listing.entries())
    assert [entry.number for entry in entries] == list(range(1, len(listing) + 1))
    assert len({entry.name for entry in entries}) == len(listing) == (12 if how else 24)
    for start in (1, 4, 12, len(listing)):
        assert list(listing.entries(start)) == entries[start - 1 :]
