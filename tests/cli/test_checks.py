"""Checks of paths, which agree with those of the package that come later."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto import pictures
from impasto.cli.checks import check_inputs, check_output, check_run_folder
from impasto.errors import PictureError


def refusal(function, *arguments, **options) -> str:
    with pytest.raises(PictureError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_the_early_and_the_later_check_say_the_same(folder):
    missing = Path("missing.jpg")
    assert refusal(check_inputs, [missing]) == refusal(pictures.load, missing)
    for output in (Path("nowhere/out.png"), Path("content.png")):
        inputs = [Path("content.png")]
        early = refusal(check_output, output, inputs).partition(";")[0]
        assert early == refusal(pictures.check_output, output, inputs=inputs).partition(";")[0]


@pytest.mark.parametrize("ending", [".png", ".PNG", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff"])
def test_every_ending_that_can_be_written_is_let_through(folder, ending):
    check_output(Path(f"out{ending}"))
    pictures.check_output(f"out{ending}")


def test_good_paths_are_let_through(folder):
    check_inputs([Path("content.png"), folder])  # a folder may be a run; the command knows
    check_output(Path("out.png"), [Path("content.png")])
    check_run_folder(Path("run"), [Path("content.png")], overwrite=False)


def test_a_folder_for_a_run(folder):
    Path("run").mkdir()
    check_run_folder(Path("run"), [], overwrite=False)
    Path("run/notes.txt").touch()
    assert "is not empty" in refusal(check_run_folder, Path("run"), [], overwrite=False)
    check_run_folder(Path("run"), [], overwrite=True)
    Path("run/trace.jsonl").touch()
    assert "holds an earlier run" in refusal(check_run_folder, Path("run"), [], overwrite=False)
    assert "choose another name" in refusal(check_run_folder, Path("content.png"), [], overwrite=True)
    Path("content.png").rename("run/picture.png")
    text = refusal(check_run_folder, Path("run"), [Path("run/picture.png")], overwrite=True)
    assert "would replace the input" in text
