"""The studio on a cluster: what a job takes beyond its painting.

    python benchmarks/studio_cluster.py --on ray --jobs 20 --size 256 --iterations 3

The same small picture is painted by a worker here and by the cluster, in turn, one at a time, with one thread
each. Wall is what a client waits; CPU is that of the studio's process for the cluster.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch

from impasto import pictures, samples
from impasto.pieces.board import start_board
from impasto.pieces.cluster import RayExecutor
from impasto.pieces.connection import connected
from impasto.recipe import Recipe
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.queue.jobs import JobStore
from impasto.studio.sandbox.job_files import prepare_job
from impasto.studio.settings import StudioSettings
from impasto.studio.worker.claimed_job import ClaimedJob
from impasto.studio.worker.cluster import ClusterPainter, needs_of
from impasto.studio.worker.painting import paint_here, paint_job

UPLOADS = {"styles": [{"id": None}], "masks": 0, "style_masks": 0}


def add(store: JobStore, settings: StudioSettings, name: str, recipe: Recipe) -> None:
    folder = settings.job_folder(name)
    folder.mkdir(parents=True)
    pictures.save(folder / "content.png", samples.photograph("chelsea"))
    pictures.save(folder / "style-0.png", samples.photograph("rocket"))
    (folder / "content.png").rename(folder / "content")
    (folder / "style-0.png").rename(folder / "style-0")
    asked = recipe.model_dump_json(exclude_unset=True)
    facts = prepare_job(folder, JobInputs.from_uploads(asked, None, UPLOADS), settings)
    store.add(
        id=name, client="", kind="image", digest=name, preset="fast", height=facts["size"][0],
        width=facts["size"][1], recipe=asked, uploads=json.dumps(UPLOADS),
    )  # fmt: skip


def timed(
    store: JobStore, settings: StudioSettings, name: str, paint: Callable[[ClaimedJob], str | None]
) -> tuple[float, float, bytes]:
    """Seconds on the clock and of this process's CPU, and the result."""
    job = store.claim("w")
    assert job is not None
    begin, spent = time.perf_counter(), time.process_time()
    paint_job(ClaimedJob(job, store, settings, "w"), store, paint)
    seconds = time.perf_counter() - begin, time.process_time() - spent
    return *seconds, (settings.job_folder(name) / "result.png").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--on", default="ray")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(size=options.size, coarsest=options.size, iterations=(options.iterations,), tolerance=0.0)
    address = None if options.on == "ray" else options.on
    with tempfile.TemporaryDirectory() as folder, connected(address):
        settings = StudioSettings(data=Path(folder), workers="ray")
        store = JobStore(settings.data / "studio.db")
        executor = partial(RayExecutor, address, checked=True)
        painter = ClusterPainter(start_board(), needs_of, executor)
        ended = threading.Event()
        listener = threading.Thread(target=exchange, args=(painter, ended))
        listener.start()
        places = {"here": partial(paint_here, device="cpu"), "cluster": painter.paint}
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in places}
        results = set()
        for number in range(options.jobs + 1):  # the first warms everything up
            for place, paint in places.items():
                add(store, settings, f"{place}-{number}", recipe)
                wall, cpu, result = timed(store, settings, f"{place}-{number}", paint)
                results.add(result)
                if number:
                    rows[place].append((wall, cpu))
        ended.set()
        listener.join()
        for place, seconds in rows.items():
            walls, cpus = zip(*seconds, strict=True)
            print(f"{place}: {1000 * median(walls):.0f} ms wall, {1000 * median(cpus):.0f} ms CPU here")
        print(f"{len(results)} different result(s) of {2 * (options.jobs + 1)}")


def exchange(painter: ClusterPainter, ended: threading.Event) -> None:
    while not ended.wait(0.5):
        painter.exchange()


if __name__ == "__main__":
    main()
