"""A ``FaultyStudio`` that notes in a recording what its clients have learned; what must be true after a cut.

Run as a program, with ``disk_recorder.c`` loaded:
``recorded_studio.py FOLDER RECORDING SEED TURNS BEGINNING``, which is ``new`` or ``upgrade``.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from faulty_studio import FaultyStudio
from impasto.studio.queue.data_folder import open_data_folder
from impasto.studio.queue.jobs import FINAL_STATES
from old_database import ROWS_2, make_database_2, make_job_files
from power_cut import add_note

__all__ = ["READY", "check_after_cut"]

_RATE = 0.005  # of other faults
#: The note after which the power may go: the data folder of an earlier version is there, if there is one.
READY = json.dumps(["ready", "", ""])


class RecordedStudio(FaultyStudio):
    """Notes ``["accepted", id, upload]`` once a client was answered, ``["ended", id, state]`` once shown."""

    def __init__(self, folder: Path, seed: int, recording: Path) -> None:
        super().__init__(folder, seed, _RATE, attempts=10**6, keep_days=10**6)
        self._recording = recording

    def accept(self) -> None:
        known = len(self.accepted)
        super().accept()
        for job_id in self.accepted[known:]:
            upload = (self.settings.job_folder(job_id) / "content").read_text()
            add_note(self._recording, json.dumps(["accepted", job_id, upload]))

    def watch(self) -> None:
        known = set(self.final)
        super().watch()
        for job_id in set(self.final) - known:
            add_note(self._recording, json.dumps(["ended", job_id, self.final[job_id]]))


def make_folder_to_upgrade(data: Path, recording: Path) -> None:
    """Write the data folder of an earlier version, whose clients have learned of its jobs."""
    make_job_files(data, ROWS_2)
    make_database_2(data / "studio.db")
    os.sync()
    for name in set(ROWS_2) - {"cancelling", "deleted"}:
        known = {"served": "done"}.get(name, name)
        what = ["ended", name, known] if known in FINAL_STATES else ["accepted", name, name]
        add_note(recording, json.dumps(what))


def check_after_cut(data: Path, notes: list[str], seed: int) -> None:
    """Start the studio on what is left, and finish everything.

    Args:
        data: the data folder as the power cut left it; it may not exist.
        notes: what clients had learned before the cut.
    """
    learned = [json.loads(note) for note in notes]
    uploads = {job_id: upload for what, job_id, upload in learned if what == "accepted"}
    ended = {job_id: state for what, job_id, state in learned if what == "ended"}
    if (data / "studio.db").exists():
        with closing(sqlite3.connect(data / "studio.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            states = dict(database.execute("SELECT id, state FROM jobs")) if uploads else {}
    else:
        states = {}
    assert {job_id: states.get(job_id) for job_id in ended} == ended, "what was shown as ended is not"
    assert set(uploads) <= set(states), "an accepted job is lost"
    studio = FaultyStudio(data, seed, 0.0, attempts=10**6, keep_days=10**6)
    open_data_folder(studio.settings).database.close()  # says why, if it cannot be used
    for job_id, upload in uploads.items():
        assert (studio.settings.job_folder(job_id) / "content").read_text() == upload
    studio.accepted, studio.final = list(uploads), dict(ended)
    studio.recover()
    # The row of a deleted job may be gone before its folder is. At the next start such a folder is moved to
    # the trash if it is named as a job, which this one of the earlier version's is not.
    shutil.rmtree(data / "jobs" / "deleted", ignore_errors=True)
    studio.check_nothing_lost()
    assert not set(ended) & set(studio.painted), "painted twice"
    studio.close()


if __name__ == "__main__":
    folder, log = Path(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[5] == "upgrade":
        make_folder_to_upgrade(folder, log)
    add_note(log, READY)
    RecordedStudio(folder, int(sys.argv[3]), log).run(int(sys.argv[4]))
