"""``impasto batch``: what it says, its exit codes, and what a kill at any moment leaves."""

from __future__ import annotations

import csv
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fakes import picture
from impasto import pictures
from impasto.batch.inputs import DEFAULT_NAME
from impasto.batch.painting import PaintingOptions
from impasto.cli import batch as command
from impasto.cli import stylize as single
from impasto.cli.batch import batch

from .conftest import QUICK

Impasto = Callable[..., tuple[int, str, str]]


@pytest.fixture
def photos(folder: Path) -> Path:
    """photos/{a,b}.png beside content.png and style.png."""
    (folder / "photos").mkdir()
    for number, name in enumerate("ab"):
        pictures.save(folder / "photos" / f"{name}.png", picture(48, 64, number))
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
def test_it_paints_a_folder_and_says_so(impasto: Impasto) -> None:
    code, out, err = impasto("batch", "photos", "--style", "style.png", "-o", "out", *QUICK)
    assert (code, out.startswith("out/results.csv (2 pictures painted now, 0 earlier, 0 failed, ")) == (
        0,
        True,
    )
    assert err.splitlines()[-1] == "impasto: 100% 2/2 pictures"
    assert {path.name for path in Path("out").glob("*.png")} == {"a-style.png", "b-style.png"}
    code, out, err = impasto("batch", "photos", "--style", "style.png", "-o", "out", *QUICK, "-q")
    assert (code, out, err) == (0, "", "")


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
def test_all_flags_of_stylize_reach_the_pictures(impasto: Impasto) -> None:
    words = ["batch", "photos/*.png", "-s", "style.png", "content.png", "-o", "out", *QUICK, "--blend", "-q"]
    flags = ["--style-blend", "2,1", "--seed", "7", "--bit-depth", "16", "--name", "{content}/{style}.tif"]
    assert impasto(*words, *flags)[0] == 0
    assert '"seed": 7' in (pictures.read_metadata("out/b/style+content.tif") or "")


def test_it_has_the_flags_of_stylize() -> None:
    """All but those that make no sense for many pictures; with the same defaults."""
    mine, theirs = (inspect.signature(function).parameters for function in (batch, single.stylize))
    left_out = {"content", "style", "layers", "save_run", "overwrite", "preview_every", "warm"}
    assert set(theirs) - set(mine) == left_out - {"style"}
    differing = {name for name in set(mine) & set(theirs) if mine[name].default != theirs[name].default}
    assert differing == set()
    assert mine["name"].default == DEFAULT_NAME
    fields = PaintingOptions.__dataclass_fields__
    assert {"budget", "max_memory", "tile", "init_image", "mask", "style_mask"} <= set(fields) & set(mine)


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
def test_one_bad_file_is_exit_code_3_with_a_table(impasto: Impasto, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("photos/longer-name.jpg", "photos/x.jpg"):
        Path(name).write_text("no picture")
    words = ["batch", "photos", "--style", "style.png", "-o", "out", *QUICK, "-q"]
    code, out, err = impasto(*words)
    assert (code, out) == (3, "")
    assert [line.split("'photos")[0] for line in err.splitlines()] == [
        "impasto: longer-name-style.png  ", "impasto: x-style.png            ",
    ]  # fmt: skip
    assert {path.name for path in Path("out").glob("*.png")} == {"a-style.png", "b-style.png"}
    monkeypatch.setattr(command, "LISTED", 1)
    assert impasto(*words)[2].splitlines()[1] == "impasto: and 1 more, see results.csv"


@pytest.mark.parametrize(
    ("words", "message"),
    [(["none.png"], "there is no file 'none.png'; check the path"),
     (["photos/*.gif"], "no picture matches 'photos/*.gif'"),
     (["photos", "--name", "{x}.png"], "possible are {content}, {style}, {folder}, {index}"),
     (["photos", "--pair"], "pairs of 2 contents and 1 styles"),
     (["photos", "--on", "there"], "possible are local, ray, ray://HOST:PORT and auto"),
     (["photos", "--budget", "soon"], "a budget of 'soon'"), (["photos", "--quality", "0"], "quality 0"),
     (["photos", "--processes", "many"], "--processes many: a whole number is expected")],
)  # fmt: skip
@pytest.mark.usefixtures("photos")
def test_mistakes_are_one_line(impasto: Impasto, words: list[str], message: str) -> None:
    code, out, err = impasto("batch", *words, "--style", "style.png", "-o", "out")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.usefixtures("photos")
def test_without_a_style_or_contents(impasto: Impasto) -> None:
    assert "--style" in impasto("batch", "photos", "-o", "out")[2]
    assert "CONTENTS" in impasto("batch", "--style", "style.png", "-o", "out")[2]


@pytest.mark.slow
def test_kill_9_loses_nothing_and_leaves_nothing_half_written(photos: Path, impasto: Impasto) -> None:
    for number, name in enumerate("cdef"):
        pictures.save(photos / "photos" / f"{name}.png", picture(48, 64, number))
    words = ["batch", "photos", "--style", "style.png", "-o", "out", "--size", "64", "--paint-size", "64"]
    words += ["--iterations", "10", "-q"]
    process = subprocess.Popen([sys.executable, "-m", "impasto.cli", *words, "--processes", "1"], cwd=photos)
    journal = photos / "out" / "results.jsonl"
    wait_until(lambda: journal.exists() and journal.stat().st_size > 0)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (photos / "out" / ".a-style.0badcafe.partial.png").write_bytes(b"half a pict")
    kept = {path: path.stat().st_mtime_ns for path in Path("out").glob("[!.]*.png")}
    for path in kept:
        Image.open(path).load()  # whole
    recorded = {line.split('"output": "')[1].split('"')[0] for line in journal.read_text().splitlines()}
    assert 1 <= len(recorded) < 6
    assert impasto(*words)[0] == 0
    assert {row["status"] for row in csv.DictReader(Path("out/results.csv").read_text().splitlines())} == {
        "done"
    }
    assert {path.name for path in Path("out").iterdir()} == {
        *(f"{name}-style.png" for name in "abcdef"), "results.csv", "results.jsonl", ".results.lock",
    }  # fmt: skip
    again = {path.name for path, time_ns in kept.items() if path.stat().st_mtime_ns != time_ns}
    assert not again & recorded


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(photos: Path, impasto: Impasto) -> None:
    words = ["batch", "photos", "--style", "style.png", "-o", "out", "--size", "96", "--iterations", "5000"]
    words += ["--preset", "classic", "--tolerance", "0", "--processes", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto.cli", *words],
        cwd=photos,
        stderr=subprocess.PIPE,
        text=True,
        # Shells have what runs in the background ignore Ctrl-C, and tests may run there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert "0/2 pictures" in process.stderr.readline()  # a worker has reported, so it paints
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)  # ends when all processes that print there have ended
    assert process.returncode == 130
    assert "the same command does the rest" in err.splitlines()[-1]
    assert not list(photos.glob("out/*.partial*"))


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
