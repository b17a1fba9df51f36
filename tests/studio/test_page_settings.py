"""The studio's page: settings from the schemas, errors beside them, several styles, regions."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browsing import PHONE, TINY, Visit, picture
from clips import moving_square, write_clip
from impasto.recipe import preset

pytest_plugins = ["browsing"]
pytestmark = pytest.mark.browser

#: Keeps the form that is sent, for a test to read.
SPY = """() => {
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (form) {
    window.sent = Object.fromEntries(form);
    send.call(this, form);
  };
}"""

# -- settings --------------------------------------------------------------------------------


def test_more_is_generated_from_the_schema(visit: Callable[..., Visit]) -> None:
    """Every setting that the server gives is there once, with its help; only what differs is sent."""
    user = visit()
    page = user.page
    properties = user.get("/v1/settings").json()["recipe"]["properties"]
    shown = page.eval_on_selector_all(
        "#recipe-fields [data-name]", "all => all.map(field => field.dataset.name)"
    )
    assert sorted([*shown, "strength", "style_blend"]) == sorted({*properties} - {"weights"})
    helps = page.eval_on_selector_all(
        "#recipe-fields [data-name]", "all => all.map(field => field.querySelector('.hint').textContent)"
    )
    assert helps == [properties[name]["description"] for name in shown]
    assert page.input_value("#recipe-size") == "512"  # the size of a picture whose recipe names none
    choices = page.locator("#recipe-content_loss option").all_text_contents()
    assert choices == properties["content_loss"]["enum"]
    boxes = page.locator("#recipe-fields [data-name='style_loss'] input")
    assert boxes.evaluate_all("all => all.map(box => box.value)") == properties["style_loss"]["items"]["enum"]
    user.choose()
    user.style()
    user.set(TINY | {"style_rotation": "30"})
    page.evaluate("document.getElementById('more').open = true")
    page.select_option("#recipe-colours", "content")
    page.uncheck("#recipe-fields [data-name='style_loss'] input[value='nearest']")
    page.fill("#recipe-match_content", "0.5")
    assert page.inner_text("#more-count") == "8 changed"
    page.fill("#find", "rotation")
    assert page.locator("#recipe-fields [data-name]:visible").count() == 1
    page.evaluate(SPY)
    user.paint()
    page.wait_for_function("() => window.sent")
    assert json.loads(page.evaluate("window.sent.recipe")) == {
        "size": 64,
        "paint_size": 64,
        "iterations": [4],
        "coarsest": 64,
        "style_rotation": [30],
        "colours": "content",
        "style_loss": ["gram"],
        "match_content": 0.5,
    }
    job = user.get(f"/v1/jobs/{user.finished()}").json()
    assert job["recipe"] == json.loads(
        preset("fast")
        .replace(
            size=64,
            paint_size=64,
            iterations=(4,),
            coarsest=64,
            style_rotation=(30,),
            colours="content",
            style_loss=("gram",),
            style_loss_weights=(),
            match_content=0.5,
            init="content",  # as settings of the layout want it
        )
        .to_json()
    )


def test_preset_and_strength(visit: Callable[..., Visit]) -> None:
    """A preset changes the fields and keeps what was typed; all can be put back."""
    user = visit()
    page = user.page
    user.set({"size": "64", "coarsest": "32"})
    page.check("#presets input[value='draft']")
    assert page.input_value("#recipe-iterations") == ", ".join(map(str, preset("draft").iterations))
    assert page.input_value("#recipe-size") == "64"
    assert page.inner_text("#more-count") == "2 changed"
    page.fill("#strength", "30")
    assert page.inner_text("#strength-out") == "30 %"
    page.evaluate("document.getElementById('more').open = true")
    page.click("#reset")
    assert page.input_value("#recipe-size") == "512"
    assert page.inner_text("#strength-out") == "as usual"


def test_a_clip_has_another_preset_until_one_is_chosen(visit: Callable[..., Visit], tmp_path: Path) -> None:
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    clip = write_clip(tmp_path / "clip.webm", moving_square(4), codec="libvpx-vp9", pix_fmt="yuv420p")
    user = visit()
    page = user.page
    seen = []
    photograph = picture(tmp_path / "photo.png", 96, 64)
    for content in (photograph, clip, photograph):
        user.choose(content)
        seen.append(page.input_value("#presets input:checked"))
    page.check("#presets input[value='draft']")
    user.choose(clip)
    assert [*seen, page.input_value("#presets input:checked")] == ["fast", "classic", "fast", "draft"]


def test_an_error_stands_where_it_belongs(visit: Callable[..., Visit], tmp_path: Path) -> None:
    user = visit()
    page = user.page
    user.expected = ("400", "415", "422")
    page.click("#paint")
    assert page.inner_text("#source-error") == "Choose a photo first."
    user.choose()
    page.click("#paint")
    assert page.inner_text("#style-error") == "Tap a style."
    user.style()
    user.set({"learning_rate": "-3", "size": "64"})
    page.click("#paint")
    page.wait_for_selector("#recipe-learning_rate-error:visible")
    line = page.inner_text("#recipe-learning_rate-error")
    assert "learning_rate" in line
    assert "\n" not in line
    assert page.evaluate("document.activeElement.id") == "recipe-learning_rate"
    assert page.input_value("#recipe-size") == "64"  # nothing entered is lost
    page.fill("#recipe-learning_rate", "0.02")
    assert page.is_hidden("#recipe-learning_rate-error")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 this is no photograph")
    page.set_input_files("#file", broken)
    page.wait_for_selector("#source-error:visible")
    assert page.is_visible("#frame img")  # the photograph before it is still chosen


def test_several_styles_with_weights(visit: Callable[..., Visit]) -> None:
    user = visit()
    user.choose()
    user.style("wave")
    user.style("glass")  # without blending the second takes the first one's place
    assert user.page.locator("#gallery [aria-pressed='true']").count() == 1
    user.page.click("label:has(#blend)")
    user.style("mosaic")
    user.page.fill(".weight >> nth=1 >> input", "300")
    user.set(TINY)
    user.paint()
    job = user.get(f"/v1/jobs/{user.finished()}").json()
    assert [style["id"] for style in job["styles"]] == ["glass", "mosaic"]
    assert job["recipe"]["style_blend"] == [1, 3]


# -- regions --------------------------------------------------------------------------------


def pixels(user: Visit, job: str, what: str) -> np.ndarray:
    """(h, w, 3) of a picture of the job, 0 to 255."""
    with Image.open(BytesIO(user.get(f"/v1/jobs/{job}/{what}").body())) as picture:
        return np.asarray(picture.convert("RGB"), float)


def test_a_painted_mask_reaches_the_job(visit: Callable[..., Visit]) -> None:
    """Half of the picture is brushed over; the other half stays the photograph."""
    user = visit(**PHONE)
    page = user.page
    user.choose("coffee")
    user.style("wave")
    page.click("#mask-open")
    page.fill("#mask-size", "40")
    box = page.locator("#mask-canvas").bounding_box()
    for share in (0.1, 0.35, 0.6, 0.9):
        page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + share * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + share * box["height"], steps=3)
        page.mouse.up()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.up()
    page.click("#mask-undo")  # the last dab, on the right
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 20)
    page.mouse.down(button="right")  # which paints nothing
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"])
    page.mouse.up(button="right")
    page.click("#mask-done")
    page.wait_for_selector("#mask", state="hidden")
    assert page.inner_text("#mask-open") == "1 part painted"
    user.set(TINY | {"size": "96", "iterations": "25", "feather": "0"})
    user.paint()
    job = user.finished()
    assert user.get(f"/v1/jobs/{job}").json()["masks"] == 1
    change = np.abs(pixels(user, job, "result") - pixels(user, job, "content")).mean(-1)  # (h, w)
    assert change[:, :24].mean() > 12
    assert change[:, 60:].mean() < 4  # JPEG's own


def test_two_regions_without_a_pointer(visit: Callable[..., Visit]) -> None:
    user = visit()
    page = user.page
    user.choose("rocket")
    user.style("wave")
    page.click("#mask-open")
    page.click(".numbers summary")
    for side, value in {"x": "0", "y": "0", "w": "50", "h": "100"}.items():
        page.fill(f"#rect-{side}", value)
    page.click("#rect-add")
    page.select_option("select[aria-label='Style of everything else']", label="Glass")
    page.click("#mask-done")
    page.wait_for_selector("#mask", state="hidden")
    assert page.inner_text("#mask-open") == "2 parts painted"
    user.set(TINY)
    user.paint()
    job = user.get(f"/v1/jobs/{user.finished()}").json()
    assert job["masks"] == 2
    assert [style["id"] for style in job["styles"]] == ["wave", "glass"]
    page.click("#again-settings")
    page.click("#mask-open")
    page.click("#mask-remove")
    user.paint()
    page.wait_for_function("id => location.hash && !location.hash.endsWith(id)", arg=job["id"])
    assert user.get(f"/v1/jobs/{user.finished()}").json()["masks"] == 0
