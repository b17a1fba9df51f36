"""``--warm``: a command run by the helper is as if it had run here; nobody else can use the helper."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes import SMALL, checks, picture
from impasto import pictures
from impasto.cli import helper, warm
from impasto.cli import main as command_line
from impasto.errors import ImpastoError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="--warm works on Linux")

QUICK = (*SMALL, "--iterations", "2", "--finishing", "0", "--seed", "3")
LONG = (*SMALL, "--iterations", "100000", "--tolerance", "0")


# -- the helper itself, as users have it -------------------------------------------------------------------
@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime folder and a folder of pictures for all tests with one helper, which ends afterwards."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "run").mkdir()
    (folder / "work").mkdir()
    pictures.save(folder / "content.png", picture(48, 64))
    pictures.save(folder / "style.png", checks(48, 48))
    yield folder
    for path in (folder / "run").glob("impasto/*.sock"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper_process(path), signal.SIGTERM)


def helper_process(path: Path) -> int:
    """The process that listens at a socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def the_helper(home: Path) -> int:
    (path,) = (home / "run").glob("impasto/*.sock")
    return helper_process(path)


def start(home: Path, *flags: str, warm: bool = True, umask: int = 0o022) -> subprocess.Popen[str]:
    """Start a command in the working folder, which names its pictures by relative paths."""

    def as_typed_in_a_terminal() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.umask(umask)

    words = ["stylize", "../content.png", "../style.png", *flags, *(["--warm"] if warm else [])]
    return subprocess.Popen(
        [sys.executable, "-m", "impasto.cli", *words],
        cwd=home / "work",
        env=os.environ | {"XDG_RUNTIME_DIR": str(home / "run"), "IMPASTO_HOME": str(home / "weights")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_typed_in_a_terminal,
    )


def run(home: Path, *flags: str, warm: bool = True, umask: int = 0o022) -> tuple[int, str, str]:
    """(exit code, stdout, stderr)."""
    process = start(home, *flags, warm=warm, umask=umask)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def without_seconds(text: str) -> str:
    return text.rpartition(", ")[0]


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.slow
def test_a_warm_picture_is_the_same_and_so_is_all_that_is_said(home):
    here = run(home, "-o", "here.png", *QUICK, warm=False)
    first, second = (run(home, "-o", f"{i}.png", *QUICK) for i in (1, 2))
    assert here[0] == first[0] == second[0] == 0
    assert "could not be started" not in first[2] + second[2]
    assert here[2] == first[2] == second[2]
    assert without_seconds(here[1]) == without_seconds(second[1]).replace("2.png", "here.png")
    work = home / "work"
    assert (work / "here.png").read_bytes() == (work / "1.png").read_bytes() == (work / "2.png").read_bytes()


@pytest.mark.slow
def test_one_helper_serves_all_commands_and_only_its_user(home):
    assert run(home, "-o", "a.png", *QUICK)[0] == 0
    process = the_helper(home)
    assert run(home, "-o", "b.png", *QUICK, umask=0o077)[0] == 0
    assert the_helper(home) == process
    assert (home / "work" / "a.png").stat().st_mode & 0o777 == 0o644
    assert (home / "work" / "b.png").stat().st_mode & 0o777 == 0o600
    (path,) = (home / "run").glob("impasto/*.sock")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_mistakes_are_one_line_and_exit_code_2(home):
    code, out, err = run(home, "-o", "out.gif", *QUICK)
    assert (code, out) == (2, "")
    assert err.startswith("impasto: the output 'out.gif' has an ending")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_picture(home):
    process = start(home, "-o", "stopped.png", *LONG)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("impasto: ")  # it paints
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.startswith("stopped: the best picture so far stopped.png")
    assert pictures.load(home / "work" / "stopped.png").size == (30, 40)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_painting_ends_with_the_command(home, number):
    process = start(home, "-o", "never.png", *LONG)
    assert process.stderr is not None
    process.stderr.readline()
    serving = the_helper(home)  # asked once, because it forks at each question
    assert children(serving)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    assert eventually(lambda: not children(serving))
    assert not (home / "work" / "never.png").exists()


# -- its parts ---------------------------------------------------------------------------------------------
def test_a_helper_ends_when_it_is_idle_and_removes_its_socket(tmp_path):
    path = tmp_path / "a.sock"
    with helper.listen(path) as listener:
        assert path.stat().st_mode & 0o777 == 0o600
        helper.serve(listener, path, 0.05)
    assert not list(tmp_path.iterdir())


def test_a_helper_leaves_the_socket_of_another(tmp_path):
    path = tmp_path / "a.sock"
    with helper.listen(path) as listener:
        connecting = threading.Timer(0.1, lambda: replacements.append(helper.listen(path)))
        replacements: list[socket.socket] = []
        connecting.start()
        helper.serve(listener, path, 0.5)
    (replacement,) = replacements
    with replacement:
        assert path.exists()


def test_another_users_process_is_not_served(tmp_path, monkeypatch):
    path, answers = tmp_path / "a.sock", []
    monkeypatch.setattr(helper, "same_user", lambda connection: False)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a process was forked for another user"))

    def ask() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            answers.append(connection.recv(4))

    with helper.listen(path) as listener:
        thread = threading.Thread(target=ask)
        thread.start()
        helper.serve(listener, path, 0.5)
        thread.join(10)
    assert answers == [b""]


def test_the_user_at_the_other_end_is_known(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert warm.same_user(ours)
        monkeypatch.setattr(os, "getuid", lambda: 12345678)
        assert not warm.same_user(ours)


def test_what_is_read_at_loading_decides_which_helper(monkeypatch):
    before = warm.configuration()
    assert warm.configuration() == before
    monkeypatch.setenv("SOMETHING", "else")
    assert warm.configuration() == before
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    threads = warm.configuration()
    monkeypatch.setattr("impasto.__version__", "99.0")
    assert len({before, threads, warm.configuration()}) == 3


def test_the_folder_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = warm.private_folder()
    assert folder == tmp_path / "impasto"
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert warm.private_folder() == tmp_path / f"impasto-{os.getuid()}"


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_folder_that_others_may_change_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if kind == "open to others":
        (tmp_path / "impasto").mkdir()
        (tmp_path / "impasto").chmod(0o777)
    elif kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        (tmp_path / "impasto").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "impasto").touch()
    with pytest.raises(ImpastoError, match=r"--warm would use '.*impasto', which others may change"):
        warm.private_folder()


def test_elsewhere_than_on_linux_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert warm.run(["stylize", "--warm"]) == 2
    assert (
        capsys.readouterr().err
        == "impasto: --warm is not possible on this system; it needs Linux; leave it out\n"
    )


def test_without_a_helper_the_command_runs_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(warm, "_started", lambda path: None)
    ran: list[list[str]] = []
    monkeypatch.setattr(command_line, "main", ran.append)
    assert warm.run(["stylize", "--warm"]) == 0
    assert ran == [["stylize", "--warm"]]
    assert "painting without it" in capsys.readouterr().err


def test_the_socket_that_a_killed_helper_has_left_is_not_used(tmp_path):
    path = tmp_path / "a.sock"
    helper.listen(path).close()
    assert path.exists()
    assert warm._connected(path) is None
