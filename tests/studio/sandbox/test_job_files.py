"""Uploads become files of the studio's own: formats, names sent by clients, files that do not fit."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from bad_uploads import SMALL_LIMITS, assert_nothing_left, assert_refused
from impasto import pictures
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.queue.retention import Retention
from impasto.studio.sandbox.images import write_png
from impasto.studio.sandbox.job_files import JobFacts, prepare_job
from impasto.studio.settings import StudioSettings
from serving import encoded, post, without_workers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(folder: Path) -> TestClient:
    return without_workers(folder, **SMALL_LIMITS)


@pytest.mark.slow
def test_masks_and_styles_that_do_not_fit_are_refused(studio: TestClient, folder: Path) -> None:
    mask, colours = encoded("PNG", (20, 90)), encoded("PNG", (64, 48))
    assert_refused(post(studio, files=[("mask", ("x", mask))]), 422, "")
    assert_refused(post(studio, files=[("style_mask", ("x", colours))]), 422, "")
    styles = [("style", ("x", encoded("PNG", seed=n))) for n in range(4)]
    assert_refused(post(studio, files=styles), 422, "at most 3")
    assert_nothing_left(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/cron.d/x", "/etc/passwd", "..\\..\\x", "a\0b.png", "x.php", "con", "🦊" * 300, "",
        "-rf", "..",
    ],
)  # fmt: skip
def test_file_names_of_clients_are_never_used(studio: TestClient, folder: Path, name: str) -> None:
    files = [("content", (name or "x", encoded("PNG"))), ("style", (name or "x", encoded("PNG", seed=3)))]
    response = studio.post("/v1/jobs", files=files, data={"recipe": json.dumps({"size": 48})})
    if response.status_code in (400, 422):  # a name that breaks the form itself
        assert_nothing_left(folder)
        return
    assert response.status_code == 202
    job = response.json()["id"]
    names = sorted(path.name for path in (folder / "jobs" / job).iterdir())
    assert names == ["content", "content.jpg", "content.png", "style-0", "style-0.png", "style-0.webp"]
    assert studio.delete(f"/v1/jobs/{job}").status_code == 204
    service = studio.app.state.studio  # type: ignore[attr-defined]
    Retention(service.store, service.settings).run()
    assert_nothing_left(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "HEIF", "PNG16", "alpha"]
)
def test_pictures_of_every_format_are_accepted(studio: TestClient, kind: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif", reason="no pillow-heif").register_heif_opener()
    buffer = io.BytesIO()
    if kind == "PNG16":
        Image.fromarray((np.arange(3072).reshape(48, 64) * 20).astype(np.uint16)).save(buffer, "PNG")
    elif kind == "alpha":
        Image.new("RGBA", (64, 48), (200, 30, 30, 128)).save(buffer, "PNG")
    data = buffer.getvalue() or encoded(kind)
    response = post(studio, data)
    assert response.status_code == 202, response.text
    assert response.json()["size"] == [36, 48]
    assert studio.get(response.json()["content"]).headers["content-type"] == "image/jpeg"
    view = studio.post("/v1/look", files={"content": ("x", data)})
    assert (view.status_code, view.headers["x-impasto-size"]) == (200, "64x48")


@pytest.mark.slow
def test_the_size_is_that_of_the_whole_photograph_however_it_is_turned(studio: TestClient) -> None:
    """A JPEG is reduced while it is decoded, and its header does not say which way is up."""
    for orientation in (1, 3, 6, 8):  # those that cameras write
        exif = Image.Exif()
        exif[274] = orientation
        data = encoded(size=(1003, 701), exif=exif)
        upright = (1003, 701) if orientation < 5 else (701, 1003)
        view = studio.post("/v1/look", files={"content": ("x", data)})
        assert view.headers["x-impasto-size"] == "{}x{}".format(*upright)
        job = post(studio, data, recipe={"size": 100, "coarsest": 48, "iterations": [1]}).json()
        assert job["size"] == ([70, 100] if orientation < 5 else [100, 70])
        shown = Image.open(io.BytesIO(studio.get(job["content"]).content))
        assert shown.size == tuple(reversed(job["size"]))


def test_a_picture_is_returned_as_it_was_written(tmp_path: Path) -> None:
    """The checks of the sandbox see exactly what the worker will read from the file."""
    source = pictures.load(Image.new("RGBA", (64, 48), (200, 30, 30, 128)))
    written = write_png(tmp_path / "a.png", source, (24, 32))
    read = pictures.load(tmp_path / "a.png")
    assert written.size == read.size == (24, 32)
    assert written.alpha is not None
    assert read.alpha is not None
    assert written.pixels.equal(read.pixels)
    assert written.alpha.equal(read.alpha)


@pytest.mark.slow
def test_only_a_cropped_style_keeps_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crop is given in the upload's pixels; other styles are stored no larger than they are used."""
    monkeypatch.chdir(tmp_path)
    for crop, width in (([], 1024), ([0, 0, 900, 900], 1500)):
        (tmp_path / "content").write_bytes(encoded())
        (tmp_path / "style-0").write_bytes(encoded(size=(1500, 1000)))
        recipe = json.dumps({"size": 48, "style_crop": crop})
        inputs = JobInputs(recipe, None, (None,), 0, 0)
        facts = JobFacts.from_json(prepare_job(tmp_path, inputs, StudioSettings(data=tmp_path)))
        assert (facts.kind, facts.format, facts.size) == ("image", "JPEG", (36, 48))
        assert pictures.load(tmp_path / "style-0.png").size[1] == width
