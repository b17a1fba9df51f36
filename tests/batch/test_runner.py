"""Whole batches: everything once, what changed again, and bad files beside good ones."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from impasto import pictures
from impasto.batch import BatchOutcome, BatchProgress, run_batch
from impasto.errors import PictureError, RecipeError

from .conftest import QUICK


def batch(*contents: str, **options: object) -> BatchOutcome:
    styles = options.pop("styles", ["wave.png", "oil.png"])
    return run_batch(contents or ["in"], styles, "out", options.pop("recipe", QUICK), **options)


def table() -> dict[str, dict[str, str]]:
    return {row["output"]: row for row in csv.DictReader(Path("out/results.csv").open(encoding="utf-8"))}


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_a_batch_paints_all_then_only_what_changed() -> None:
    seen: list[BatchProgress] = []
    first = batch(on_progress=seen.append)
    assert (first.painted, len(first.pictures), dict(first.failures)) == (6, 6, {})
    assert (seen[-1].done, seen[-1].pieces, seen[-1].share) == (6, 6, 1.0)
    assert [each.share for each in seen] == sorted(each.share for each in seen)
    assert set(table()) == {f"{content}-{style}.png" for content in "012" for style in ("wave", "oil")}
    row = table()["1-oil.png"]
    assert (row["content"], row["style"], row["status"]) == ("in/1.png", "oil.png", "done")
    assert (row["width"], row["height"], row["evaluations"], row["threads"]) == ("48", "64", "4", "1")
    assert float(row["loss"]) == pytest.approx(
        float(row["loss/content"]) + float(row["loss/style"]), rel=1e-4
    )
    assert float(row["seconds"]) > 0

    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    Path("in/0.png").touch()
    assert batch().painted == 0
    pictures.save("in/0.png", pictures.load("in/1.png").pixels)  # other contents under the same name
    Path("out/2-oil.png").unlink()
    assert batch().painted == 3
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"0-wave.png", "0-oil.png", "2-oil.png"}
    assert batch(recipe=QUICK.replace(seed=2)).painted == 6
    assert len(Path("out/results.jsonl").read_text().splitlines()) == 6 + 3 + 6


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_bad_files_are_reported_and_tried_again() -> None:
    Path("in/bad.jpg").write_text("<html>not found")
    outcome = batch(styles=["wave.png"])
    assert (outcome.painted, list(outcome.failures)) == (3, [Path("out/bad-wave.png")])
    assert "is an HTML page" in table()["bad-wave.png"]["error"]
    assert table()["bad-wave.png"]["status"] == "failed"
    pictures.save("in/bad.png", pictures.load("in/1.png").pixels)
    Path("in/bad.png").rename("in/bad.jpg")
    outcome = batch(styles=["wave.png"])
    assert (outcome.painted, len(outcome.pictures), len(outcome.failures)) == (1, 4, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace", "forked_workers")
def test_two_processes_paint_what_one_paints() -> None:
    batch(styles=["wave.png"])
    alone = {path.name: path.read_bytes() for path in Path("out").glob("*.png")}
    for path in Path("out").iterdir():
        path.unlink()
    assert batch(styles=["wave.png"], processes=2).painted == 3
    assert {path.name: path.read_bytes() for path in Path("out").glob("*.png")} == alone


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("options", "message"),
    [({"name": "{content}-{style}.xyz"}, r"'out/2-oil\.xyz' has an ending that cannot be written"),
     ({"name": "{content}.png"}, "two results would be called"), ({"bit_depth": 16}, "16 bits in PNG"),
     ({"styles": ["none.png"]}, "there is no file 'none.png'"), ({"processes": -1}, "-1 processes"),
     ({"on": "moon"}, "possible are local, ray"), ({"pair": True}, "pairs of 3 contents and 2 styles")],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_painted_at_all_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises((PictureError, RecipeError), match=message):
        batch(**options)
    assert not list(Path().glob("out/*.png"))


@pytest.mark.usefixtures("workplace")
def test_no_input_is_ever_replaced() -> None:
    before = Path("in/0.png").read_bytes()
    with pytest.raises(PictureError, match="is also an input"):
        run_batch(["in/0.png"], ["wave.png"], "in", QUICK, name="{content}.png")
    assert Path("in/0.png").read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_two_files_of_the_same_contents_are_both_remembered() -> None:
    Path("in/9.png").write_bytes(Path("in/0.png").read_bytes())
    assert batch(styles=["wave.png"]).painted == 4
    assert batch(styles=["wave.png"]).painted == 0
