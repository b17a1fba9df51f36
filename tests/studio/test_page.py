"""The studio's page: from opening it to a saved picture, on desktop and phone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from browsing import DESK, LONG, NO_SERVICE_WORKER, PHONE, TINY, Visit, picture

pytest_plugins = ["browsing"]
pytestmark = pytest.mark.browser


# -- from opening to a picture -------------------------------------------------------------------------


def test_four_taps_on_a_phone(visit: Callable[..., Visit]) -> None:
    """A sample, a style, Paint: three taps; choosing a file in the phone's dialog would be the fourth."""
    user = visit(**PHONE)
    page = user.page
    page.tap("#samples li:nth-child(2) button")
    page.wait_for_selector("#frame img")
    page.tap("[data-style='id:swirl']")
    assert page.inner_text("#paint") == "Paint"
    user.set(TINY)  # only to keep the test short
    page.tap("#paint")
    job = user.finished()
    assert user.get(f"/v1/jobs/{job}").json()["styles"][0]["id"] == "swirl"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_upload_preview_and_stop_keeps_the_picture(visit: Callable[..., Visit], tmp_path: Path) -> None:
    user = visit()
    page = user.page
    user.choose(picture(tmp_path / "mine.png"))
    assert "mine.png · 90 × 60" in page.inner_text("#about")
    user.style("mosaic")
    user.set(LONG)
    user.paint()
    page.wait_for_selector("#live img[data-preview]")
    first = page.get_attribute("#live img", "data-preview")
    page.wait_for_function(
        "first => document.querySelector('#live img')?.dataset.preview !== first", arg=first
    )
    assert 0 < page.eval_on_selector("#live-bar", "bar => bar.value") < 1
    assert re.search(r"\d+ %", page.inner_text("#live-part"))
    page.click("#stop")
    job = user.finished()
    assert user.get(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    assert "Stopped" in page.inner_text("#result-title")
    assert page.eval_on_selector("#result-frame img.after", "image => image.naturalWidth") == 96


def test_reload_in_mid_job(visit: Callable[..., Visit]) -> None:
    """The job is in the address after a reload, and in this browser's list in a new window.

    With the page's service worker, from which the files come after the reload.
    """
    user = visit(**DESK, service_workers="allow")
    user.choose("coffee")
    user.style("glass")
    user.set(LONG)
    user.paint()
    user.page.wait_for_selector("#live img[data-preview]")
    job = user.job
    user.page.reload()
    user.page.wait_for_selector("#live img[data-preview]")
    assert user.job == job
    other = user.context.new_page()
    other.goto(user.base)
    other.wait_for_selector("#painting:not([hidden])")
    assert other.evaluate("location.hash") == f"#job/{job}"
    other.close()
    user.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the screen is unlocked
    before = user.page.eval_on_selector("#live-bar", "bar => bar.value")
    user.page.wait_for_function("before => document.getElementById('live-bar').value > before", arg=before)
    user.page.click("#stop")
    user.finished()


# -- what is done with the result --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def viewer(browser: Any, studio: str, painted: str) -> Iterator[Visit]:
    """A user with the result before them, for tests that leave it there."""
    user = Visit(browser, studio, **NO_SERVICE_WORKER | DESK)
    user.open(f"/#job/{painted}")
    user.finished()
    yield user
    user.verify()
    user.context.close()


def test_compare(viewer: Visit) -> None:
    page = viewer.page
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


def test_strength_after_the_fact(viewer: Visit, painted: str) -> None:
    """The slider shows a preview at once; the server's exact blend replaces it."""
    user = viewer
    with user.page.expect_response(lambda answer: "strength=0.4" in answer.url) as answer:
        user.page.fill("#after", "40")
        assert user.page.eval_on_selector("#result-frame .after", "image => image.style.opacity") == "0.4"
    user.page.wait_for_selector("#result-frame .after[data-exact='0.4']")
    assert answer.value.status == 200
    assert "strength=0.4" in user.page.get_attribute("#save", "href")
    full = user.get(f"/v1/jobs/{painted}/result?format=jpeg").body()
    assert answer.value.body() != full
    user.page.fill("#after", "100")
    user.page.wait_for_selector("#result-frame .after[data-exact='1']")


@pytest.mark.parametrize(("choice", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_download_with_the_recipe_inside(viewer: Visit, tmp_path: Path, choice: str, kind: str) -> None:
    user = viewer
    user.page.select_option("#format", choice)
    with user.page.expect_download() as download:
        user.page.click("#save")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with Image.open(path) as saved:
        assert (saved.format, saved.size) == (kind, (64, 43))
    inside = path.read_bytes()
    assert b'"iterations"' in inside
    assert b'"coarsest": 64' in inside


def test_again_with_another_seed(visit: Callable[..., Visit], painted: str) -> None:
    user = visit(f"/#job/{painted}")
    user.finished()
    user.page.click("#again-seed")
    user.page.wait_for_function("id => !location.hash.endsWith(id)", arg=painted)
    job = user.get(f"/v1/jobs/{user.finished()}").json()
    assert job["recipe"]["seed"] != 0
    assert job["recipe"]["size"] == 64


#: When the server takes the styles of the earlier job; styles of two regions in one; how long 7,180 s are.
STYLES_AND_TIMES = """async () => {
  const { areStylesOf, draft, orderedStyles } = await import('/js/draft.js');
  const { formatDuration } = await import('/js/dom.js');
  const [wave, own, other] = ['wave', 'own', 'other'].map(key => ({ key, thumbnail: `/${key}` }));
  const same = [[wave, own], [own, wave], [own], [wave, other]]
    .map(styles => areStylesOf(styles, { styles: [wave, own] }));
  Object.assign(draft, { styles: [wave, own], regions: [{ style: '' }, { style: 'wave' }] });
  const ordered = orderedStyles().map(({ key }) => key);
  Object.assign(draft, { styles: [], regions: null });
  return [same, ordered, formatDuration(7180)];
}"""


def test_again_with_other_settings(visit: Callable[..., Visit], painted: str) -> None:
    """In a browser that never had the file; the server still has it."""
    user = visit(f"/#job/{painted}")
    user.finished()
    assert user.page.evaluate(STYLES_AND_TIMES) == [[True, False, False, False], ["wave"], "2 h 0 min"]
    user.page.click("#again-settings")
    user.page.wait_for_selector("#compose:not([hidden]) #frame img")
    assert user.page.get_attribute("[data-style='id:wave']", "aria-pressed") == "true"
    assert user.page.input_value("#recipe-size") == "64"
    user.page.fill("#strength", "80")
    user.style("garden")
    user.paint()
    job = user.get(f"/v1/jobs/{user.finished()}").json()
    assert (job["recipe"]["strength"], job["recipe"]["size"]) == (0.8, 64)
    assert [style["id"] for style in job["styles"]] == ["garden"]


def test_look_closer(viewer: Visit) -> None:
    user = viewer
    user.page.click("#zoom-open")
    user.page.check("#zoom-levels input[value='4']")
    assert user.page.eval_on_selector("#zoom-viewport img", "image => image.clientWidth") == 256
    user.page.keyboard.press("Escape")
    assert not user.page.is_visible("#zoom")


def test_history_and_deleting(visit: Callable[..., Visit], painted: str, studio: str) -> None:
    """Ids that the server does not know are dropped silently; deleting removes a job from page and server."""
    user = visit()
    user.choose("rocket")
    user.style("woodcut")
    user.set(TINY)
    user.paint()
    mine = user.finished()
    ids = json.dumps(["unknown-id-0000000000", painted, mine])
    user.page.evaluate("ids => localStorage.setItem('impasto.jobs', ids)", ids)
    user.expected = ("404",)
    user.open()
    user.page.wait_for_selector(f"#history a[href='#job/{mine}'] img")
    assert user.page.locator("#history li").count() == 2
    assert user.page.evaluate("JSON.parse(localStorage.getItem('impasto.jobs')).length") == 2
    user.page.click("#tidy")
    user.page.click(f"#history li:has(a[href='#job/{mine}']) .delete")
    user.page.wait_for_function("() => document.querySelectorAll('#history li').length === 1")
    assert user.get(f"/v1/jobs/{mine}").status == 404
    assert user.page.evaluate("document.activeElement.matches('#history .delete')")
    user.page.click(f"#history a[href='#job/{painted}']")
    user.finished()


# -- how a picture gets in ----------------------------------------------------------------------------------

DROP = """([bytes, name, type, target, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  const element = document.querySelector(target);
  const init = { bubbles: true, cancelable: true };
  if (kind === 'paste') element.dispatchEvent(new ClipboardEvent('paste', { ...init, clipboardData: data }));
  else return ['dragenter', 'dragover', 'drop']
    .map(type => element.dispatchEvent(new DragEvent(type, { ...init, dataTransfer: data }))).at(-1);
}"""


def test_drag_and_drop_and_paste(visit: Callable[..., Visit], tmp_path: Path) -> None:
    user = visit()
    page = user.page
    looks: list[Any] = []
    page.route("**/v1/instant", lambda route: route.continue_() if looks else looks.append(route))
    bytes_ = list(picture(tmp_path / "a.png").read_bytes())
    page.evaluate(DROP, [bytes_, "dropped.png", "image/png", "#start", "drop"])
    page.wait_for_selector("#frame img")
    assert "dropped.png" in page.inner_text("#about")
    assert page.is_hidden("#drop-overlay")
    page.evaluate(DROP, [bytes_, "brush.png", "image/png", "#gallery", "drop"])
    page.wait_for_selector("#gallery [data-style^='upload:'][aria-pressed='true']")
    while not looks:
        page.wait_for_timeout(50)
    page.evaluate(DROP, [bytes_, "pasted.png", "image/png", "body", "paste"])
    page.wait_for_function("() => document.getElementById('about').textContent.includes('pasted.png')")
    page.wait_for_timeout(300)  # until a first look is wanted of this one too
    user.expected = ("503",)
    looks[0].fulfill(status=503)  # that of the one before fails, and this one gets its own
    page.wait_for_selector("#frame img.instant")
    page.click("#mask-open")
    assert page.evaluate(DROP, [bytes_, "late.png", "image/png", "#mask", "drop"]) is False  # prevented
    page.click("#mask-remove")
    assert "pasted.png" in page.inner_text("#about")
    user.set(TINY)
    held: list[Any] = []
    page.route("**/v1/jobs", lambda route: held.append(route))
    user.paint()
    page.wait_for_function("() => document.querySelector('#paint[aria-busy]')")
    page.evaluate(DROP, [bytes_, "next.png", "image/png", "#start", "drop"])  # while the other one is sent
    page.wait_for_function("() => document.getElementById('about').textContent.includes('next.png')")
    held[0].continue_()
    page.unroute("**/v1/jobs")
    job = user.get(f"/v1/jobs/{user.finished()}").json()
    assert [style["id"] for style in job["styles"]] == [None]
    page.click("#again-settings")
    page.wait_for_selector("#compose:not([hidden])")
    assert "From an earlier painting" in page.inner_text("#about")


def test_twelve_megapixels_rotated_by_exif(visit: Callable[..., Visit], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    user = visit(**PHONE)
    user.choose(picture(tmp_path / "phone.jpg", 4000, 3000, quality=92, exif=exif))
    assert "3000 × 4000" in user.page.inner_text("#about")
    user.style()
    user.set(TINY)
    user.paint()
    assert user.get(f"/v1/jobs/{user.finished()}").json()["size"] == [64, 48]


def test_large_photographs_are_scaled_down(visit: Callable[..., Visit], tmp_path: Path) -> None:
    user = visit()
    large = picture(tmp_path / "large.jpg", 5000, 500, quality=99, subsampling=0)
    user.choose(large)
    assert "4096 × 410 · scaled from 5000 × 500" in user.page.inner_text("#about")
    user.page.evaluate("document.getElementById('more').open = true")
    user.page.uncheck("#shrink")  # also for the photograph that is chosen already
    user.page.wait_for_function("() => !document.getElementById('about').textContent.includes('scaled')")
    assert "5000 × 500" in user.page.inner_text("#about")


def test_heic(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """Chromium cannot decode HEIC; the server makes the preview."""
    heif = pytest.importorskip("pillow_heif", reason="no pillow-heif: pip install '.[studio]'")
    path = tmp_path / "phone.heic"
    with Image.open(picture(tmp_path / "a.png", 120, 80)) as opened:
        heif.from_pillow(opened).save(path)
    user = visit()
    user.choose(path)
    assert "120 × 80" in user.page.inner_text("#about")
    user.style()
    user.set(TINY)
    user.paint()
    assert user.get(f"/v1/jobs/{user.finished()}").json()["size"] == [43, 64]


def test_what_was_chosen_survives_a_reload(visit: Callable[..., Visit], tmp_path: Path) -> None:
    user = visit(**PHONE)
    user.choose(picture(tmp_path / "mine.png"))
    user.page.set_input_files("#style-file", picture(tmp_path / "brush.png", seed=1))
    user.page.wait_for_selector("#gallery [data-style^='upload:'][aria-pressed='true']")
    user.page.fill("#strength", "70")
    user.set({"size": "64"})
    user.wait_until_stored(lambda draft: bool(draft) and draft["settings"]["recipe"].get("size") == 64)
    user.page.reload()
    user.page.wait_for_selector("body[data-ready]")
    assert "mine.png" in user.page.inner_text("#about")
    assert user.page.inner_text("#gallery [aria-pressed='true']").strip() == "brush"
    assert (user.page.input_value("#strength"), user.page.input_value("#recipe-size")) == ("70", "64")
    user.page.click("#home")
    user.wait_until_stored(lambda draft: not draft)
    user.page.reload()
    user.page.wait_for_selector("body[data-ready]")
    assert user.page.is_visible("#start")
