"""Fair turns: whatever clients do, nobody is served twice while another one waits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.queue.people import People, Quotas
from impasto.studio.queue.turns import HELD
from job_rows import add_job

CLIENTS = st.sampled_from("abcd")
ACTIONS = st.lists(
    st.one_of(
        *[st.tuples(st.just("send"), CLIENTS)] * 5,  # more than are served, so that there is a queue
        *[st.tuples(st.just("serve"), st.none())] * 3,
        st.tuples(st.just("cancel"), CLIENTS),
        st.tuples(st.just("forget"), CLIENTS),
    ),
    min_size=10,
    max_size=40,
)


def serve(store: JobStore, slot: str = "w") -> StudioJob | None:
    """Claim the next job and finish it."""
    job = store.claim(slot)
    if job is not None:
        store.finish(job.id, slot, "done", result="r")
    return job


def waiting_clients(store: JobStore) -> set[str]:
    return {job.client for job in store.all_jobs() if job.state == "queued"}


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck), phases=[Phase.generate],
)  # fmt: skip
@given(ACTIONS)
def test_nobody_is_served_twice_while_another_waits(actions: list[tuple[str, str | None]]) -> None:
    """Also not by deleting what is finished, or by leaving and coming back."""
    with tempfile.TemporaryDirectory() as folder:
        store = JobStore(Path(folder) / "studio.db")
        served_meanwhile: dict[str, list[str]] = {}  # of each who waits: who was served in the meantime
        for action, client in actions:
            if action == "send":
                assert client is not None
                add_job(store, client=client)
                served_meanwhile.setdefault(client, [])
            elif action == "serve":
                job = serve(store)
                assert (job is None) == (not served_meanwhile)
                if job is not None:
                    for others in served_meanwhile.values():
                        others.append(job.client)
                    served_meanwhile[job.client] = []
            else:
                _take_away(store, client, waiting=action == "cancel")
            waiting = waiting_clients(store)
            served_meanwhile = {name: others for name, others in served_meanwhile.items() if name in waiting}
            for others in served_meanwhile.values():
                assert len(others) == len(set(others))
        store.database.close()


def _take_away(store: JobStore, client: str | None, *, waiting: bool) -> None:
    """A client cancels what waits, or deletes what is finished, rows included."""
    for job in store.all_jobs():
        if job.client == client and (job.state == "queued") == waiting:
            store.mark_deleted(job.id)
    for job_id in store.removable_ids():
        store.delete_row(job_id)


def test_newcomers_do_not_starve_one_who_waits(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "studio.db")
    add_job(store, client="patient")
    assert serve(store) is not None
    add_job(store, client="other")
    add_job(store, client="patient")
    assert serve(store) is not None
    served = []
    for number in range(20):
        add_job(store, client=f"newcomer {number}")
        job = serve(store)
        assert job is not None
        served.append(job.client)
    assert served.index("patient") <= 1


def test_one_who_sends_many_delays_others_by_one_job(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "studio.db")
    for _ in range(30):
        add_job(store, client="many")
    for _ in range(5):
        assert serve(store) is not None
    one = add_job(store, client="one")
    assert store.position(one) == 0
    served = serve(store)
    assert served is not None
    assert served.id == one.id


def test_a_job_of_one_who_has_painted_enough_waits_for_tomorrow(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "studio.db")
    people = People(store.database)
    people.add("anna", Quotas(daily_seconds=10.0))
    first, second = (add_job(store, client="person 1", person=1) for _ in range(2))
    other = add_job(store, client="192.0.2.1")
    assert store.claim("w") is not None
    assert store.update(first.id, "w", seconds=10.5)
    assert store.finish(first.id, "w", "done", seconds=10.5)
    assert store.positions() == {second.id: HELD, other.id: 0}
    assert store.position(second) == HELD
    claimed = store.claim("w")
    assert claimed is not None
    assert claimed.id == other.id
    assert store.claim("w") is None
    with store.database.transaction() as db:  # midnight
        db.execute("UPDATE usage SET day = date('now', '-1 day')")
    assert store.position(second) == 0
    claimed = store.claim("w")
    assert claimed is not None
    assert claimed.id == second.id
