"""Pieces of work that take no time, for tests of where and how pieces are run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from impasto.errors import PictureError
from impasto.pieces.piece import Files, Report


@dataclass(frozen=True)
class Squared:
    """Reads a number from a file and squares it.

    Attributes:
        does: what goes wrong instead: ``refuse``, ``break``, ``die`` or ``sleep``.
    """

    file: Path
    result: Path
    does: str = ""

    @property
    def label(self) -> str:
        return self.result.name

    @property
    def cost(self) -> float:
        return 1.0

    def is_done(self) -> bool:
        return self.result.exists()

    def inputs(self) -> Sequence[Path]:
        return [self.file]

    def work(self, files: Files, report: Report) -> str:
        if self.does == "refuse":
            raise PictureError("this one not")
        if self.does == "break":
            raise KeyError("a mistake of ours")
        if self.does == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        while self.does == "sleep":
            time.sleep(0.02)
            report(0.5)
        report(0.5)
        return f"{int(files.read(self.file)) ** 2} with {torch.get_num_threads()}"

    def keep(self, result: str) -> None:
        if self.does == "full":
            raise PictureError("the disk is full")
        self.result.write_text(result)


def squares(folder: Path, count: int, **does: str) -> list[Squared]:
    """``count`` pieces, the files of which exist; ``_2="refuse"`` makes the third one refuse."""
    for number in range(count):
        (folder / f"{number}.txt").write_text(str(number))
    return [
        Squared(folder / f"{number}.txt", folder / f"{number}.out", does.get(f"_{number}", ""))
        for number in range(count)
    ]


def results(pieces: Sequence[Squared]) -> list[int | None]:
    """What was kept, None where nothing was."""
    return [int(p.result.read_text().split()[0]) if p.result.exists() else None for p in pieces]
