"""The studio in a real browser: a server of its own, Debian's Chromium, and the steps a person takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from serving import Studio

playwright_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install '.[dev]'")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
#: Small enough for a test to wait for.
TINY = {"size": "64", "iterations": "4", "coarsest": "32"}
#: So long that a test can do something in the middle.
LONG = {"size": "96", "iterations": "100000", "coarsest": "96", "tolerance": "0"}

REPORTER = (
    "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium with a fresh profile; skips where there is none."""
    if not Path(CHROMIUM).exists():
        pytest.skip("no chromium here: apt-get install chromium")
    with playwright_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


class Visit:
    """One person at the page: what the browser complained about, and where it sent requests."""

    def __init__(self, browser: Any, base: str, **options: Any) -> None:
        self.base = base
        self.context = browser.new_context(**(options or DESK))
        self.context.set_default_timeout(120_000)
        self.context.add_init_script(REPORTER)
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.expected: tuple[str, ...] = ()

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def verify(self) -> None:
        """No complaint that was not expected, and no request to anybody else."""
        left = [line for line in self.complaints if not any(part in line for part in self.expected)]
        assert left == []
        assert self.hosts - {"", urlsplit(self.base).netloc} == set()

    # -- the steps ---------------------------------------------------------------------------------------
    def open(self, where: str = "/") -> Any:
        self.page.goto(self.base + where)
        self.page.wait_for_selector("body[data-ready]")
        return self.page

    def choose(self, picture: Path | str = "chelsea") -> None:
        """A file, or a sample by name."""
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

    def paint(self) -> None:
        self.page.click("#paint")

    def finished(self, patience: float = 100) -> str:
        """Wait for the result; its job's id."""
        self.page.wait_for_selector("#result:not([hidden])", timeout=patience * 1000)
        self.page.wait_for_selector("#result-frame img.after, #result-frame video")
        return self.job

    @property
    def job(self) -> str:
        return str(self.page.evaluate("location.hash")).removeprefix("#job/")

    def get(self, path: str) -> Any:
        """The API as the page sees it."""
        return self.context.request.get(self.base + path)


def picture(path: Path, width: int = 90, height: int = 60, seed: int = 0, **options: Any) -> Path:
    """A smooth coloured picture as a file."""
    coarse = np.random.RandomState(seed).randint(0, 255, (4, 6, 3), np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, **options)
    return path


# -- fixtures, for the files that name this one in pytest_plugins -----------------------------------------


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def studio(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a studio that several test files share."""
    with Studio(tmp_path_factory.mktemp("studio")) as running:
        yield running.url


@pytest.fixture
def visit(browser: Any, studio: str) -> Iterator[Callable[..., Visit]]:
    """Opens the page; afterwards nothing may have been complained about, and nobody else asked."""
    visits: list[Visit] = []

    def start(where: str = "/", base: str = studio, **options: Any) -> Visit:
        visits.append(Visit(browser, base, **options))
        visits[-1].open(where)
        return visits[-1]

    yield start
    for one in visits:
        one.verify()
        one.context.close()


@pytest.fixture(scope="session")
def painted(browser: Any, studio: str) -> str:
    """The id of a finished tiny picture: the cat after the wave."""
    one = Visit(browser, studio)
    one.open()
    one.choose()
    one.style()
    one.set(TINY)
    one.paint()
    job = one.finished()
    one.verify()
    one.context.close()
    return job
