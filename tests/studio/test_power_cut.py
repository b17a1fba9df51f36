"""The power goes at any moment: what clients were told is on the disk, and the studio goes on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import recorded_studio
from power_cut import SHARES, Operation, PowerCut, read_recording, recording_environment
from recorded_studio import READY, check_after_cut

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="needs Linux")]

#: Cuts at each change; `make soak` tries thousands.
SEEDS = range(int(os.environ.get("IMPASTO_CUT_SEEDS", "1")))
CUTS = int(os.environ.get("IMPASTO_CUTS", "20"))
#: With a new data folder; `make soak` also upgrades one of an earlier version.
BEGINNINGS = ("new", "upgrade") if len(SEEDS) > 1 else ("new",)
TURNS = 120


def record(root: Path, recording: Path, seed: int, begin: str) -> list[Operation]:
    """The file operations of a studio that accepts and paints for a while, after an upgrade or not."""
    root.mkdir()
    facts = (str(seed), str(TURNS), begin)
    command = [sys.executable, recorded_studio.__file__, root / "data", recording, *facts]
    environment = os.environ | recording_environment(root, recording)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run(command, env=environment, check=True)
    return read_recording(recording)


def cuts(operations: list[Operation], seed: int) -> Iterator[int]:
    """Where to cut: anywhere, and half of the time before something is synced or after something is told."""
    chance = random.Random(seed)
    kinds = [operation.kind for operation in operations]
    ready = [operation.data for operation in operations].index(READY.encode()) + 1
    edges = [n + (kind == "n") for n, kind in enumerate(kinds) if kind in "sn" and n >= ready]
    for _ in range(CUTS):
        yield chance.choice(edges) if chance.random() < 0.5 else chance.randrange(ready, len(kinds) + 1)


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_takes_nothing_that_clients_were_told(tmp_path: Path, seed: int, begin: str) -> None:
    operations = record(tmp_path / "root", tmp_path / "recording", seed, begin)
    disk = PowerCut(tmp_path / "root")
    places = sorted(cuts(operations, seed))
    for number, operation in enumerate([*operations, None]):
        while places and places[0] == number:
            del places[0]
            share = SHARES[len(places) % len(SHARES)]
            left = tmp_path / "left"
            disk.write(left, share, number)
            try:
                check_after_cut(left / "data", disk.notes, number)
            except Exception as error:
                raise AssertionError(
                    f"cut before operation {number} of {len(operations)}, {share}"
                ) from error
            shutil.rmtree(left)
        if operation is not None:
            disk.apply(operation)
    assert not list(disk.differences(tmp_path / "root"))
    assert len(disk.notes) > 2
