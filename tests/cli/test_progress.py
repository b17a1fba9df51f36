"""Progress where stderr is no terminal: few lines, and the last at 100 %."""

from __future__ import annotations

from impasto.cli.progress import ProgressBar, working
from impasto.progress import Progress, report


def test_a_line_at_every_tenth_and_at_the_end(capsys):
    with ProgressBar(quiet=False) as bar:
        for k in range(1000):
            bar.update(k / 1000, f"step {k}")
        bar.finish("step 1000")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("%")[0] for line in lines] == [f"impasto: {10 * k}" for k in range(11)]
    assert lines[-1] == "impasto: 100% step 1000"


def test_what_ends_early_ends_at_a_hundred_all_the_same(capsys):
    with ProgressBar(quiet=False, title="wave") as bar:
        bar.update(0.0, "begin")
        bar.update(0.34, "middle")
        bar.finish("done")
    assert capsys.readouterr().err.splitlines() == [
        "impasto: 0% wave: begin", "impasto: 34% wave: middle", "impasto: 100% wave: done",
    ]  # fmt: skip


def test_the_last_step_alone_is_not_the_end(capsys):
    with ProgressBar(quiet=False) as bar:
        bar.update(1.0, "stopped after the last step, before the picture was saved")
    assert capsys.readouterr().err == ""


def test_quiet_shows_nothing(capsys):
    with ProgressBar(quiet=True) as bar:
        bar.update(0.5, "half")
        bar.finish("all")
    with working("loading", quiet=True):
        report(Progress("downloading", 1, 2, "bytes"))
    assert capsys.readouterr() == ("", "")


def test_what_is_reported_is_shown_at_every_tenth(capsys):
    with working("loading", quiet=False):
        for done in range(0, 101):
            report(Progress("downloading vgg19", done * 1e6, 100e6, "bytes"))
        report(Progress("cutting out", 3, 5, "rounds"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[0] == "impasto: downloading vgg19: 0 bytes of 100.0 MB"
    assert lines[10] == "impasto: downloading vgg19: 100.0 MB of 100.0 MB"
    assert lines[11] == "impasto: cutting out: 3 of 5 rounds"
