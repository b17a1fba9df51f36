"""A worker: one process for one device, warm, painting one job after the other.

Started by the supervisor as ``python -m impasto.studio.queue.work SLOT DEVICE``, with the settings in the
environment. It ends when its standard input does: when the server is gone. ``painting`` does the jobs.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

from filelock import Timeout

from impasto.studio.queue.jobs import Jobs
from impasto.studio.queue.supervisor import lock_of
from impasto.studio.sandbox import isolation
from impasto.studio.settings import StudioSettings

__all__ = ["main"]

_IDLE = 0.05  # seconds between looks at an empty queue
_BEAT = 2.0


def main(slot: str, device: str) -> int:
    """Work until the server ends; returns an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    threading.Thread(target=_end_with_server, daemon=True).start()
    settings = StudioSettings.model_validate_json(os.environ["IMPASTO_STUDIO"])
    lock = lock_of(settings, slot)
    try:
        lock.acquire(timeout=60.0)
    except Timeout:
        logging.error("worker %s: another process works as it", slot)
        return 1
    jobs = Jobs(settings.data / "studio.db")
    jobs.release(slot)  # of a worker that ended with its server
    jobs.beat(slot, os.getpid(), ready=False)
    from impasto.studio.queue import painting

    painting.warm_up(device)
    isolation.start()  # for the first clip
    threading.Thread(target=_beat, args=(jobs, slot), daemon=True).start()
    jobs.beat(slot, os.getpid(), ready=True)
    while True:
        job = jobs.claim(slot)
        if job is None:
            time.sleep(_IDLE)
        else:
            painting.paint(job, jobs, settings, slot, device)


def _end_with_server() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)  # not `sys.exit`: that would wait for the painting


def _beat(jobs: Jobs, slot: str) -> None:
    while True:
        time.sleep(_BEAT)
        jobs.beat(slot, os.getpid(), ready=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
