"""Clips on the static site: every frame painted, its times and sound kept, in a file that others can play."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from accessibility import violations
from browsing import DESK, Visit
from clips import moving_square, write_clip

pytest_plugins = ["browsing", "built_site"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

FRAMES = 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of 96×64 with a tone; frames are not equally long, as on phones."""
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    frames = moving_square(FRAMES)
    times = [0, 1, 2, 4, 5, 6]
    return write_clip(path, frames, codec="libx264", pix_fmt="yuv420p", times=times, audio=True)


@pytest.fixture(scope="module")
def user(browser: Any, site: str) -> Iterator[Visit]:
    """A user whose page stays open for all tests of this file: loading the network takes seconds."""
    visitor = Visit(browser, site, **DESK, accept_downloads=True)
    visitor.open("/?backend=wasm")
    yield visitor
    visitor.verify()
    visitor.context.close()


def decoded(path: Path) -> tuple[list[np.ndarray], list[float], set[str]]:
    """Frames, their times in seconds, and the codecs of a clip."""
    with av.open(str(path)) as file:
        codecs = {stream.codec_context.name for stream in file.streams}
        frames = list(file.decode(video=0))
        return [f.to_ndarray(format="rgb24") for f in frames], [float(f.time or 0) for f in frames], codecs


def test_a_clip_is_painted_frame_by_frame(user: Visit, clip: Path, tmp_path: Path) -> None:
    page = user.page
    page.set_input_files("#file", clip)
    page.wait_for_selector("#result-frame img")
    assert page.is_checked("#sizes [value='512']")
    page.check("#sizes [value=original]")
    page.click("[data-style=mosaic]")
    page.wait_for_selector("#result-frame canvas")  # a first look at the first frame
    assert page.inner_text("#paint") == f"Paint {FRAMES} frames at 96 × 64"
    page.click("#paint")
    page.wait_for_selector("#result-frame video")
    done = page.inner_text("#about")
    assert done.startswith(f"Painted: {FRAMES} frames of 96 × 64 in ")
    assert page.text_content("#announcement") == done
    assert page.inner_text("#save") == "Save the clip"
    assert violations(page) == []
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "impasto-walk.webm"
    saved = tmp_path / "walk.webm"
    download.value.save_as(saved)
    before, times, _ = decoded(clip)
    after, painted_times, codecs = decoded(saved)
    assert np.allclose(painted_times, times, atol=0.002)
    assert [frame.shape for frame in after] == [frame.shape for frame in before]
    assert "libopus" in codecs or "opus" in codecs
    # Painted, and still following the square: what changes between frames lies where it changed before.
    assert all(np.abs(a.astype(float) - b).mean() > 10 for a, b in zip(after, before, strict=True))
    moved, still = (
        np.abs(after[-1].astype(float) - after[0])[rows, columns].mean()
        for rows, columns in ((slice(20, 44), slice(8, 47)), (slice(50, 64), slice(0, 96)))
    )
    assert moved > 2 * still


def test_a_clip_can_be_stopped(user: Visit, clip: Path) -> None:
    page = user.page
    page.set_input_files("#file", clip)
    page.wait_for_selector("#result-frame img")
    page.click("[data-style=wave]")
    page.wait_for_selector("#result-frame canvas")
    page.click("#paint")
    page.wait_for_function("() => /^Frame 1 of 6/.test(document.querySelector('#about').textContent)")
    assert page.inner_text("#paint") == "Stop"
    page.click("#paint")
    page.wait_for_selector("#progress", state="hidden")
    assert page.inner_text("#paint").startswith("Paint 6 frames")
    assert page.is_hidden("#paint-error")
    assert page.is_visible("#result-frame canvas")  # the first look is still there


@pytest.mark.parametrize("name", ["text.mp4", "half.mp4", "photo.webm"])
def test_a_file_that_is_no_clip_is_refused_in_a_sentence(
    user: Visit, clip: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name == "text.mp4":
        path.write_text("This is no clip.")
    elif name == "half.mp4":
        path.write_bytes(clip.read_bytes()[:700])
    else:
        Image.new("RGB", (40, 30)).save(path, "PNG")
    user.page.set_input_files("#file", path)
    user.page.wait_for_selector("#source-error:not([hidden])")
    said = user.page.inner_text("#source-error")
    assert said == f"{name} is not a clip that this browser can read. Choose an MP4 or WebM file."
    user.page.set_input_files("#file", clip)
    user.page.wait_for_selector("#result-frame img")
    assert user.page.is_hidden("#source-error")


def test_a_browser_without_a_decoder_says_so(user: Visit, clip: Path) -> None:
    user.page.evaluate("() => { delete window.VideoDecoder; }")
    user.page.set_input_files("#file", clip)
    user.page.wait_for_selector("#source-error:not([hidden])")
    assert "cannot paint clips" in user.page.inner_text("#source-error")
