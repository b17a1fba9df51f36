"""A ``FaultyStudio`` that notes in a recording what its clients have learned; what must be true after a cut.

Run as a program, with ``disk_recorder.c`` loaded:
``recorded_studio.py FOLDER RECORDING SEED TURNS``.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from faulty_studio import FaultyStudio
from impasto.studio.queue.data_folder import open_data_folder
from power_cut import add_note

__all__ = ["check_after_cut"]

_RATE = 0.005  # of other faults


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
    studio.check_nothing_lost()
    assert not set(ended) & set(studio.painted), "painted twice"
    studio.close()


if __name__ == "__main__":
    RecordedStudio(Path(sys.argv[1]), int(sys.argv[3]), Path(sys.argv[2])).run(int(sys.argv[4]))
