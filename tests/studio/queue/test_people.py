"""People: tokens, sessions, what revoking and expiring end, what is counted."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.people import PEOPLE_CREDENTIAL, People, PeopleError, Person, Quotas, has_people
from job_rows import add_job
from old_database import make_old_database


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "studio.db")


@pytest.fixture
def people(store: JobStore) -> People:
    return People(store.database)


def person(people: People, token: str) -> Person:
    found = people.by_token(token)
    assert found is not None
    return found


def test_a_token_is_stored_nowhere(people: People, tmp_path: Path) -> None:
    token = people.add("anna", Quotas())
    session = people.start_session(person(people, token), 1.0)
    people._database.close()
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert token.encode() not in data
        assert session.encode() not in data
    assert len(token) > 40
    assert token != people.add("ben", Quotas())


def test_a_token_signs_in_its_person_only(people: People) -> None:
    anna, ben = people.add("anna", Quotas()), people.add("ben", Quotas())
    assert (person(people, anna).name, person(people, ben).name) == ("anna", "ben")
    for forged in (
        "",
        anna[:-1],
        anna + "x",
        anna.upper(),
        "\udcff",
        "' OR 1 = 1 --",
        people.credential(anna),
    ):
        assert people.by_token(forged) is None


def test_a_session_ends_with_signing_out_and_with_its_time(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = person(people, people.add("anna", Quotas()))
    first, second = (people.start_session(anna, 1.0) for _ in range(2))
    assert people.by_session(first) == anna
    people.end_session(first)
    people.end_session("nonsense")
    assert people.by_session(first) is None
    assert people.by_session(second) == anna
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86399)
    assert people.by_session(second) == anna
    monkeypatch.setattr(time, "time", lambda: now + 86401)
    assert people.by_session(second) is None
    assert people.credential(second) not in people.valid_credentials()


def test_the_oldest_of_too_many_sessions_ends(people: People) -> None:
    anna = person(people, people.add("anna", Quotas()))
    sessions = [people.start_session(anna, 1.0) for _ in range(22)]
    assert [people.by_session(session) is None for session in sessions] == [True] * 2 + [False] * 20


def test_an_expired_person_is_shut_out_everywhere(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    token = people.add("anna", Quotas(), expires=time.time() + 60)
    session = people.start_session(person(people, token), 30.0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert people.by_token(token) is None
    assert people.by_session(session) is None
    assert people.valid_credentials() == set()
    assert people.exist()
    assert (
        person(people, people.add("anna", Quotas())).name == "anna"
    )  # she has to be added again, and can be
    assert people.by_session(session) is None


def test_revoking_ends_token_sessions_and_jobs(people: People, store: JobStore) -> None:
    token, other_token = people.add("anna", Quotas()), people.add("ben", Quotas())
    anna, ben = person(people, token), person(people, other_token)
    session = people.start_session(anna, 1.0)
    running, waiting, done = (add_job(store, client=anna.client, person=anna.id) for _ in range(3))
    other = add_job(store, client=ben.client, person=ben.id)
    assert store.claim("w") is not None
    with store.database.transaction() as db:
        db.execute("UPDATE jobs SET state = 'done' WHERE id = ?", (done.id,))
    assert people.revoke("Anna") == 2  # names are the same in any case
    assert people.by_token(token) is None
    assert people.by_session(session) is None
    assert people.valid_credentials() == {people.credential(other_token)}
    assert people.exist()
    states = {job.id: (job.state, job.cancel) for job in store.all_jobs()}
    assert states == {
        running.id: ("running", 1), waiting.id: ("cancelled", 0), done.id: ("done", 0),
        other.id: ("queued", 0),
    }  # fmt: skip
    new = people.add("anna", Quotas())
    assert new != token
    assert person(people, new).id == anna.id  # and finds the pictures again
    assert people.by_token(token) is None


def test_names_are_used_once_and_are_plain(people: People) -> None:
    people.add("anna", Quotas())
    for name in ("anna", "ANNA", "", "a b", "-x", "x" * 65, "a\nb", "a/b"):
        with pytest.raises(PeopleError):
            people.add(name, Quotas())
    for act in (people.revoke, lambda name: people.set_quotas(name, Quotas())):
        with pytest.raises(PeopleError, match="there is no"):
            act("nobody")


def test_while_there_are_no_people_nobody_has_to_sign_in(people: People, tmp_path: Path) -> None:
    assert not people.exist()
    assert people.valid_credentials() == {PEOPLE_CREDENTIAL}
    assert not has_people(tmp_path / "studio.db")
    people.add("anna", Quotas())
    assert has_people(tmp_path / "studio.db")
    assert PEOPLE_CREDENTIAL not in people.valid_credentials()


def test_asking_for_people_changes_no_database(tmp_path: Path) -> None:
    assert not has_people(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    make_old_database(tmp_path / "old.db")
    assert not has_people(tmp_path / "old.db")
    with sqlite3.connect(tmp_path / "old.db") as database:
        assert database.execute("PRAGMA user_version").fetchone()[0] == 0
    (tmp_path / "text.db").write_text("not a database")
    assert not has_people(tmp_path / "text.db")


def test_jobs_that_belonged_to_nobody_can_be_adopted(people: People, store: JobStore) -> None:
    ben = person(people, people.add("ben", Quotas()))
    his = add_job(store, client=ben.client, person=ben.id)
    nobodys = [add_job(store, client=f"192.0.2.{n}", request_key="same") for n in range(2)]
    anna = person(people, people.add("anna", Quotas(), adopt=True))
    assert {job.id for job in store.jobs_of(anna.id)} == {job.id for job in nobodys}
    assert [job.id for job in store.jobs_of(ben.id)] == [his.id]


def test_painting_time_is_counted_once_whatever_happens_to_the_job(people: People, store: JobStore) -> None:
    """Reports of progress, a lost worker, another attempt, a cancellation, a deletion."""
    anna = person(people, people.add("anna", Quotas()))
    job = add_job(store, client=anna.client, person=anna.id)
    add_job(store)  # nobody's
    assert store.claim("w") is not None
    for seconds in (1.0, 2.5, 4.0):
        store.update(job.id, "w", seconds=seconds)
    assert not store.update(job.id, "other", seconds=50.0)
    assert people.usage(anna).seconds == pytest.approx(4.0)
    store.release("w")
    assert store.claim("w") is not None
    store.update(job.id, "w", seconds=5.0)
    store.cancel(job.id)
    assert not store.update(job.id, "w", seconds=6.0)  # cancelled: not written, not counted
    assert people.usage(anna).seconds == pytest.approx(5.0)
    store.touch(job.id, "w", 6.5)
    store.finish(job.id, "w", "cancelled", seconds=7.0)
    store.mark_deleted(job.id)
    store.delete_row(job.id)
    usage = people.usage(anna)
    assert (usage.jobs, usage.seconds, usage.bytes) == (1, pytest.approx(7.0), 0)
    assert 0 < usage.renewal <= 86400
    assert store.claim("w") is not None  # nobody's time is not counted
    with store.database.transaction() as db:
        assert [row[0] for row in db.execute("SELECT person FROM usage")] == [anna.id]


def test_space_is_that_of_kept_jobs_and_what_unfinished_ones_may_take(
    people: People, store: JobStore
) -> None:
    anna = person(people, people.add("anna", Quotas()))
    own = {"client": anna.client, "person": anna.id}
    add_job(store, **own, bytes=10, reserved=100)
    cancelled = add_job(store, **own, bytes=1000, reserved=500)
    store.cancel(cancelled.id)
    deleted = add_job(store, **own, bytes=7)
    store.mark_deleted(deleted.id)
    add_job(store, bytes=5)
    assert people.usage(anna).bytes == 1110
