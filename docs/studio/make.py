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
#: Pictures of one row of the page, each side by side at this height.
HEIGHT = 620


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
    """Of all processes that this one started and that still run."""
    times = [
        child.cpu_times() for child in psutil.Process().children(recursive=True) if not is_browser(child)
    ]
    return sum(one.user + one.system for one in times)


def is_browser(process: psutil.Process) -> bool:
    return "chrom" in process.name() or "node" in process.name()


def first_picture(one: Visit, camera: Camera, name: str) -> dict[str, float]:
    """The three taps of a newcomer; seconds since the page was asked for."""
    page = one.page
    before = processor_seconds()
    began = time.monotonic()
    one.open()
    camera.take(page, f"{name}-open")
    one.choose("chelsea")
    one.style("wave")
    camera.take(page, f"{name}-chosen")
    page.evaluate("window.scrollTo(0, 0)")
    one.paint()
    asked = time.monotonic()
    page.wait_for_selector("#live img[data-preview]", timeout=120_000)
    preview = time.monotonic()
    page.wait_for_function("() => document.getElementById('live-bar').value > 0.4", timeout=240_000)
    camera.take(page, f"{name}-painting")
    one.finished(600)
    done = time.monotonic()
    page.fill("#compare", "45")
    camera.take(page, f"{name}-result")
    return {
        "opening to paint": asked - began,
        "paint to first preview": preview - asked,
        "paint to finished": done - asked,
        "opening to finished": done - began,
        "processor seconds": processor_seconds() - before,
    }


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

        def visit(work: Callable[..., Any], name: str, **options: Any) -> Any:
            one = Visit(browser, studio.url, **options)
            found = work(one, camera, name)
            one.verify()
            one.context.close()
            return found

        for label, seconds in visit(first_picture, "phone", **PHONE).items():
            sys.stdout.write(f"{label}: {seconds:.1f} s\n")
        visit(first_picture, "dark", **PHONE, color_scheme="dark")
        visit(first_picture, "desk", **DESK, device_scale_factor=2)
        visit(first_picture, "night", **DESK, device_scale_factor=2, color_scheme="dark")
        visit(regions, "phone", **PHONE)
        visit(more, "phone", **PHONE)
        visit(regions, "desk", **DESK, device_scale_factor=2)
        camera.row("phone", ("phone-open", "phone-chosen", "phone-painting", "phone-result"))
        camera.row("dark", ("dark-open", "dark-chosen", "dark-painting", "dark-result"))
        camera.row("more", ("phone-mask", "phone-blend", "phone-more"))
        camera.row("desk", ("desk-chosen",), 700, 0)
        camera.row("desk-result", ("desk-result",), 700, 0)
        camera.row("desk-dark", ("night-open",), 700, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
