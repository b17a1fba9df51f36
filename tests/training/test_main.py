"""Mistakes on the command line of the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.training.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--teacher", "no.pth", "--data", "d", "--out", "o", "--budget", "-1"], "budget"),
        (["--teacher", "no.pth", "--data", "d", "--out", "missing/o"], "folder"),
        (["--teacher", "no.pth", "--data", "d", "--out", "o", "--widen.conv9_1", "3"], "conv9_1"),
        (
            ["--teacher", "no.pth", "--data", "d", "--out", "o", "--widen.conv2_1", "-3"],
            "widen conv2_1 by -3 channels; 1 or more",
        ),
        (["--teacher", "no.pth", "--data", "d", "--out", "o"], "no.pth"),
        (["instant", "--data", "d", "--out", "missing/o"], "folder"),
        (["instant", "--data", "d", "--out", "o", "--final", "2"], "final"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    lines = capsys.readouterr().err.strip().splitlines()
    assert (exited.value.code, len(lines)) == (2, 1)
    assert message in lines[0]
