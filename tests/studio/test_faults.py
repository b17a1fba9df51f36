"""Whatever fails, and whenever: no accepted job is lost, none is painted twice, and the queue goes on.

That it goes on, ``FaultyStudio.recover`` asserts.
"""

from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from faulty_studio import FaultyStudio
from old_database import OLD_ROWS, ROWS_2, make_database_2, make_job_files, make_old_database
from serving import without_workers

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="file descriptors are counted"),
    pytest.mark.timeout(6 * 3600),
]

#: A few at each change; `make soak` tries a hundred.
SEEDS = range(int(os.environ.get("IMPASTO_FAULT_SEEDS", "2")))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_faults_at_random_moments_lose_nothing_and_paint_nothing_twice(tmp_path: Path, seed: int) -> None:
    before = psutil.Process().num_fds()
    studio = FaultyStudio(tmp_path / "data", seed, 0.02, attempts=10**6, keep_days=10**6)
    studio.run(400)
    studio.recover()
    studio.check_nothing_lost()
    assert set(studio.final) >= set(studio.accepted)
    studio.close()
    check_page(studio)
    gc.collect()  # a response may hold its file open until then
    assert psutil.Process().num_fds() <= before
    assert {role for role, _ in studio.faults.counts} >= {"supervisor", "worker"}
    assert len({fault for _, fault in studio.faults.counts}) >= 4
    record(studio)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_jobs_that_fail_too_often_are_set_aside_and_the_others_go_on(tmp_path: Path, seed: int) -> None:
    studio = FaultyStudio(tmp_path / "data", seed, 0.05, keep_days=10**6)
    studio.run(300)
    studio.recover()
    studio.check_nothing_lost(("done", "failed"))
    studio.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("make", "rows"), [(make_old_database, OLD_ROWS), (make_database_2, ROWS_2)])
def test_a_database_of_an_earlier_version_is_upgraded_amid_faults(
    tmp_path: Path, make: Callable[[Path], None], rows: dict[str, str], seed: int
) -> None:
    studio = FaultyStudio(tmp_path / "data", seed, 0.05, attempts=10**6, keep_days=10**6)
    make_job_files(tmp_path / "data", rows)
    make(tmp_path / "data" / "studio.db")
    studio.run(200)
    studio.recover()
    studio.check_nothing_lost()
    with sqlite3.connect(tmp_path / "data" / "studio.db") as database:
        states = dict(database.execute("SELECT id, state FROM jobs"))
    expected = dict.fromkeys(rows, "done") | {
        "cancelling": "cancelled", "failed": "failed", "cancelled": "cancelled", "deleted": None,
    }  # fmt: skip
    assert {name: states.get(name) for name in rows} == expected
    studio.close()


def check_page(studio: FaultyStudio) -> None:
    """The page, and every job of it, can be had from a server that is started now."""
    client = without_workers(studio.settings.data)
    assert client.get("/").status_code == 200
    assert client.get("/healthz").text == "ok"
    for job_id in studio.accepted:
        assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "done"
        result = client.get(f"/v1/jobs/{job_id}/result")
        assert result.content == (studio.settings.job_folder(job_id) / "content").read_bytes()


def record(studio: FaultyStudio) -> None:
    """Append to the table of faults that ``make soak`` prints."""
    if path := os.environ.get("IMPASTO_FAULT_TABLE"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("a", encoding="utf-8") as file:
            for (role, fault), times in studio.faults.counts.items():
                file.write(f"{role}\t{fault}\t{times}\n")
            file.write(f"all\taccepted\t{len(studio.accepted)}\n")
