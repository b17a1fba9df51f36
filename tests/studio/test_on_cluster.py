"""`impasto studio --workers ray` as it is used: started, sent a picture and a clip, asked for them, ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from clips import moving_square, write_clip
from ray_machines import free_port, started_machines
from serving import Studio, encoded

PICTURE = {"size": 128, "coarsest": 64, "iterations": [6, 4], "tolerance": 0}
CLIP = {"size": 160, "coarsest": 80, "iterations": [6, 4], "tolerance": 0}
VIDEO = '{"following_iterations": 2, "fill_iterations": [2, 2], "flow_size": 96}'
MARK = "IMPASTO_TEST_PROCESS"
PATIENCE = 400.0  # seconds; ten where nothing else runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
takes_minutes = pytest.mark.skipif("IMPASTO_SOAK" not in os.environ, reason="takes minutes: make soak")


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What the environment of every process of the test says. Ray's and other temporary files are its own."""
    pytest.importorskip("ray", reason="Ray is not installed")
    folder = tempfile.mkdtemp(prefix="ray-")  # short, as sockets need
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.setenv(name, folder)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv(MARK, folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def processes(mark: str) -> list[str]:
    """Command lines of the processes with the mark, this one left out."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(" ".join(process.cmdline()) or process.name())
    return found


def submit(studio: Studio, folder: Path) -> tuple[str, str]:
    """The ids of a picture and of a clip that the studio has accepted."""
    frames = moving_square(8, 96, 160)
    clip = write_clip(folder / "in.mp4", frames, codec="libx264", pix_fmt="yuv420p").read_bytes()
    answers = studio.post(encoded(size=(128, 96)), PICTURE), studio.post(clip, CLIP, video=VIDEO)
    assert [answer.status_code for answer in answers] == [202, 202], answers
    picture, film = (answer.json()["id"] for answer in answers)
    return picture, film


def results(studio: Studio, *jobs: str) -> list[bytes]:
    """What comes of the jobs, downloaded."""
    found = []
    for job in jobs:
        view = studio.finished(job, PATIENCE)
        assert view["state"] == "done", view
        found.append(studio.http.get(view["result"]).content)
    return found


def ready(studio: Studio) -> Studio:
    """The studio, once it paints."""
    studio.start(ready=False, own_group=True, seconds=PATIENCE)
    studio.wait(lambda: studio.answers("/readyz"), PATIENCE)
    return studio


def press_ctrl_c(studio: Studio) -> None:
    """As in a terminal, where all processes get it. The address is all that the studio has printed then."""
    assert studio.process is not None
    os.killpg(studio.process.pid, signal.SIGINT)
    assert studio.process.wait(60.0) == 0
    assert len(studio.output) == 1, "".join(studio.output)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
@takes_minutes
def test_the_command_from_its_start_to_ctrl_c_with_nothing_left_behind(tmp_path: Path, mark: str) -> None:
    before = set(Path("/dev/shm").iterdir())
    studio = Studio(tmp_path / "data", "--workers", "ray")
    try:
        picture, film = results(ready(studio), *submit(studio, tmp_path))
        assert picture.startswith(b"\x89PNG")
        assert film[4:8] == b"ftyp"
        assert len(processes(mark)) > 3, "the studio and Ray"
        press_ctrl_c(studio)
    finally:
        studio.stop()
    end = time.monotonic() + 60.0
    while left := processes(mark):
        assert time.monotonic() < end, left
        time.sleep(0.2)
    assert [path.name for path in Path(mark).glob("impasto-*")] == []
    assert set(Path("/dev/shm").iterdir()) <= before


@takes_minutes
def test_a_machine_that_is_lost_under_a_clip_is_replaced_by_another(tmp_path: Path, mark: str) -> None:
    """The studio has joined by `ray://`; the machine is killed when the clip is half painted."""
    port = free_port()
    with started_machines(port) as machines:
        studio = Studio(tmp_path / "data", "--workers", f"ray://127.0.0.1:{port}")
        try:
            _, film = submit(ready(studio), tmp_path)
            view = studio.wait(lambda: v if (v := studio.job(film))["frame"] else None, PATIENCE)
            assert view["state"] == "running"
            machines.lose_where(film)
            assert results(studio, film)[0][4:8] == b"ftyp"
            assert studio.job(film)["frame"] == 8
            press_ctrl_c(studio)
        finally:
            studio.stop()


def test_where_no_cluster_answers_the_command_ends_with_one_line(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "impasto.cli", "studio", "--no-open", "--port", "0"]
    ended = subprocess.run(
        [*command, "--data", str(tmp_path / "data"), "--workers", f"ray://127.0.0.1:{port}"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith(f"impasto: no Ray cluster answers at ray://127.0.0.1:{port}; ")
    assert not (tmp_path / "data").exists()
