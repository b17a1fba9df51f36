"""``impasto studio users``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from impasto.cli.main import main
from impasto.studio.queue.data_folder import open_data_folder
from impasto.studio.queue.people import People
from impasto.studio.settings import StudioSettings
from job_rows import add_job


def impasto(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["studio", *words, "--data", str(data)])
    output = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, output.out, output.err


def people(data: Path) -> People:
    return People(open_data_folder(StudioSettings(data=data)).database)


def test_a_person_is_added_listed_limited_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder need not be there yet; the token is printed once; each act is in the audit log."""
    data = tmp_path / "data"
    address = ("--address", "https://studio.example.org/")
    code, out, _ = impasto(capsys, data, "users", "add", "anna", "--daily-jobs", "7", *address)
    assert code == 0
    (token,) = re.findall(r"^    (impasto_\S+)$", out, re.M)
    assert f"https://studio.example.org/#token={token}" in out
    found = people(data).by_token(token)
    assert found is not None
    assert (found.name, found.daily_jobs, found.daily_seconds) == ("anna", 7, 21600)
    _, out, _ = impasto(capsys, data, "users", "list")
    assert out.split()[:4] == ["anna", "may", "sign", "in"]
    assert "0 of 7 jobs" in out
    assert token not in out
    code, _, _ = impasto(capsys, data, "users", "limit", "anna", "--daily-jobs", "none", "--bytes", "1000")
    assert code == 0
    _, out, _ = impasto(capsys, data, "users", "list")
    assert "0 of any jobs" in out
    _, out, _ = impasto(capsys, data, "users", "revoke", "anna")
    assert "0 unfinished jobs" in out
    _, out, _ = impasto(capsys, data, "users", "list")
    assert "revoked" in out
    (log,) = (data / "audit").iterdir()
    acts = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["act"], line["person"]) for line in acts] == [
        ("add person", "anna"), ("limit person", "anna"), ("revoke person", "anna"),
    ]  # fmt: skip
    assert token not in log.read_text()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["users", "add", "a b"], "cannot be used"),
        (["users", "add", "anna"], "already"),
        (["users", "add", "ben", "--daily-jobs", "-1"], "below 0"),
        (["users", "add", "ben", "--days", "0"], "more than 0"),
        (["users", "add", "ben", "--days", "3650000"], "at most 36500"),
        (["users", "add", "ben", "--days", "nan"], "at most 36500"),
        (["users", "add", "ben", "--address", "studio.example.org"], "https://"),
        (["users", "revoke", "ben"], "no 'ben'"),
        (["users", "limit", "ben"], "no 'ben'"),
        (["jobs", "list", "--person", "ben"], "no 'ben'"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    impasto(capsys, tmp_path, "users", "add", "anna")
    code, _, err = impasto(capsys, tmp_path, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert part in err
    assert [person.name for person, _ in people(tmp_path).all()] == ["anna"]


def test_users_of_a_folder_that_is_none_are_not_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = impasto(capsys, tmp_path / "none", "users", "list")
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "none").exists()


def test_jobs_are_listed_and_purged_by_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    impasto(capsys, tmp_path, "users", "add", "anna")
    store = open_data_folder(StudioSettings(data=tmp_path))
    own, other = add_job(store, person=1, client="person 1"), add_job(store)
    for job in (own, other):
        assert store.claim("w") is not None
        store.finish(job.id, "w", "done")
    _, out, _ = impasto(capsys, tmp_path, "jobs", "list", "--person", "anna")
    assert out.split()[0] == own.id
    assert out.count("\n") == 1
    impasto(capsys, tmp_path, "jobs", "purge", "--person", "anna")
    assert [job.id for job in store.all_jobs()] == [other.id]


def test_pictures_from_before_there_were_people_can_be_given_to_somebody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_data_folder(StudioSettings(data=tmp_path))
    job = add_job(store)
    impasto(capsys, tmp_path, "users", "add", "anna", "--adopt")
    assert [own.id for own in store.jobs_of(1)] == [job.id]
