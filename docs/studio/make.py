"""Makes the pictures of ``docs/studio.md`` and measures how long a first picture takes.

``python docs/studio/make.py [OUT]`` starts a studio and Debian's Chromium and goes through the steps of the
tests, with the default recipe. Prints the seconds from opening the page to the first preview and to the end.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from browsing import DESK, PHONE, Visit, chromium  # noqa: E402
from serving import Studio  # noqa: E402

HERE = Path(__file__).parent
HEIGHT = 620  # of the pictures in a row of the page
TIMEOUT = 900_000  # milliseconds; generous, for a busy machine


class Camera:
    """Takes screenshots of the page and puts them side by side."""

    def __init__(self, out: Path, scratch: Path) -> None:
        self.out, self.scratch = out, scratch

    def take(self, page: Any, name: str) -> None:
        page.mouse.move(0, 0)
        page.wait_for_timeout(400)
        page.screenshot(path=self.scratch / f"{name}.png")

    def row(self, name: str, shots: tuple[str, ...], height: int = HEIGHT, gap: int = 16) -> None:
        """One JPEG of several screenshots side by side, on grey."""
        pictures = []
        for shot in shots:
            with Image.open(self.scratch / f"{shot}.png") as picture:
                width = round(picture.width * height / picture.height)
                pictures.append(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
        sheet = Image.new("RGB", (sum(p.width + gap for p in pictures) + gap, height + 2 * gap), "#8d8a84")
        left = gap
        for picture in pictures:
            sheet.paste(picture, (left, gap))
            left += picture.width + gap
        sheet.save(self.out / f"{name}.jpg", quality=84, optimize=True)


def processor_seconds() -> float:
    """Processor time that the studio and its workers have used so far."""
    times = [
        child.cpu_times() for child in psutil.Process().children(recursive=True) if not is_browser(child)
    ]
    return sum(cpu.user + cpu.system for cpu in times)


def is_browser(process: psutil.Process) -> bool:
    return "chrom" in process.name() or "node" in process.name()


def measure(user: Visit) -> dict[str, float]:
    """The three taps of a newcomer, as fast as the page allows: seconds since it was asked for."""
    before, began = processor_seconds(), time.monotonic()
    user.open()
    opened = time.monotonic()
    user.choose("chelsea")
    user.style("wave")
    user.paint()
    asked = time.monotonic()
    user.page.wait_for_selector("#live img[data-preview]", timeout=TIMEOUT)
    preview = time.monotonic()
    user.finished(TIMEOUT / 1000)
    done = time.monotonic()
    return {
        "opening": opened - began,
        "from Paint to the first preview": preview - asked,
        "from Paint to the finished picture": done - asked,
        "from opening to the finished picture": done - began,
        "processor seconds of the studio": processor_seconds() - before,
    }


def steps(user: Visit, camera: Camera, name: str, photograph: str, style: str) -> None:
    """A screenshot of each step."""
    page = user.page
    user.open()
    page.wait_for_load_state("networkidle")
    camera.take(page, f"{name}-open")
    user.choose(photograph)
    user.style(style)
    page.evaluate("window.scrollTo(0, 0)")
    camera.take(page, f"{name}-chosen")
    user.paint()
    page.wait_for_selector("#live img[data-preview]", timeout=TIMEOUT)
    page.wait_for_function("() => document.getElementById('live-bar').value > 0.3", timeout=TIMEOUT)
    camera.take(page, f"{name}-painting")
    user.finished(TIMEOUT / 1000)
    page.fill("#compare", "45")
    camera.take(page, f"{name}-result")


def regions(user: Visit, camera: Camera, name: str) -> None:
    """The mask, painted with the brush."""
    page = user.page
    user.open()
    user.choose("rocket")
    user.style("swirl")
    page.click("#mask-open")
    page.fill("#mask-size", "30")
    box = page.locator("#mask-canvas").bounding_box()
    page.mouse.move(box["x"] + 0.05 * box["width"], box["y"] + 0.15 * box["height"])
    page.mouse.down()
    for share in (0.15, 0.3, 0.45):
        for x in (0.05, 0.95):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + share * box["height"], steps=8)
    page.mouse.up()
    camera.take(page, f"{name}-mask")
    page.click("#mask-done")
    page.wait_for_selector("#mask", state="hidden")


def more(user: Visit, camera: Camera, name: str) -> None:
    """Blending and the other settings."""
    page = user.page
    user.open()
    user.choose("coffee")
    page.click("label:has(#blend)")
    user.style("glass")
    user.style("garden")
    page.evaluate("document.getElementById('weights').scrollIntoView({ block: 'center' })")
    camera.take(page, f"{name}-blend")
    page.click("#more summary")
    page.fill("#find", "colour")
    page.evaluate("document.getElementById('more').scrollIntoView()")
    camera.take(page, f"{name}-more")


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Studio(Path(folder) / "data", "--threads", str(psutil.cpu_count())) as studio,
        chromium() as browser,
    ):
        camera = Camera(out, Path(folder))

        def visit(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
            user = Visit(browser, studio.url, **options)
            result = work(user, *args)
            user.verify()
            user.context.close()
            return result

        for style in studio.http.get("/v1/styles").json():  # painted at the very first start only
            studio.http.get(style["thumbnail"], timeout=TIMEOUT / 1000)
        for label, seconds in visit(measure, **PHONE).items():
            sys.stdout.write(f"{label}: {seconds:.1f} s\n")
            sys.stdout.flush()
        sharp = DESK | {"device_scale_factor": 2}
        visit(regions, camera, "phone", **PHONE)
        visit(more, camera, "phone", **PHONE)
        # No pair twice: the studio would answer at once with the picture it has.
        visit(steps, camera, "phone", "coffee", "wave", **PHONE)
        visit(steps, camera, "dark", "astronaut", "glass", **PHONE, color_scheme="dark")
        visit(steps, camera, "desk", "chelsea", "mosaic", **sharp)
        visit(steps, camera, "night", "rocket", "swirl", **sharp, color_scheme="dark")
        camera.row("phone", ("phone-open", "phone-chosen", "phone-painting", "phone-result"))
        camera.row("dark", ("dark-open", "dark-chosen", "dark-painting", "dark-result"))
        camera.row("more", ("phone-mask", "phone-blend", "phone-more"))
        camera.row("desk", ("desk-chosen",), 700, 0)
        camera.row("desk-result", ("desk-result",), 700, 0)
        camera.row("desk-dark", ("night-result",), 700, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
