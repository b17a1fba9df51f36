"""Sandboxed calls: limits, crashes, errors of the function."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from impasto import pictures
from impasto.studio.errors import RefusedError
from impasto.studio.sandbox.isolation import SandboxedCall, run_sandboxed


def _take_memory() -> int:
    return len(bytearray(3_000_000_000))


def _never_return() -> None:
    while True:
        pass


def _crash() -> None:
    import ctypes

    ctypes.string_at(0)


@pytest.mark.slow
@pytest.mark.parametrize("function", [_take_memory, _never_return, _crash])
def test_a_call_that_takes_too_much_or_crashes_is_one_line(function: Callable[..., Any]) -> None:
    begin = time.monotonic()
    with pytest.raises(RefusedError, match="more memory or time"):
        run_sandboxed(function, memory=1_000_000_000, seconds=1)
    assert time.monotonic() - begin < 30


def test_an_error_in_the_child_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="there is no file"):
        run_sandboxed(pictures.load, str(tmp_path / "none.png"), memory=1_000_000_000, seconds=10)


def test_a_call_can_be_stopped(tmp_path: Path) -> None:
    call = SandboxedCall(_never_return, memory=1_000_000_000, seconds=60)
    assert not call.wait(0.05)
    call.stop()
    with pytest.raises(RefusedError):
        call.result()
