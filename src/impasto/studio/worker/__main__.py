"""A worker: one process for one device, which paints one job after the other.

The supervisor starts it as ``python -m impasto.studio.worker SLOT DEVICE``, with the settings in the
environment. It ends when its standard input is closed, which happens at the latest when the server ends:
then it saves what it paints and puts it back into the queue.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from filelock import Timeout

from impasto.studio.logs import configure_logs
from impasto.studio.queue.guarded import GuardedStep
from impasto.studio.queue.jobs import JobStore, StudioJob
from impasto.studio.queue.slots import slot_lock
from impasto.studio.settings import StudioSettings
from impasto.studio.traces import Traces

__all__ = ["main"]

_HEARTBEAT_SECONDS = 2.0
_NICE = 10  # below the server and the processes that decode uploads: whoever looks or sends waits less
_DRAIN_SECONDS = 10.0  # after which the process ends even if it cannot save its job

log = logging.getLogger("impasto.studio")


def main(slot: str, device: str) -> int:
    """Work until the server ends, or until this process should be replaced; returns an exit code."""
    draining = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # systemd and Ctrl-C send them to the whole group
        signal.signal(number, lambda *_: draining.set())
    threading.Thread(target=_end_with_server, args=(draining,), daemon=True).start()
    with suppress(AttributeError, OSError):  # Windows has no such call
        os.nice(_NICE)
    settings = StudioSettings.model_validate_json(os.environ["IMPASTO_STUDIO"])
    configure_logs(settings.log_format, verbose=True)
    lock = slot_lock(settings, slot)
    try:
        lock.acquire(timeout=60.0)
    except Timeout:
        log.error("worker %s: another process works under this name", slot)
        return 1
    store = JobStore(settings.data / "studio.db")
    # Jobs of a worker that ended together with its server, or with the machine. Their attempts count: the
    # job may be the reason.
    store.release(slot, attempts=settings.attempts)
    store.heartbeat(slot, os.getpid(), ready=False)
    # Imported only now: loading PyTorch takes seconds, in which the heartbeat already shows this worker.
    ready = threading.Thread(target=_send_heartbeats, args=(store, slot), daemon=True).start
    if settings.on_cluster:
        from impasto.studio.worker.cluster import work_on_cluster

        code = work_on_cluster(settings, store, draining, ready)
    else:
        code = _work_here(settings, store, slot, device, draining, ready)
    lock.release()
    return code


def _work_here(
    settings: StudioSettings,
    store: JobStore,
    slot: str,
    device: str,
    draining: threading.Event,
    on_ready: Callable[[], None],
) -> int:
    from impasto.studio.worker.claimed_job import ClaimedJob
    from impasto.studio.worker.loop import WorkLoop
    from impasto.studio.worker.painting import paint_here, paint_job, warm_up

    traces = Traces(settings)

    def paint(job: StudioJob) -> bool:
        with traces.painting(job, slot):
            claimed = ClaimedJob(job, store, settings, slot, draining=draining)
            return paint_job(claimed, store, partial(paint_here, device=device))

    warm_up(device)
    on_ready()
    code = WorkLoop(settings, store, slot, paint, draining).run()
    traces.stop()
    return code


def _end_with_server(draining: threading.Event) -> None:
    """Ask the main thread to save its job and end once the server has closed this process's input."""
    while os.read(0, 4096):
        pass
    draining.set()
    time.sleep(_DRAIN_SECONDS)
    os._exit(0)  # `sys.exit` would wait for the painting to end


def _send_heartbeats(store: JobStore, slot: str) -> None:
    step = GuardedStep("heartbeat", lambda: store.heartbeat(slot, os.getpid(), ready=True))
    while True:
        step.run()
        time.sleep(_HEARTBEAT_SECONDS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
