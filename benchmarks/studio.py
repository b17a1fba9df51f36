"""What a guest of the studio waits for: first preview, first frame, the page meanwhile, 50 at once.

    python benchmarks/studio.py [--out benchmarks/results]

Starts a studio of its own in a temporary folder, at the defaults; the photograph has 12 megapixels.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image
from skimage import data


def photograph(width: int, height: int) -> bytes:
    """The astronaut as JPEG."""
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
    """A studio on a free port."""

    def __init__(self, folder: Path) -> None:
        begin = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "impasto.cli",
            "studio",
            "--no-open",
            "--port",
            "0",
            "--client-jobs",
            "200",
        ]
        self.process = subprocess.Popen([*command, "--data", str(folder)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        assert found is not None
        self.http = httpx.Client(base_url=found[0], timeout=600)
        while self.http.get("/readyz").status_code != 200:
            time.sleep(0.05)
        self.seconds = time.perf_counter() - begin

    def post(self, content: bytes, style: str = "wave", **parts: Any) -> str:
        answer = self.http.post(
            "/v1/jobs", files={"content": ("x", content)}, data={"style_id": style, **parts}
        )
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json()["id"])

    def job(self, job: str) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/jobs/{job}").json())

    def until(self, job: str, what: Any) -> dict[str, Any]:
        while True:
            found = self.job(job)
            if what(found) or found["state"] in ("failed", "cancelled"):
                assert found["error"] is None, found["error"]
                return found
            time.sleep(0.02)

    def memory(self) -> dict[str, float]:
        """MB of each process, shared pages counted once."""
        found = {}
        for one in [
            psutil.Process(self.process.pid),
            *psutil.Process(self.process.pid).children(recursive=True),
        ]:
            name = " ".join(one.cmdline()[-3:])
            kind = "worker" if "studio.work" in name else "forkserver" if "forkserver" in name else "server"
            found[f"{kind} {one.pid}"] = round(one.memory_full_info().uss / 1e6)
        return found


def picture(server: Server) -> dict[str, float]:
    """Seconds from the upload of 12 megapixels: accepted, first preview, finished."""
    server.until(server.post(photograph(256, 256), recipe='{"size": 64}'), lambda job: job["state"] == "done")
    begin = time.perf_counter()
    job = server.post(photograph(4032, 3024))
    accepted = time.perf_counter() - begin
    server.until(job, lambda found: found["preview"])
    preview = time.perf_counter() - begin
    server.until(job, lambda found: found["state"] == "done")
    return {"accepted": accepted, "first preview": preview, "finished": time.perf_counter() - begin}


def moving(server: Server, folder: Path) -> dict[str, float]:
    """Seconds from the upload of a clip: the first frame as a look, and at full size."""
    begin = time.perf_counter()
    job = server.post(clip(folder))
    server.until(job, lambda found: found["preview"])
    look = time.perf_counter() - begin
    server.until(job, lambda found: (found["frame"] or 0) >= 1)
    first = time.perf_counter() - begin
    server.http.delete(f"/v1/jobs/{job}")
    return {"first frame, small": look, "first frame": first}


def latency(server: Server, count: int = 200) -> dict[str, float]:
    """Milliseconds of the page and of a job while the worker paints."""
    job = server.post(photograph(800, 600), recipe='{"iterations": [100000], "tolerance": 0}')
    server.until(job, lambda found: found["preview"])
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


def crowd(server: Server, clients: int = 50) -> dict[str, float]:
    """Fifty clients at once: seconds until all are accepted, and finished; the page meanwhile."""
    tiny = '{"size": 48, "coarsest": 48, "iterations": [3]}'
    pictures = [photograph(64 + n, 64) for n in range(clients)]
    begin, waits = time.perf_counter(), []
    with ThreadPoolExecutor(clients) as pool:
        posted = [pool.submit(server.post, one, recipe=tiny) for one in pictures]
        while not all(task.done() for task in posted):
            at = time.perf_counter()
            assert server.http.get("/").status_code == 200
            waits.append(1000 * (time.perf_counter() - at))
            time.sleep(0.02)
    accepted = time.perf_counter() - begin
    for task in posted:
        server.until(task.result(), lambda found: found["state"] == "done")
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
        server = Server(folder / "data")
        try:
            found: dict[str, Any] = {
                "machine": {
                    "cores": os.cpu_count(),
                    "load": os.getloadavg()[0],
                    "processor": platform.machine(),
                },
                "ready, seconds": server.seconds,
                "picture of 12 megapixels, seconds": picture(server),
                "clip, seconds": moving(server, folder),
                "beside a busy worker, ms": latency(server),
                "fifty at once": crowd(server),
                "memory, MB": server.memory(),
            }
        finally:
            server.process.terminate()
            server.process.wait(30)
    text = json.dumps(found, indent=2, default=float)
    print(text)
    if out is not None:
        (out / "studio.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
