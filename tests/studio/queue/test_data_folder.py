"""A wrong or foreign data folder is recognised, and nothing in it is deleted."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from impasto.errors import RecipeError
from impasto.studio.queue.data_folder import move_unknown_to_trash, open_data_folder, purge_trash
from impasto.studio.queue.jobs import JobStore, new_job_id
from impasto.studio.settings import StudioSettings
from job_rows import add_job


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    thesis = tmp_path / "jobs" / "my-thesis"
    thesis.mkdir(parents=True)
    with pytest.raises(RecipeError, match="not their database"):
        open_data_folder(StudioSettings(data=tmp_path))
    assert thesis.exists()
    assert not (tmp_path / "studio.db").exists()


def test_only_folders_named_as_jobs_are_moved_and_stay_in_the_trash_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = StudioSettings(data=tmp_path)
    store = open_data_folder(settings)
    job = add_job(store)
    lost = new_job_id()
    for name in (job.id, lost, "my-thesis"):
        settings.job_folder(name).mkdir()
    for name in ("0123456789abcdef", "letter"):
        (tmp_path / "incoming" / name).mkdir()
    (tmp_path / "incoming" / "tmpabc123").write_bytes(b"x")
    assert move_unknown_to_trash(store, settings) == 1
    assert {path.name for path in (tmp_path / "jobs").iterdir()} == {job.id, "my-thesis"}
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["letter"]
    purge_trash(settings)
    (trashed,) = (tmp_path / "trash").iterdir()
    assert trashed.name.endswith(lost)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 90_000)
    purge_trash(settings)
    assert list((tmp_path / "trash").iterdir()) == []


def test_a_lost_database_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    settings = StudioSettings(data=tmp_path)
    store = open_data_folder(settings)
    settings.job_folder(add_job(store).id).mkdir()
    store.database.close()
    for path in tmp_path.glob("studio.db*"):
        path.unlink()
    with pytest.raises(RecipeError, match="not their database"):
        open_data_folder(settings)


def test_the_database_of_another_folder_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        open_data_folder(StudioSettings(data=tmp_path / name)).database.close()
    shutil.copy(tmp_path / "a" / "studio.db", tmp_path / "b" / "studio.db")
    with pytest.raises(RecipeError, match="another data folder"):
        open_data_folder(StudioSettings(data=tmp_path / "b"))


def test_a_folder_of_an_earlier_version_is_adopted_and_made_private(tmp_path: Path) -> None:
    settings = StudioSettings(data=tmp_path)
    (tmp_path / "jobs").mkdir(mode=0o755)
    store = JobStore(tmp_path / "studio.db")
    job = add_job(store)
    settings.job_folder(job.id).mkdir()
    assert open_data_folder(settings).get(job.id) is not None
    open_data_folder(settings)
    assert (tmp_path / "jobs").stat().st_mode & 0o077 == 0
    assert (tmp_path / "studio.db").stat().st_mode & 0o077 == 0
