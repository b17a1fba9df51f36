"""A studio for a test: as a process that can be killed, or in the test's own process without a worker."""

from __future__ import annotations

import asyncio
import atexit
import io
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import httpx
import numpy as np
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image
from starlette.types import ASGIApp

from clips import moving_square, texture, write_clip
from impasto import samples
from impasto.pictures.geometry import resample
from impasto.samples import PAINTINGS
from impasto.studio.app import create_app
from impasto.studio.certificates import current_certificate, lan_host
from impasto.studio.http.protocol import ImpatientProtocol
from impasto.studio.http.responses import PAGE_FOLDER
from impasto.studio.http.service import StudioService
from impasto.studio.queue.storage import folder_size
from impasto.studio.sandbox.samples import EXAMPLE_PHOTOGRAPHS, render_sample
from impasto.studio.settings import StudioSettings
from impasto.studio.worker.supervisor import WorkerProcess

T = TypeVar("T")

#: Settings of a picture that a test can wait for.
TINY = {"size": 48, "paint_size": 48, "coarsest": 48, "iterations": [3], "tolerance": 0}
#: Settings of a picture that is still being painted while a test does something.
LONG = {"size": 64, "paint_size": 64, "coarsest": 64, "iterations": [100000], "tolerance": 0}
TINY_CLIP = {"following_iterations": 2, "fill_iterations": [2, 2], "flow_size": 64}


def encoded(kind: str = "JPEG", size: tuple[int, int] = (64, 48), seed: int = 0, **options: Any) -> bytes:
    """A picture file (width, height) of smooth noise."""
    buffer = io.BytesIO()
    Image.fromarray(texture(size[1], size[0], seed)).save(buffer, kind, **options)
    return buffer.getvalue()


def clip_bytes(folder: Path, count: int = 4, name: str = "in.mp4", **options: Any) -> bytes:
    """An H.264 clip."""
    settings: dict[str, Any] = {"codec": "libx264", "pix_fmt": "yuv420p"} | options
    return write_clip(folder / name, moving_square(count), **settings).read_bytes()


@contextmanager
def listening(app: ASGIApp, host: str = "127.0.0.1", **options: Any) -> Iterator[int]:
    """Serve an application with uvicorn in a thread; the port of ``host`` that it listens on."""
    options = {"ws": "none", "lifespan": "off", "log_level": "error"} | options
    with socket.create_server((host, 0)) as listener:
        config = uvicorn.Config(app, **options)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


@cache
def small_samples() -> Path:
    """A folder with built-in pictures for all studios of a test run, as a studio keeps them in its data.

    The paintings are the page's thumbnails: rendering them at full size takes half a minute. The photographs
    are a third as large as a studio's, so that a first look at one is painted in a ninth of the time.
    """
    folder = Path(tempfile.mkdtemp(prefix="impasto-samples-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in EXAMPLE_PHOTOGRAPHS:
        height, width = samples.photograph(name).shape[2:]
        small = resample(samples.photograph(name), (height // 3, width // 3))
        with patch.object(samples, "photograph", return_value=small):
            render_sample(folder, name)
    for name in PAINTINGS:
        thumbnail = shutil.copy(PAGE_FOLDER / "styles" / f"{name}.webp", folder)
        with Image.open(thumbnail) as image:
            for suffix in (".jpg", ".png"):
                image.convert("RGB").save(folder / f"{name}{suffix}")
    return folder


class Studio:
    """A server in a process of its own, at a free port, with its data in ``folder``."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder, self.flags = folder, flags
        self.process: subprocess.Popen[str] | None = None
        self.output: list[str] = []

    def start(self, *, ready: bool = True, own_group: bool = False, seconds: float = 120) -> Studio:
        """Start, and wait until it can paint; without ``ready``, until it answers.

        Args:
            own_group: so that Ctrl-C can be sent to all of its processes, as a terminal does.
            seconds: that it has for either.
        """
        self.folder.mkdir(exist_ok=True)
        if not (self.folder / "samples").exists():
            (self.folder / "samples").symlink_to(small_samples())
        command = [sys.executable, "-m", "impasto.cli", "studio", "--no-open", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--data", str(self.folder), *self.flags],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=own_group,
        )  # fmt: skip
        self.output = []
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.url = self.wait(self._address, seconds)
        self.http = httpx.Client(base_url=self.url, timeout=300, verify=self.trust())
        self.wait(lambda: self.answers("/readyz" if ready else "/healthz"), seconds)
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self.output.append(line)

    def _address(self) -> str:
        assert self.process is not None
        assert self.process.poll() is None, "".join(self.output)
        match = re.search(r"https?://[\d.]+:\d+", "".join(self.output))
        return match[0] if match else ""

    def trust(self) -> ssl.SSLContext | bool:
        """What a client trusts: the studio's own certificate alone, if it made one."""
        certificate = self.folder / "tls" / "certificate.pem"
        return ssl.create_default_context(cafile=certificate) if certificate.exists() else True

    def answers(self, path: str) -> bool:
        try:
            return self.http.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def wait(self, condition: Callable[[], Any], seconds: float = 120) -> Any:
        """The first true value that ``condition`` returns; asked less often the longer it takes."""
        begin = time.monotonic()
        while (waited := time.monotonic() - begin) < seconds:
            value = condition()
            if value:
                return value
            # To ask takes time from what is waited for.
            time.sleep(min(max(0.05, waited / 10), 0.4))
        raise AssertionError(
            f"still false after {seconds} s; the studio printed: {''.join(self.output)[-2000:]}"
        )

    def kill(self) -> None:
        """Kill the server without a chance to clean up, as the kernel does when memory runs out."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Studio:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- a client's actions ---------------------------------------------------------------------------
    def post(
        self, content: bytes | None = None, recipe: dict[str, Any] = TINY, **parts: Any
    ) -> httpx.Response:
        return post(self.http, content, recipe, **parts)

    def job(self, job: str) -> dict[str, Any]:
        view: dict[str, Any] = self.http.get(f"/v1/jobs/{job}").json()
        return view

    def finished(self, job: str, seconds: float = 120) -> dict[str, Any]:
        """Wait for the end of the job; returns its view."""
        view: dict[str, Any] = self.wait(
            lambda: view if (view := self.job(job))["state"] in ("done", "failed", "cancelled") else None,
            seconds,
        )
        return view

    def running(self, job: str) -> dict[str, Any]:
        """Wait for the first preview of the job; returns its view."""
        view: dict[str, Any] = self.wait(lambda: view if (view := self.job(job))["preview"] else None)
        return view


def post(
    http: Any, content: bytes | None = None, recipe: dict[str, Any] | str = TINY, **parts: Any
) -> httpx.Response:
    """POST a job, with a style of noise unless the arguments name a style."""
    files: list[tuple[str, Any]] = [("content", ("x", encoded() if content is None else content))]
    files += parts.pop("files", [])
    data = {"recipe": recipe if isinstance(recipe, str) else json.dumps(recipe or TINY)} | parts
    if not any(name in ("style", "style_id") for name, _ in files) and "style_id" not in data:
        files.append(("style", ("x", encoded("PNG", (40, 40), 7))))
    response: httpx.Response = http.post("/v1/jobs", files=files, data=data)
    return response


def without_workers(folder: Path, **settings: Any) -> TestClient:
    """A client of a studio in this process, which has no workers: its jobs stay queued."""
    app = create_app(StudioSettings(data=folder, **settings))
    return TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)


@contextmanager
def served_here(
    folder: Path, *, workers: bool = False, **settings: Any
) -> Iterator[tuple[str, StudioService]]:
    """The address of a studio in a thread of this process, and its parts.

    It starts at once, where one in a process of its own has to load PyTorch for itself, for its decoders and
    for its worker.

    Args:
        workers: whether it has some; without, its jobs stay queued.
    """
    (folder / "samples").symlink_to(small_samples())
    options = StudioSettings(data=folder, **settings)
    # The supervisor takes this method when the application is made.
    with nullcontext() if workers else patch.object(WorkerProcess, "supervise"):
        app = create_app(options)
    certificate = current_certificate(options) if options.serves_https else None
    with (
        listening(
            app, options.host, http=ImpatientProtocol, lifespan="on", timeout_graceful_shutdown=1,
            ssl_certfile=certificate and certificate.path, ssl_keyfile=certificate and certificate.key,
        ) as port,
    ):  # fmt: skip
        scheme = "https" if certificate else "http"
        yield f"{scheme}://{lan_host(options.host)}:{port}", app.state.studio


def finish(service: StudioService, job_id: str) -> None:
    """Do a worker's part for the job that waits."""
    folder = service.settings.job_folder(job_id)
    claimed = service.store.claim("w")
    assert claimed is not None
    assert claimed.id == job_id
    for name in ("result.png", "thumb.webp"):
        (folder / name).write_bytes((folder / "content.png").read_bytes())
    (folder / "preview.jpg").write_bytes((folder / "content.jpg").read_bytes())
    service.store.finish(
        job_id, "w", "done", result="result.png", preview=1, seconds=2.0, bytes=folder_size(folder)
    )


def pixels(data: bytes) -> np.ndarray:
    """(H, W, 3) of a picture file."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def in_a_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` in a thread of its own: Playwright leaves a running event loop in the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
