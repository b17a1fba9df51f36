"""Learned styles as uploads: accepted for the preset that can use them, refused in one line otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from bad_uploads import SMALL_LIMITS, assert_nothing_left, assert_refused
from impasto.feedforward.style import InstantStyle
from impasto.studio.errors import RefusedError
from impasto.studio.sandbox.styles import load_style, write_sample_of_style
from impasto.studio.settings import StudioSettings
from learned_styles import BAD_STYLES, learned_style
from serving import encoded, pixels, without_workers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(folder: Path) -> TestClient:
    return without_workers(folder, **SMALL_LIMITS)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return learned_style(tmp_path_factory.mktemp("learned"))


def send(studio: TestClient, style: bytes, where: str = "/v1/jobs", **parts: Any) -> httpx.Response:
    files = [("content", ("x", encoded())), ("style", ("x", style))]
    data = {"recipe": json.dumps({"size": 48}), **parts}
    response: httpx.Response = studio.post(where, files=files, data=data)
    return response


@pytest.mark.slow
def test_a_learned_style_is_written_anew(studio: TestClient, folder: Path, learned: bytes) -> None:
    response = send(studio, learned, preset="instant")
    assert response.status_code == 202, response.text
    job = folder / "jobs" / response.json()["id"]
    kept = InstantStyle.load(job / "style-0.safetensors")
    (folder / "sent.safetensors").write_bytes(learned)
    assert kept.digest == InstantStyle.load(folder / "sent.safetensors").digest
    assert not (job / "style-0.png").exists()
    [style] = response.json()["styles"]
    assert (style["id"], style["learned"]) == (None, True)
    thumbnail = pixels(studio.get(style["thumbnail"]).content)
    assert max(thumbnail.shape) == 256
    assert thumbnail.std() > 10
    again = studio.post(f"/v1/jobs/{response.json()['id']}/again", json={"recipe": {"seed": 5}})
    assert again.status_code == 202, again.text
    assert again.json()["styles"][0]["learned"]


@pytest.mark.slow
def test_the_first_look_takes_it(studio: TestClient, learned: bytes) -> None:
    looks = [send(studio, style, "/v1/instant") for style in (learned, encoded("PNG", (64, 64), 3))]
    assert [look.status_code for look in looks] == [200, 200]
    first, second = (pixels(look.content) for look in looks)
    assert first.shape == second.shape
    assert np.abs(first - second).mean() > 3


@pytest.mark.slow
def test_other_presets_cannot_use_it(studio: TestClient, learned: bytes) -> None:
    body = assert_refused(send(studio, learned), 422, "preset instant")
    assert body["field"] == "style"
    body = assert_refused(
        send(studio, learned, preset="instant", recipe=json.dumps({"colours": "content"})), 422, "saved style"
    )
    files = [("content", ("x", learned)), ("style", ("x", encoded()))]
    assert_refused(studio.post("/v1/jobs", files=files, data={"preset": "instant"}), 415, "no known")


@pytest.mark.slow
@pytest.mark.parametrize("data", [*BAD_STYLES.values(), b"cut"], ids=[*BAD_STYLES, "a style cut off"])
def test_files_that_only_begin_as_one_are_refused(
    tmp_path_factory: pytest.TempPathFactory, learned: bytes, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("studio")
    studio = without_workers(folder, **SMALL_LIMITS)
    data = learned[: len(learned) // 2] if data == b"cut" else data
    for where in ("/v1/jobs", "/v1/instant"):
        response = send(studio, data, where, preset="instant")
        assert response.status_code in (415, 422)
        body = assert_refused(response, response.status_code, "")
        assert body["field"] == "style"
    assert_nothing_left(folder)


def test_the_upload_decides_by_its_bytes(
    tmp_path: Path, learned: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "style-0").write_bytes(learned)
    (tmp_path / "style-1").write_bytes(encoded())
    limits = StudioSettings(data=tmp_path)
    style = load_style("style-0", "instant", limits)
    assert isinstance(style, InstantStyle)
    assert load_style("style-1", "optimise", limits).size == (48, 64)
    with pytest.raises(RefusedError, match="a learned style; a picture, or the preset instant"):
        load_style("style-0", "optimise", limits)
    write_sample_of_style(tmp_path / "sample.webp", style)
    assert max(pixels((tmp_path / "sample.webp").read_bytes()).shape) == 256
