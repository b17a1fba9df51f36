"""The studio in a real browser: a server started for the tests, Debian's Chromium, and a user's actions."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from serving import Studio, pixels

playwright_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install '.[dev]'")

FULL_CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
#: Chromium's headless shell takes a third less of the processor, but has no camera for tests.
CHROMIUM = shutil.which("chromium-headless-shell") or FULL_CHROMIUM
SWITCHES = ["--disable-gpu", "--disable-quic"]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
#: A desktop computer's window.
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
#: For visits of the studio that are not about its service worker, which loads all of the page's files again.
NO_SERVICE_WORKER: dict[str, Any] = {"service_workers": "block"}
#: Settings of a picture that is small enough for a test to wait for.
TINY = {"size": "64", "paint_size": "64", "iterations": "4", "coarsest": "64"}
#: Settings of a picture that is still being painted while a test does something.
LONG = {"size": "96", "paint_size": "96", "iterations": "100000", "coarsest": "96", "tolerance": "0"}

#: The draft that the page has stored, its file by name alone; {} if there is none.
STORED_DRAFT = """() => new Promise(resolve => {
  const opening = indexedDB.open('impasto', 1);
  opening.onupgradeneeded = () => opening.transaction.abort();  // the page has to make it
  opening.onerror = () => resolve({});
  opening.onsuccess = () => {
    const database = opening.result;
    const request = database.transaction('draft').objectStore('draft').get('now');
    request.onsuccess = () => {
      database.close();
      const { file, styles, settings } = request.result ?? {};
      resolve(file ? { file: file.name, styles: styles.map(({ id }) => id), settings } : {});
    };
  };
})"""
REPORTER = (
    "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium with a fresh profile; skips where there is none."""
    if not Path(CHROMIUM).exists():
        pytest.skip("no chromium here: apt-get install chromium-headless-shell")
    with playwright_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


class Visit:
    """A user of the page; records the browser's errors and warnings, and the hosts it sent requests to."""

    def __init__(self, browser: Any, base: str, **options: Any) -> None:
        self.base = base
        self.context = browser.new_context(**(options or DESK))
        self.context.set_default_timeout(120_000)
        self.context.add_init_script(REPORTER)
        self.messages: list[str] = []
        self.hosts: set[str] = set()
        self.context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.expected: tuple[str, ...] = ()  # parts of the messages that a test provokes

    def _console(self, message: Any) -> None:
        blocked = "Service Worker registration blocked by Playwright"  # see NO_SERVICE_WORKER
        if message.type in ("error", "warning") and blocked not in message.text:
            self.messages.append(message.text)

    def verify(self) -> None:
        """Assert that there was no unexpected error or warning, and no request to another host."""
        unexpected = [line for line in self.messages if not any(part in line for part in self.expected)]
        assert unexpected == []
        assert self.hosts - {"", urlsplit(self.base).netloc} == set()

    # -- what a user does --------------------------------------------------------------------------------
    def open(self, where: str = "/") -> Any:
        self.page.goto(self.base + where)
        self.page.wait_for_selector("body[data-ready]")
        return self.page

    def choose(self, picture: Path | str = "chelsea") -> None:
        """Choose a file, or a sample by name."""
        if isinstance(picture, Path):
            self.page.set_input_files("#file", picture)
        else:
            self.page.click(f"#samples button[aria-label='Try {picture}' i]")
        self.page.wait_for_selector("#frame > *")
        self.page.wait_for_function("() => !document.querySelector('#compose').hasAttribute('aria-busy')")

    def style(self, name: str = "wave") -> None:
        self.page.click(f"[data-style='id:{name}']")

    def set(self, settings: dict[str, str], prefix: str = "recipe") -> None:
        """Type settings under "More"."""
        self.page.evaluate("document.getElementById('more').open = true")
        for name, value in settings.items():
            self.page.fill(f"#{prefix}-{name}", value)
        self.page.evaluate("document.getElementById('more').open = false")

    def wait_until_stored(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 30) -> None:
        """Wait until ``STORED_DRAFT`` meets a condition."""
        deadline = time.monotonic() + seconds
        while not condition(draft := self.page.evaluate(STORED_DRAFT)):
            assert time.monotonic() < deadline, draft
            self.page.wait_for_timeout(100)

    def paint(self) -> None:
        self.page.click("#paint")

    def finished(self, seconds: float = 100) -> str:
        """Wait for the result; returns the job's id."""
        self.page.wait_for_selector("#result:not([hidden])", timeout=seconds * 1000)
        self.page.wait_for_selector("#result-frame img.after, #result-frame video")
        return self.job

    @property
    def job(self) -> str:
        return str(self.page.evaluate("location.hash")).removeprefix("#job/")

    def get(self, path: str) -> Any:
        """GET an address of the API, with the page's cookies."""
        return self.context.request.get(self.base + path)


def picture(path: Path, width: int = 90, height: int = 60, seed: int = 0, **options: Any) -> Path:
    """A smooth coloured picture as a file."""
    coarse = np.random.RandomState(seed).randint(0, 255, (4, 6, 3), np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, **options)
    return path


#: The shown first look as base64 of a PNG; its address itself may not be fetched.
_DRAWN = """() => {
  const image = document.querySelector('#frame img.instant');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas.toDataURL().split(',')[1];
}"""


def first_look(page: Any) -> np.ndarray:
    """The first look that the studio's page shows, (H, W, 3) uint8."""
    return pixels(base64.b64decode(page.evaluate(_DRAWN)))


# -- fixtures, for test files that name this module in pytest_plugins ---------------------------------------


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def studio(browser: Any, server: Studio) -> str:
    """The address of the studio that all test files share."""
    return server.url


@pytest.fixture
def visit(browser: Any, studio: str) -> Iterator[Callable[..., Visit]]:
    """A function that opens the page as a new user; each user is verified at the end of the test."""
    visits: list[Visit] = []

    def start(where: str = "/", base: str = studio, **options: Any) -> Visit:
        visits.append(Visit(browser, base, **NO_SERVICE_WORKER | (options or DESK)))
        visits[-1].open(where)
        return visits[-1]

    yield start
    for user in visits:
        user.verify()
        user.context.close()


@pytest.fixture(scope="session")
def painted(browser: Any, studio: str) -> str:
    """The id of the job of a finished tiny picture: the cat in the style of the wave."""
    user = Visit(browser, studio, **NO_SERVICE_WORKER | DESK)
    user.open()
    user.choose()
    user.style()
    user.set(TINY)
    user.paint()
    job = user.finished()
    user.verify()
    user.context.close()
    return job
