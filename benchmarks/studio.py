"""Times that users of the studio wait: first preview, first frame, the page while painting, 50 clients.

    python benchmarks/studio.py [--out benchmarks/results]

Starts a studio with default settings in a temporary folder; the photograph has 12 megapixels.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image
from skimage import data


def photograph(width: int, height: int) -> bytes:
    """A JPEG of the astronaut, ``width`` × ``height`` pixels."""
    buffer = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((width, height)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def clip(folder: Path, frames: int = 60) -> bytes:
    """Two seconds of 480p, a pan over the astronaut."""
    import av

    path, picture = folder / "clip.mp4", Image.fromarray(data.astronaut()).resize((1000, 1000))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 854, 480, "yuv420p"
        for index in range(frames):
            frame = picture.crop((2 * index, 200, 2 * index + 854, 680))
            out.mux(stream.encode(av.VideoFrame.from_image(frame)))
        out.mux(stream.encode())
    return path.read_bytes()


class Server:
    """A studio on a free port, with further ``flags``; ``runner`` runs its module."""

    def __init__(self, folder: Path, *flags: str, runner: Sequence[str] = ("-m",)) -> None:
        begin = time.perf_counter()
        command = [sys.executable, *runner, "impasto.cli", "studio", "--no-open", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--data", str(folder), *flags], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        address = re.search(r"http://\S+", self.process.stdout.readline())
        assert address is not None
        self.http = httpx.Client(base_url=address[0], timeout=600)
        while self.http.get("/readyz").status_code != 200:
            time.sleep(0.05)
        self.seconds = time.perf_counter() - begin

    def post(self, content: bytes, style: str = "wave", **parts: Any) -> str:
        response = self.http.post(
            "/v1/jobs", files={"content": ("x", content)}, data={"style_id": style, **parts}
        )
        assert response.status_code in (200, 202), response.text
        return str(response.json()["id"])

    def job(self, job: str) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/jobs/{job}").json())

    def wait_until(self, job: str, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait until the condition holds for the job; returns its view. Raises if the job failed."""
        while True:
            view = self.job(job)
            if condition(view) or view["state"] in ("failed", "cancelled"):
                assert view["error"] is None, view["error"]
                return view
            time.sleep(0.02)

    def memory(self) -> dict[str, float]:
        """MB of each process, without pages that it shares with others (USS)."""
        megabytes = {}
        server = psutil.Process(self.process.pid)
        for process in [server, *server.children(recursive=True)]:
            command = " ".join(process.cmdline())
            kinds = {"impasto.studio.worker": "worker", "forkserver": "forkserver"}
            kind = next((kind for part, kind in kinds.items() if part in command), "server")
            megabytes[f"{kind} {process.pid}"] = round(process.memory_full_info().uss / 1e6)
        return megabytes


def paint_picture(server: Server) -> dict[str, float]:
    """Seconds from the upload of 12 megapixels: accepted, first preview, finished."""
    server.wait_until(
        server.post(photograph(256, 256), recipe='{"size": 64}'), lambda view: view["state"] == "done"
    )
    begin = time.perf_counter()
    job = server.post(photograph(4032, 3024))
    accepted = time.perf_counter() - begin
    server.wait_until(job, lambda view: view["preview"])
    preview = time.perf_counter() - begin
    server.wait_until(job, lambda view: view["state"] == "done")
    return {"accepted": accepted, "first preview": preview, "finished": time.perf_counter() - begin}


def paint_clip(server: Server, folder: Path) -> dict[str, float]:
    """Seconds from the upload of a clip to the small painting of its first frame, and to its first frame."""
    begin = time.perf_counter()
    job = server.post(clip(folder))
    server.wait_until(job, lambda view: view["preview"])
    preview = time.perf_counter() - begin
    server.wait_until(job, lambda view: (view["frame"] or 0) >= 1)
    first = time.perf_counter() - begin
    server.http.delete(f"/v1/jobs/{job}")
    return {"first frame, small": preview, "first frame": first}


def latency(server: Server, count: int = 200) -> dict[str, float]:
    """Milliseconds that requests for the page and for a job take while the worker paints."""
    job = server.post(photograph(800, 600), recipe='{"iterations": [100000], "tolerance": 0}')
    server.wait_until(job, lambda view: view["preview"])
    waits = []
    for _ in range(count):
        for path in ("/", f"/v1/jobs/{job}"):
            begin = time.perf_counter()
            assert server.http.get(path).status_code == 200
            waits.append(1000 * (time.perf_counter() - begin))
        time.sleep(0.02)
    server.http.delete(f"/v1/jobs/{job}")
    return {
        "median": statistics.median(waits),
        "95 %": sorted(waits)[int(0.95 * len(waits))],
        "longest": max(waits),
    }


def many_clients(server: Server, clients: int = 50) -> dict[str, float]:
    """Many clients at once: seconds until all jobs are accepted and finished; latency of the page."""
    tiny = '{"size": 48, "coarsest": 48, "iterations": [3]}'
    pictures = [photograph(64 + n, 64) for n in range(clients)]
    begin, waits = time.perf_counter(), []
    with ThreadPoolExecutor(clients) as pool:
        posted = [pool.submit(server.post, picture, recipe=tiny) for picture in pictures]
        while not all(task.done() for task in posted):
            sent = time.perf_counter()
            assert server.http.get("/").status_code == 200
            waits.append(1000 * (time.perf_counter() - sent))
            time.sleep(0.02)
    accepted = time.perf_counter() - begin
    for task in posted:
        server.wait_until(task.result(), lambda view: view["state"] == "done")
    return {
        "accepted": accepted, "finished": time.perf_counter() - begin,
        "page, median ms": statistics.median(waits), "page, longest ms": max(waits),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder / "data", "--client-jobs", "200")
        try:
            figures: dict[str, Any] = {
                "machine": {
                    "cores": os.cpu_count(),
                    "load": os.getloadavg()[0],
                    "processor": platform.machine(),
                },
                "ready, seconds": server.seconds,
                "picture of 12 megapixels, seconds": paint_picture(server),
                "clip, seconds": paint_clip(server, folder),
                "beside a busy worker, ms": latency(server),
                "fifty at once": many_clients(server),
                "memory, MB": server.memory(),
            }
        finally:
            server.process.terminate()
            server.process.wait(30)
    text = json.dumps(figures, indent=2, default=float)
    print(text)
    if out is not None:
        (out / "studio.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
