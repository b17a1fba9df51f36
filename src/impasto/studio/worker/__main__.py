"""A worker: one process for one device, which paints one job after the other.

The supervisor starts it as ``python -m impasto.studio.worker SLOT DEVICE``, with the settings in the
environment. It ends when its standard input is closed, which happens at the latest when the server ends.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

from filelock import Timeout

from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.slots import slot_lock
from impasto.studio.sandbox import isolation
from impasto.studio.settings import StudioSettings

__all__ = ["main"]

_POLL_SECONDS = 0.05  # between two queries of an empty queue
_HEARTBEAT_SECONDS = 2.0


def main(slot: str, device: str) -> int:
    """Work until the server ends; returns an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    threading.Thread(target=_end_with_server, daemon=True).start()
    settings = StudioSettings.model_validate_json(os.environ["IMPASTO_STUDIO"])
    lock = slot_lock(settings, slot)
    try:
        lock.acquire(timeout=60.0)
    except Timeout:
        logging.error("worker %s: another process works under this name", slot)
        return 1
    store = JobStore(settings.data / "studio.db")
    store.release(slot)  # jobs of a worker that ended together with its server
    store.heartbeat(slot, os.getpid(), ready=False)
    # Imported only now: loading PyTorch takes seconds, in which the heartbeat already shows this worker.
    from impasto.studio.worker.claimed_job import ClaimedJob
    from impasto.studio.worker.painting import paint_job, warm_up

    warm_up(device)
    isolation.start_forkserver()  # so that the first clip does not wait for it
    threading.Thread(target=_send_heartbeats, args=(store, slot), daemon=True).start()
    store.heartbeat(slot, os.getpid(), ready=True)
    while True:
        job = store.claim(slot)
        if job is None:
            time.sleep(_POLL_SECONDS)
        else:
            paint_job(ClaimedJob(job, store, settings, slot), store, device)


def _end_with_server() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)  # `sys.exit` would wait for the painting to end


def _send_heartbeats(store: JobStore, slot: str) -> None:
    while True:
        time.sleep(_HEARTBEAT_SECONDS)
        store.heartbeat(slot, os.getpid(), ready=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
