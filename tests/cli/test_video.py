"""``impasto video`` and ``impasto video-report``: flags, old names, and what is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clips import moving_square, write_clip
from fakes import tiny_encoder
from impasto.cli import video as command
from impasto.painting import setup
from impasto.video import job, writing

QUICK = (
    "--coarsest", "48", "--iterations", "2", "--following-iterations", "1", "--fill-iterations", "1,1",
    "--flow-size", "96",
)  # fmt: skip

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def paint(impasto: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a quick ``impasto video clip.mkv style.png -o out.mkv`` with more flags."""
    monkeypatch.setattr(setup, "load_encoder", lambda *_, **__: tiny_encoder())
    write_clip(folder / "clip.mkv", moving_square(3))

    def run(*flags: str, quick: tuple[str, ...] = QUICK) -> tuple[int, str, str]:
        return impasto("video", "clip.mkv", "style.png", "-o", "out.mkv", *quick, *flags)

    return run


@pytest.mark.slow
def test_it_says_what_it_will_take_and_what_it_has_painted(paint: Run, folder: Path) -> None:
    code, out, err = paint()
    assert code == 0
    assert "painted out.mkv (3 frames, 1 shot, " in out
    assert "3 frames in 1 shot: at most about " in err
    assert "100% painting: frame 3 of 3" in err
    assert (folder / "out.mkv").exists()
    assert not (folder / "out.mkv.work").exists()


@pytest.mark.slow
def test_a_clip_at_once(impasto: Run, folder: Path) -> None:
    write_clip(folder / "clip.mkv", moving_square(2))
    arguments = ("video", "clip.mkv", "style.png", "-o", "out.mkv", "--preset", "instant")
    assert "painted out.mkv (2 frames, 1 shot, " in impasto(*arguments)[1]
    code, _, err = impasto(*arguments, "--passes", "2")
    assert (code, err.count("\n")) == (2, 1)
    assert "passes with method 'instant'" in err


def test_one_frame_is_one_frame(paint: Run) -> None:
    assert "(1 frame, 1 shot, " in paint("--limit", "1")[1]


@pytest.mark.slow
def test_quiet_says_nothing(paint: Run) -> None:
    assert paint("--quiet") == (0, "", "")


@pytest.mark.parametrize("flag", ["--crf", "--quality"])
def test_the_rate_factor_has_a_name_of_its_own(
    paint: Run, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    """0 to 51 downwards: not the quality of pictures, 1 to 100 upwards. The old name works with a note."""
    factors: list[int] = []
    original = writing._video_stream

    def noting(out: object, pixels: object, clip: object, codec: object, factor: int) -> object:
        factors.append(factor)
        return original(out, pixels, clip, codec, factor)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "_video_stream", noting)
    code, _, err = paint(flag, "40", "--limit", "1")
    assert code == 0
    assert set(factors) == {40}
    assert ("--quality of `impasto video` is now called --crf" in err) == (flag == "--quality")


@pytest.mark.slow
def test_old_names_of_iterations_work_with_a_note(paint: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = []
    original = job.prepare_video

    def noting(*arguments: object, **options: object) -> object:
        recipes.append(arguments[3])
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(job, "prepare_video", noting)
    old = ("--coarsest", "48", "--iterations", "2", "--evaluations", "3", "--fill-evaluations", "2,1")
    code, _, err = paint(quick=old)
    assert code == 0
    assert (recipes[0].following_iterations, recipes[0].fill_iterations) == (3, (2, 1))
    assert "--evaluations of `impasto video` is now called --following-iterations" in err
    assert "--fill-evaluations of `impasto video` is now called --fill-iterations" in err


@pytest.mark.slow
def test_help_shows_no_old_names_and_the_right_defaults(impasto: Run) -> None:
    page = " ".join(impasto("video", "--help")[1].replace("│", " ").split())
    assert "--crf" in page
    assert "--quality" not in page
    assert "--evaluations" not in page
    assert "--fill-evaluations" not in page
    assert "that of the clip" in page


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--feather", "0.1"), "--feather does not apply: a clip has no regions"),
        (("--crf", "60"), "crf 60"),
        (("--colours", "only"), "it should be 'style', 'content' or 'match'"),
        (("--passes", "0"), "greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(paint: Run, flags: tuple[str, ...], words: str) -> None:
    code, _, err = paint(*flags)
    assert code == 2
    lines = [line for line in err.splitlines() if "loading" not in line]
    assert len(lines) == 1
    assert words in lines[0]


def test_a_missing_file_is_told_before_anything_is_loaded(impasto: Run) -> None:
    code, _, err = impasto("video", "nothing.mp4", "style.png", "-o", "out.mp4")
    assert (code, err) == (2, "impasto: there is no file 'nothing.mp4'; check the path\n")


def test_a_missing_extra_is_one_line(impasto: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "VIDEO_MODULES", ("no_such_module",))
    code, _, err = impasto("video", "clip.mkv", "style.png", "-o", "out.mkv")
    assert (code, err.count("\n")) == (2, 1)
    assert "pip install 'impasto[video]'" in err
    monkeypatch.setattr(command, "VIDEO_MODULES", ())
    monkeypatch.setattr(command, "REPORT_MODULES", ("no_such_module",))
    code, _, err = impasto("video-report", "clip.mkv", "out.mkv", "-o", "report")
    assert (code, err.count("\n")) == (2, 1)
    assert "pip install 'impasto[studies]'" in err


@pytest.mark.slow
def test_the_report_ends_with_a_verdict_and_the_page(impasto: Run, folder: Path) -> None:
    write_clip(folder / "clip.mkv", moving_square(3))
    code, out, _ = impasto("video-report", "clip.mkv", "clip.mkv", "-o", "report")
    assert code == 0
    *_, verdict, page = out.splitlines()
    assert verdict.startswith("Steady: ")
    assert Path(page).read_text().startswith("<!doctype html>")
