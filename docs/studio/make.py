"""Makes the pictures of ``docs/studio.md`` and measures the way to the first picture.

``python docs/studio/make.py [OUT]`` starts a studio and Debian's Chromium and goes through the steps of the
tests, with the default recipe. Says the seconds from opening the page to the first preview and to the end.
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
PATIENCE = 900_000  # milliseconds, for a machine that is busy


class Camera:
    """Takes pictures of the page and puts them side by side."""

    def __init__(self, out: Path, scratch: Path) -> None:
        self.out, self.scratch = out, scratch

    def take(self, page: Any, name: str) -> None:
        page.mouse.move(0, 0)
        page.wait_for_timeout(400)
        page.screenshot(path=self.scratch / f"{name}.png")

    def row(self, name: str, shots: tuple[str, ...], height: int = HEIGHT, gap: int = 16) -> None:
        """One JPEG of several shots on a neutral ground."""
        pictures = []
        for shot in shots:
            with Image.open(self.scratch / f"{shot}.png") as found:
                width = round(found.width * height / found.height)
                pictures.append(found.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
        sheet = Image.new("RGB", (sum(p.width + gap for p in pictures) + gap, height + 2 * gap), "#8d8a84")
        left = gap
        for one in pictures:
            sheet.paste(one, (left, gap))
            left += one.width + gap
        sheet.save(self.out / f"{name}.jpg", quality=84, optimize=True)


def processor_seconds() -> float:
    """Of the studio and its workers, so far."""
    times = [
        child.cpu_times() for child in psutil.Process().children(recursive=True) if not is_browser(child)
    ]
    return sum(one.user + one.system for one in times)


def is_browser(process: psutil.Process) -> bool:
    return "chrom" in process.name() or "node" in process.name()


def measure(one: Visit) -> dict[str, float]:
    """The three taps of a newcomer, as fast as the page allows: seconds since it was asked for."""
    before, began = processor_seconds(), time.monotonic()
    one.open()
    opened = time.monotonic()
    one.choose("chelsea")
    one.style("wave")
    one.paint()
    asked = time.monotonic()
    one.page.wait_for_selector("#live img[data-preview]", timeout=PATIENCE)
    preview = time.monotonic()
    one.finished(PATIENCE / 1000)
    done = time.monotonic()
    return {
        "opening": opened - began,
        "from Paint to the first preview": preview - asked,
        "from Paint to the finished picture": done - asked,
        "from opening to the finished picture": done - began,
        "processor seconds of the studio": processor_seconds() - before,
    }


def steps(one: Visit, camera: Camera, name: str, photograph: str, style: str) -> None:
    """A picture of each step."""
    page = one.page
    one.open()
    page.wait_for_load_state("networkidle")
    camera.take(page, f"{name}-open")
    one.choose(photograph)
    one.style(style)
    page.evaluate("window.scrollTo(0, 0)")
    camera.take(page, f"{name}-chosen")
    one.paint()
    page.wait_for_selector("#live img[data-preview]", timeout=PATIENCE)
    page.wait_for_function("() => document.getElementById('live-bar').value > 0.3", timeout=PATIENCE)
    camera.take(page, f"{name}-painting")
    one.finished(PATIENCE / 1000)
    page.fill("#compare", "45")
    camera.take(page, f"{name}-result")


def regions(one: Visit, camera: Camera, name: str) -> None:
    """The mask, painted with the brush."""
    page = one.page
    one.open()
    one.choose("rocket")
    one.style("swirl")
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


def more(one: Visit, camera: Camera, name: str) -> None:
    """Blending and the other settings."""
    page = one.page
    one.open()
    one.choose("coffee")
    page.click("label:has(#blend)")
    one.style("glass")
    one.style("garden")
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
            one = Visit(browser, studio.url, **options)
            found = work(one, *args)
            one.verify()
            one.context.close()
            return found

        for style in studio.http.get("/v1/styles").json():  # painted at the very first start only
            studio.http.get(style["thumbnail"], timeout=PATIENCE / 1000)
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
