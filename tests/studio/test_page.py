"""The studio's page in Debian's Chromium: from opening it to a picture on the disk, on desk and phone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from browsing import LONG, PHONE, TINY, Visit, picture

pytest_plugins = ["browsing"]


# -- from opening to a picture -------------------------------------------------------------------------


def test_four_taps_on_a_phone(visit: Callable[..., Visit]) -> None:
    """Photograph, style, paint: three; a file from the phone's own chooser would be the fourth."""
    one = visit(**PHONE)
    page = one.page
    page.tap("#samples li:nth-child(2) button")
    page.wait_for_selector("#frame img")
    page.tap("[data-style='id:swirl']")
    assert page.inner_text("#paint") == "Paint"
    one.set(TINY)  # a test's patience, not a step
    page.tap("#paint")
    job = one.finished()
    assert one.get(f"/v1/jobs/{job}").json()["styles"][0]["id"] == "swirl"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_upload_preview_and_stop_keeps_the_picture(visit: Callable[..., Visit], tmp_path: Path) -> None:
    one = visit()
    page = one.page
    one.choose(picture(tmp_path / "mine.png"))
    assert "mine.png · 90 × 60" in page.inner_text("#about")
    one.style("mosaic")
    one.set(LONG)
    one.paint()
    page.wait_for_selector("#live img[data-preview]")
    first = page.get_attribute("#live img", "data-preview")
    page.wait_for_function(
        "first => document.querySelector('#live img')?.dataset.preview !== first", arg=first
    )
    assert 0 < page.eval_on_selector("#live-bar", "bar => bar.value") < 1
    assert re.search(r"\d+ %", page.inner_text("#live-part"))
    page.click("#stop")
    job = one.finished()
    assert one.get(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    assert "Stopped" in page.inner_text("#result-title")
    assert page.eval_on_selector("#result-frame img.after", "image => image.naturalWidth") == 96


def test_reload_in_mid_job(visit: Callable[..., Visit]) -> None:
    """By the address after a reload, by this browser's list in a fresh window."""
    one = visit()
    one.choose("coffee")
    one.style("glass")
    one.set(LONG)
    one.paint()
    one.page.wait_for_selector("#live img[data-preview]")
    job = one.job
    one.page.reload()
    one.page.wait_for_selector("#live img[data-preview]")
    assert one.job == job
    other = one.context.new_page()
    other.goto(one.base)
    other.wait_for_selector("#painting:not([hidden])")
    assert other.evaluate("location.hash") == f"#job/{job}"
    other.close()
    one.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the screen is unlocked
    before = one.page.eval_on_selector("#live-bar", "bar => bar.value")
    one.page.wait_for_function("before => document.getElementById('live-bar').value > before", arg=before)
    one.page.click("#stop")
    one.finished()


# -- what is done with the result --------------------------------------------------------------------------


def test_compare(visit: Callable[..., Visit], painted: str) -> None:
    one = visit(f"/#job/{painted}")
    one.finished()
    page = one.page
    clip = "getComputedStyle(document.querySelector('#result-frame .before')).clipPath"
    page.fill("#compare", "30")
    assert page.evaluate(clip) == "inset(0px 70% 0px 0px)"
    page.focus("#compare")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(clip) == "inset(0px 69% 0px 0px)"
    box = page.locator("#result-frame").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.up()
    assert page.evaluate(clip) == "inset(0px 50% 0px 0px)"
    assert page.get_attribute("#compare", "aria-valuetext") == "50 % of the photograph"


def test_strength_after_the_fact(visit: Callable[..., Visit], painted: str) -> None:
    """The slider shows at once what the server blends a moment later."""
    one = visit(f"/#job/{painted}")
    one.finished()
    with one.page.expect_response(lambda answer: "strength=0.4" in answer.url) as answer:
        one.page.fill("#after", "40")
        assert one.page.eval_on_selector("#result-frame .after", "image => image.style.opacity") == "0.4"
    one.page.wait_for_selector("#result-frame .after[data-exact='0.4']")
    assert answer.value.status == 200
    assert "strength=0.4" in one.page.get_attribute("#save", "href")
    full = one.get(f"/v1/jobs/{painted}/result?format=jpeg").body()
    assert answer.value.body() != full


@pytest.mark.parametrize(("choice", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_download_with_the_recipe_inside(
    visit: Callable[..., Visit], painted: str, tmp_path: Path, choice: str, kind: str
) -> None:
    one = visit(f"/#job/{painted}")
    one.finished()
    one.page.select_option("#format", choice)
    with one.page.expect_download() as download:
        one.page.click("#save")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with Image.open(path) as found:
        assert (found.format, found.size) == (kind, (64, 43))
    inside = path.read_bytes()
    assert b'"iterations"' in inside
    assert b'"coarsest": 32' in inside


def test_again_with_another_seed(visit: Callable[..., Visit], painted: str) -> None:
    one = visit(f"/#job/{painted}")
    one.finished()
    one.page.click("#again-seed")
    one.page.wait_for_function("id => !location.hash.endsWith(id)", arg=painted)
    job = one.get(f"/v1/jobs/{one.finished()}").json()
    assert job["recipe"]["seed"] != 0
    assert job["recipe"]["size"] == 64


def test_again_with_other_settings(visit: Callable[..., Visit], painted: str) -> None:
    """In a browser that never had the file: the server has it still."""
    one = visit(f"/#job/{painted}")
    one.finished()
    one.page.click("#again-settings")
    one.page.wait_for_selector("#compose:not([hidden]) #frame img")
    assert one.page.get_attribute("[data-style='id:wave']", "aria-pressed") == "true"
    assert one.page.input_value("#recipe-size") == "64"
    one.page.fill("#strength", "80")
    one.style("garden")
    one.paint()
    job = one.get(f"/v1/jobs/{one.finished()}").json()
    assert (job["recipe"]["strength"], job["recipe"]["size"]) == (0.8, 64)
    assert [style["id"] for style in job["styles"]] == ["garden"]


def test_look_closer(visit: Callable[..., Visit], painted: str) -> None:
    one = visit(f"/#job/{painted}")
    one.finished()
    one.page.click("#zoom-open")
    one.page.check("#zoom-levels input[value='4']")
    assert one.page.eval_on_selector("#zoom-easel img", "image => image.clientWidth") == 256
    one.page.keyboard.press("Escape")
    assert not one.page.is_visible("#zoom")


def test_history_and_deleting(visit: Callable[..., Visit], painted: str, studio: str) -> None:
    """Ids that the server does not know vanish without a word; what is deleted is gone on both sides."""
    one = visit()
    one.choose("rocket")
    one.style("woodcut")
    one.set(TINY)
    one.paint()
    mine = one.finished()
    ids = json.dumps(["unknown-id-0000000000", painted, mine])
    one.page.evaluate("ids => localStorage.setItem('impasto.jobs', ids)", ids)
    one.expected = ("404",)
    one.open()
    one.page.wait_for_selector(f"#history a[href='#job/{mine}'] img")
    assert one.page.locator("#history li").count() == 2
    assert one.page.evaluate("JSON.parse(localStorage.getItem('impasto.jobs')).length") == 2
    one.page.click("#tidy")
    one.page.click(f"#history li:has(a[href='#job/{mine}']) .drop")
    one.page.wait_for_function("() => document.querySelectorAll('#history li').length === 1")
    assert one.get(f"/v1/jobs/{mine}").status == 404
    one.page.click(f"#history a[href='#job/{painted}']")
    one.finished()


# -- how a picture gets in ----------------------------------------------------------------------------------

DROP = """([bytes, name, type, target, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  const element = document.querySelector(target);
  const init = { bubbles: true, cancelable: true };
  if (kind === 'paste') element.dispatchEvent(new ClipboardEvent('paste', { ...init, clipboardData: data }));
  else for (const type of ['dragenter', 'dragover', 'drop'])
    element.dispatchEvent(new DragEvent(type, { ...init, dataTransfer: data }));
}"""


def test_drag_and_drop_and_paste(visit: Callable[..., Visit], tmp_path: Path) -> None:
    one = visit()
    page = one.page
    bytes_ = list(picture(tmp_path / "a.png").read_bytes())
    page.evaluate(DROP, [bytes_, "dropped.png", "image/png", "#start", "drop"])
    page.wait_for_selector("#frame img")
    assert "dropped.png" in page.inner_text("#about")
    assert page.is_hidden("#veil")
    page.evaluate(DROP, [bytes_, "brush.png", "image/png", "#gallery", "drop"])
    page.wait_for_selector("#gallery [data-style^='own:'][aria-pressed='true']")
    page.evaluate(DROP, [bytes_, "pasted.png", "image/png", "body", "paste"])
    page.wait_for_function("() => document.getElementById('about').textContent.includes('pasted.png')")
    one.set(TINY)
    one.paint()
    job = one.get(f"/v1/jobs/{one.finished()}").json()
    assert [style["id"] for style in job["styles"]] == [None]


def test_twelve_megapixels_turned_by_exif(visit: Callable[..., Visit], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    one = visit(**PHONE)
    one.choose(picture(tmp_path / "phone.jpg", 4000, 3000, quality=92, exif=exif))
    assert "3000 × 4000" in one.page.inner_text("#about")
    one.style()
    one.set(TINY)
    one.paint()
    assert one.get(f"/v1/jobs/{one.finished()}").json()["size"] == [64, 48]


def test_large_photographs_are_scaled_down_unless_told(visit: Callable[..., Visit], tmp_path: Path) -> None:
    one = visit()
    large = picture(tmp_path / "large.jpg", 5000, 500, quality=99, subsampling=0)
    one.choose(large)
    assert "4096 × 410 · scaled from 5000 × 500" in one.page.inner_text("#about")
    one.page.evaluate("document.getElementById('more').open = true")
    one.page.uncheck("#shrink")
    one.page.set_input_files("#file", large)
    one.page.wait_for_function("() => !document.getElementById('about').textContent.includes('scaled')")
    assert "5000 × 500" in one.page.inner_text("#about")


def test_heic(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """Chromium cannot show it; the server does."""
    heif = pytest.importorskip("pillow_heif", reason="no pillow-heif: pip install '.[studio]'")
    path = tmp_path / "phone.heic"
    with Image.open(picture(tmp_path / "a.png", 120, 80)) as opened:
        heif.from_pillow(opened).save(path)
    one = visit()
    one.choose(path)
    assert "120 × 80" in one.page.inner_text("#about")
    one.style()
    one.set(TINY)
    one.paint()
    assert one.get(f"/v1/jobs/{one.finished()}").json()["size"] == [43, 64]


def test_what_was_chosen_outlives_a_reload(visit: Callable[..., Visit], tmp_path: Path) -> None:
    one = visit(**PHONE)
    one.choose(picture(tmp_path / "mine.png"))
    one.page.set_input_files("#style-file", picture(tmp_path / "brush.png", seed=1))
    one.page.wait_for_selector("#gallery [data-style^='own:'][aria-pressed='true']")
    one.page.fill("#strength", "70")
    one.set({"size": "64"})
    one.page.wait_for_timeout(700)  # it is kept when nothing has changed for a moment
    one.page.reload()
    one.page.wait_for_selector("body[data-ready]")
    assert "mine.png" in one.page.inner_text("#about")
    assert one.page.inner_text("#gallery [aria-pressed='true']").strip() == "brush"
    assert (one.page.input_value("#strength"), one.page.input_value("#recipe-size")) == ("70", "64")
    one.page.click("#home")
    one.page.wait_for_timeout(700)
    one.page.reload()
    one.page.wait_for_selector("body[data-ready]")
    assert one.page.is_visible("#start")
