"""What a decoder that a stranger's file has taken over can still do: look at its own files, and no others."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attempts import attempt
from impasto.studio.sandbox.isolation import run_sandboxed
from impasto.studio.sandbox.landlock import Fence


def _version() -> int:
    if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "aarch64"):
        return 0
    return int(ctypes.CDLL(None).syscall(444, None, 0, 1))


pytestmark = pytest.mark.skipif(_version() < 3, reason="no Landlock here, or an old one")


def _attempts(own: Path, samples: Path, data: Path, server: int) -> dict[str, str]:
    """The outcome of each act: ``done``, or the name of the error."""
    other = data / "jobs" / "other"
    acts: dict[str, Callable[[], object]] = {
        "read own": (own / "content").read_bytes,
        "write own": lambda: (own / "new").write_bytes(b"x"),
        "rename own": lambda: (own / "new").rename(own / "newer"),
        "make a folder": (own / "work").mkdir,
        "delete own": (own / "newer").unlink,
        "read a sample": (samples / "wave.png").read_bytes,
        "write a sample": lambda: (samples / "wave.png").write_bytes(b"x"),
        "delete a sample": (samples / "wave.png").unlink,
        "read another's": (other / "content").read_bytes,
        "link another's": lambda: os.link(other / "content", own / "stolen"),
        "truncate another's": lambda: os.truncate(other / "content", 0),
        "list jobs": lambda: list((data / "jobs").iterdir()),
        "read the database": (data / "studio.db").read_bytes,
        "write beside": lambda: (data / "new").write_bytes(b"x"),
        "read through a link": (own / "link").read_bytes,
        "make a link": lambda: (own / "link 2").symlink_to(other / "content"),
        "read passwords": Path("/etc/passwd").read_bytes,
        "read the server's environment": Path(f"/proc/{server}/environ").read_bytes,
        "read the server's memory": Path(f"/proc/{server}/mem").open,
        "end the server": lambda: os.kill(server, 0),
    }
    outcomes = {name: attempt(act) for name, act in acts.items()}
    with ThreadPoolExecutor(1) as pool:
        outcomes["in a thread"] = pool.submit(attempt, (other / "content").read_bytes).result()
    return outcomes


def test_a_decoder_finds_its_own_job_and_nothing_else(tmp_path: Path) -> None:
    own, samples = tmp_path / "jobs" / "own", tmp_path / "samples"
    for folder in (own, tmp_path / "jobs" / "other", samples):
        folder.mkdir(parents=True)
    for path in (own / "content", tmp_path / "jobs" / "other" / "content", samples / "wave.png"):
        path.write_bytes(b"private")
    (tmp_path / "studio.db").write_bytes(b"private")
    (own / "link").symlink_to(tmp_path / "jobs" / "other" / "content")
    outcomes = run_sandboxed(
        _attempts, own, samples, tmp_path, os.getpid(), memory=10**9, seconds=60,
        fence=Fence((own,), (samples,)),
    )  # fmt: skip
    allowed = {"read own", "write own", "rename own", "make a folder", "delete own", "read a sample"}
    if _version() < 6:
        assert outcomes.pop("end the server") == "done"
    assert {name for name, outcome in outcomes.items() if outcome == "done"} == allowed, outcomes
    assert set(outcomes.values()) <= {"done", "EACCES", "EPERM", "EXDEV"}, outcomes
    assert (tmp_path / "jobs" / "other" / "content").read_bytes() == b"private"
