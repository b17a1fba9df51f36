"""``impasto studio jobs|backup|restore``."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from filelock import FileLock

from impasto.cli.main import main
from impasto.studio.queue.data_folder import open_data_folder
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.settings import StudioSettings
from job_rows import add_job


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return open_data_folder(StudioSettings(data=tmp_path / "data"))


def impasto(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["studio", *words])
    output = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, output.out, output.err


def add(store: JobStore, state: str, **columns: object) -> StudioJob:
    """A job with its files, in a state."""
    job = add_job(store)
    folder = store.path.parent / "jobs" / job.id
    folder.mkdir()
    (folder / "content.png").write_bytes(b"content")
    if state != "queued":
        assert store.claim("cpu-0") is not None
    if state not in ("queued", "running"):
        store.finish(job.id, "cpu-0", state, **columns)
    return job


def test_jobs_are_listed_with_the_reason_of_their_failure(
    store: JobStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = add(store, "done", result="result.png")
    poison = add(store, "failed", failure="attempts", error="for the client", last_error="OSError: EIO")
    code, out, _ = impasto(capsys, "jobs", "list", "--data", str(tmp_path / "data"))
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[:3] for line in lines] == [[done.id, "done", "1"], [poison.id, "failed", "1"]]
    assert lines[1].endswith("OSError: EIO")
    _, out, _ = impasto(capsys, "jobs", "list", "--state", "failed", "--data", str(tmp_path / "data"))
    assert out.splitlines() == lines[1:]


def test_failed_jobs_are_tried_again(
    store: JobStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(tmp_path / "data"))
    first, second, gone = (add(store, "failed", failure="attempts", error="x") for _ in range(3))
    done = add(store, "done")
    (tmp_path / "data" / "jobs" / gone.id / "content.png").unlink()
    _, out, _ = impasto(capsys, "jobs", "retry", *data, "--", first.id, done.id)
    assert "in the queue again" in out.splitlines()[0]
    assert "only failed jobs" in out.splitlines()[1]
    _, out, _ = impasto(capsys, "jobs", "retry", "--failed", *data)
    assert [line.split("  ")[1] for line in out.splitlines()] == [
        "is in the queue again",
        "its files are gone",
    ]
    retried = store.get(second.id)
    assert retried is not None
    assert (retried.state, retried.attempts, retried.error, retried.failure) == ("queued", 0, None, None)
    assert (retried.reserved, retried.cancel) == (36 * 4 * 4, 0)
    code, _, err = impasto(capsys, "jobs", "retry", *data, "--", "none")
    assert (code, err.count("\n")) == (2, 1)
    for act in ("retry", "cancel"):
        assert impasto(capsys, "jobs", act, *data)[0] == 2  # nothing was named


def test_a_job_is_tried_again_if_all_that_it_is_painted_from_is_there(
    store: JobStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = add(store, "failed", failure="attempts", error="x")
    with store.database.transaction() as db:
        uploads = '{"styles": [{"id": null}], "masks": 1, "style_masks": 0, "keys": [0]}'
        db.execute("UPDATE jobs SET uploads = ?", (uploads,))
    for name in ("style-0.safetensors", "mask-0.png", "key-0.png"):
        _, out, _ = impasto(capsys, "jobs", "retry", "--failed", "--data", str(tmp_path / "data"))
        assert "its files are gone" in out
        (tmp_path / "data" / "jobs" / job.id / name).write_bytes(b"")
    _, out, _ = impasto(capsys, "jobs", "retry", "--failed", "--data", str(tmp_path / "data"))
    assert "in the queue again" in out


def test_jobs_are_cancelled_and_purged(
    store: JobStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(tmp_path / "data"))
    old, new = add(store, "failed", error="x"), add(store, "failed", error="x")
    waiting = add(store, "queued")
    impasto(capsys, "jobs", "cancel", *data, "--", waiting.id)
    cancelled = store.get(waiting.id)
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    with store.database.transaction() as db:
        db.execute("UPDATE jobs SET finished = ? WHERE id = ?", (time.time() - 3 * 86400, old.id))
    impasto(capsys, "jobs", "purge", "--state", "failed", "--older-than", "2", *data)
    assert store.all_ids() == {waiting.id, new.id}
    assert not (tmp_path / "data" / "jobs" / old.id).exists()
    with FileLock(tmp_path / "data" / "server.lock"):  # a studio runs
        _, out, _ = impasto(capsys, "jobs", "purge", *data, "--", new.id)
    assert "the studio removes" in out
    assert store.removable_ids() == [new.id]
    assert impasto(capsys, "jobs", "purge", *data)[0] == 2


def test_a_wrong_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["jobs", "list"], ["backup", str(tmp_path / "copy")]):
        code, _, err = impasto(capsys, *words, "--data", str(tmp_path / "none"))
        assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "none").exists()


def test_a_copy_is_put_back_with_jobs_in_every_state(
    store: JobStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that was being painted waits in the copy; what is made again is not copied."""
    data, copy, back = (tmp_path / name for name in ("data", "copy", "back"))
    states = ("done", "failed", "cancelled", "running", "queued")
    jobs = {state: add(store, state) for state in states[:4]} | {"queued": add(store, "queued")}
    lost, deleted = add(store, "queued"), add(store, "queued")
    (data / "jobs" / lost.id / "content.png").unlink()
    (data / "jobs" / lost.id).rmdir()
    store.mark_deleted(deleted.id)
    (data / "jobs" / jobs["running"].id / "result.mp4.work").mkdir()
    assert impasto(capsys, "backup", str(copy), "--data", str(data))[0] == 0
    assert impasto(capsys, "backup", str(copy), "--data", str(data))[0] == 2  # it is there already
    assert impasto(capsys, "restore", str(copy), "--data", str(data))[0] == 2
    code, out, _ = impasto(capsys, "restore", str(copy), "--data", str(back))
    assert (code, out.split()[0]) == (0, "5")
    for folder in (copy, back):
        assert folder.stat().st_mode & 0o077 == 0  # neither pictures nor who may sign in
    assert (copy / "studio.db").stat().st_mode & 0o077 == 0
    restored = open_data_folder(StudioSettings(data=back))
    found = {state: restored.get(job.id) for state, job in jobs.items()}
    assert {state: job.state for state, job in found.items() if job is not None} == {
        state: "queued" if state == "running" else state for state in states
    }
    for job in jobs.values():
        assert (back / "jobs" / job.id / "content.png").read_bytes() == b"content"
    assert restored.all_ids() == {job.id for job in jobs.values()}
    assert not list((back / "jobs").rglob("*.work"))
    assert back.stat().st_mode & 0o077 == 0
    claimed = restored.claim("w")
    assert claimed is not None
    assert (claimed.id, claimed.attempts) == (jobs["running"].id, 1)
