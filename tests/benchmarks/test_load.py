"""The load on the studio: its figures, and a few clients for a few seconds."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import load

    return load


def test_fairness_of_shares_that_are_known(load) -> None:  # type: ignore[no-untyped-def]
    assert load.jain([3, 3, 3, 3]) == pytest.approx(1.0)
    assert load.jain([8, 0, 0, 0]) == pytest.approx(0.25)
    assert load.jain([1, 3]) == pytest.approx(0.8)
    assert load.jain([0, 0]) == 0.0


def test_quantiles_are_values_that_were_seen(load) -> None:  # type: ignore[no-untyped-def]
    values = list(np.random.default_rng(1).permutation(1000))
    for share in (0.5, 0.99, 1.0):
        assert load.quantile(values, share) == np.quantile(values, share, method="inverted_cdf")
    assert np.isnan(load.quantile([], 0.5))


def test_clients_are_shared_out(load) -> None:  # type: ignore[no-untyped-def]
    people = [load.Person(str(number), "") for number in range(5)]
    owners = [owner.name for owner in load.share_out(people, 20)]
    assert [owners.count(str(number)) for number in range(5)] == [4] * 5
    owners = [owner.name for owner in load.share_out(people[:3], 20)]
    assert [owners.count(str(number)) for number in range(3)] == [4, 8, 8]


def test_samples_follow_the_processor_time(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A program computes in one function and sleeps in another: nearly all samples are of the first."""
    (tmp_path / "busy.py").write_text(
        "import time\n"
        "def compute():\n    end = time.process_time() + 0.5\n    while time.process_time() < end: pass\n"
        "def sleep():\n    time.sleep(0.5)\n"
        "compute()\nsleep()\n"
    )
    script, stacks = ROOT / "benchmarks" / "cpu_profile.py", tmp_path / "stacks.txt"
    subprocess.run([sys.executable, script, stacks, "busy"], cwd=tmp_path, check=True,
                   env={"PYTHONPATH": str(tmp_path)})  # fmt: skip
    shares = load.shares(
        stacks.read_text(), {"computing": ("__main__:compute",), "asleep": ("__main__:sleep",)}
    )
    assert shares["computing"] > 0.5
    assert shares.get("asleep", 0.0) < 0.1


@pytest.mark.slow
@pytest.mark.skipif("IMPASTO_SOAK" not in os.environ, reason="takes a minute: make soak")
def test_a_small_load(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Whatever the machine: somebody looked, was accepted, and followed."""
    arguments = [
        "--minutes", "0.1", "--clients", "2", "--people", "2", "--streams", "3", "--silent", "3",
        "--files", "1", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path),
    ]  # fmt: skip
    with ThreadPoolExecutor(1) as other:  # Playwright leaves an event loop running in the tests' own thread
        table = other.submit(load.main, arguments).result()
    assert int(table["accepted: number, a second"].split(",")[0]) >= 1
    assert int(table["silent connections: fewest, mean"].split(", ")[1]) == 3
    assert table["broken connections, uploads"] == "0"
    assert table["errors"] == "none"
    assert "| page, ms: p50, p99, longest |" in (tmp_path / "load.md").read_text()
    with (tmp_path / "load.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(rows[0]["rss server MB"]) > 50
    assert max(int(row["streams"]) for row in rows) >= 3
