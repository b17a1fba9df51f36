"""Sandboxed calls: limits, crashes, errors of the function."""

from __future__ import annotations

import errno
import os
import pickle
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from impasto import pictures
from impasto.studio.errors import RefusedError
from impasto.studio.sandbox.isolation import SandboxedCall, run_sandboxed
from sandboxed_acts import (
    crash,
    fill_the_disk,
    modules_loaded_for_views,
    never_return,
    send_and_end,
    send_half,
    take_memory,
    try_what_is_forbidden,
)
from serving import clip_bytes, encoded, post, without_workers


@pytest.mark.slow
@pytest.mark.parametrize("function", [take_memory, never_return, crash])
def test_a_call_that_takes_too_much_or_crashes_is_one_line(function: Callable[..., Any]) -> None:
    begin = time.monotonic()
    with pytest.raises(RefusedError, match="more memory or time"):
        run_sandboxed(function, memory=1_000_000_000, seconds=1)
    assert time.monotonic() - begin < 30


def test_an_error_in_the_child_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="there is no file"):
        run_sandboxed(pictures.load, str(tmp_path / "none.png"), memory=1_000_000_000, seconds=10)


def test_a_decoder_has_nothing_to_load(tmp_path: Path) -> None:
    """Loading takes longer than decoding a small picture, and would have to be done for each."""
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    (tmp_path / "picture").write_bytes(encoded())
    (tmp_path / "tiff").write_bytes(encoded("TIFF"))
    clip_bytes(tmp_path, name="clip.mp4")
    assert run_sandboxed(modules_loaded_for_views, tmp_path, memory=10**9, seconds=10) == []


def test_a_call_ignores_ctrl_c_because_its_caller_ends_it(capfd: pytest.CaptureFixture[str]) -> None:
    """A terminal sends the signal to the whole group."""
    run_sandboxed(signal.raise_signal, signal.SIGINT, memory=1_000_000_000, seconds=10)
    assert "Traceback" not in capfd.readouterr().err


def test_a_call_can_be_stopped(tmp_path: Path) -> None:
    call = SandboxedCall(never_return, memory=1_000_000_000, seconds=60)
    assert not call.wait(0.05)
    call.stop()
    with pytest.raises(RefusedError):
        call.result()


def test_a_full_disk_is_told_apart_from_a_bad_file() -> None:
    """The file is not to blame: the job is tried again."""
    with pytest.raises(OSError, match="space") as caught:
        run_sandboxed(fill_the_disk, memory=1_000_000_000, seconds=10)
    assert caught.value.errno == errno.ENOSPC


class _Forged:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("/tmp/impasto-test-forged",)


@pytest.mark.parametrize(
    "answer",
    [
        pickle.dumps(("returned", _Forged())), b"", b"[", b"null", b"[1, 2, 3]", b'["raised", 3]',
        b'["raised", [1, 2, 3, 500, {}]]', b'{"returned": 1}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_nothing_but_a_short_json_is_taken_from_a_child_that_was_taken_over(answer: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        run_sandboxed(send_and_end, answer, memory=1_000_000_000, seconds=10)
    assert caught.value.status == 422
    assert not Path("/tmp/impasto-test-forged").exists()


def test_a_child_that_sends_half_an_answer_is_ended_when_its_time_is_over() -> None:
    call = SandboxedCall(send_half, memory=1_000_000_000, seconds=60)
    assert call.wait(20)
    begin = time.monotonic()
    call._deadline = begin + 0.5
    with pytest.raises(RefusedError, match="more memory or time"):
        call.result()
    assert time.monotonic() - begin < 10


def test_a_call_that_nobody_waits_for_any_more_is_ended() -> None:
    with SandboxedCall(never_return, memory=1_000_000_000, seconds=60) as call:
        pid = call._process.pid
        assert pid is not None
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_what_a_child_is_given_has_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a new job nor a view hands the token to the process that decodes."""
    secret, sent = "a rather long secret", []

    def recorded(function: Callable[..., Any], *arguments: Any, **limits: Any) -> Any:
        sent.append(repr(arguments) + repr([getattr(a, "__dict__", None) for a in arguments]))
        return run_sandboxed(function, *arguments, **limits)

    monkeypatch.setattr("impasto.studio.intake.intake.run_sandboxed", recorded)
    studio = without_workers(tmp_path, token=secret, metrics_token="another long secret")
    studio.headers["Authorization"] = f"Bearer {secret}"
    assert post(studio).status_code == 202
    assert studio.post("/v1/look", files={"content": ("x", encoded())}).status_code == 200
    assert len(sent) == 2
    assert not [text for text in sent if secret in text or "another long secret" in text]


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="no seccomp here"
)
def test_a_child_reaches_no_network_and_starts_no_program() -> None:
    answer = run_sandboxed(try_what_is_forbidden, memory=1_000_000_000, seconds=10)
    assert answer == {
        "network": "EPERM", "network 6": "EPERM", "local": "EPERM", "program": "EPERM", "thread": "EPERM",
    }  # fmt: skip
