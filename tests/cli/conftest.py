"""A working folder and the command line in this process, for all tests of commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fakes import SMALL, checks, picture
from impasto import pictures
from impasto.cli import main

#: Flags of a run that takes a tenth of a second: few pixels and iterations, but all default layers.
QUICK = (*SMALL, "--iterations", "2")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a content, a style, and a home without weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_HOME", str(tmp_path / "home"))
    pictures.save("content.png", picture(48, 64))
    pictures.save("style.png", checks(48, 48))
    return tmp_path


@pytest.fixture
def impasto(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        main.app.console = Console()  # A console keeps the width that it first read from the environment.
        with pytest.raises(SystemExit) as exit_info:
            main.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(exit_info.value.code, int)
        return exit_info.value.code, out, err

    return run


@pytest.fixture
def stylize(impasto: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Runs a quick ``impasto stylize content.png style.png -o OUT`` with more flags."""

    def run(*flags: object, out: str = "out.png") -> tuple[int, str, str]:
        named = {str(flag) for flag in flags}
        quick = [part for k in range(0, len(QUICK), 2) if QUICK[k] not in named for part in QUICK[k : k + 2]]
        return impasto("stylize", "content.png", "style.png", "-o", out, *quick, *flags)

    return run
