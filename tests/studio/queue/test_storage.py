"""Files of jobs: what a duplicate shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.storage import link_cached_result
from impasto.studio.settings import StudioSettings
from job_rows import add_job


def test_a_duplicate_keeps_its_own_files_if_the_finished_job_is_deleted_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to be painted then, and needs its content."""
    settings, store = StudioSettings(data=tmp_path), JobStore(tmp_path / "studio.db")
    finished = add_job(store)
    store.claim("w")
    store.finish(finished.id, "w", "done", result="result.png")
    done = store.get(finished.id)
    assert done is not None
    theirs, own = settings.job_folder(done.id), tmp_path / "own"
    for folder in (theirs, own):
        folder.mkdir(parents=True)
        (folder / "content.png").write_text(folder.name)
    (theirs / "result.png").write_text("result")

    def deleted(*_: object) -> None:
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", deleted)
        assert not link_cached_result(done, own, settings)
    assert (own / "content.png").read_text() == "own"
    for _ in range(2):  # the second time the names stand for the same files already
        assert link_cached_result(done, own, settings)
        assert {path.name: path.read_text() for path in own.iterdir()} == {
            "content.png": done.id, "result.png": "result",
        }  # fmt: skip
