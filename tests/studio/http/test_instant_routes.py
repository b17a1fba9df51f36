"""Instant pictures over HTTP: small, at once, with the checks of a job; nothing is queued or kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from bad_uploads import BAD_UPLOADS, SMALL_LIMITS, assert_refused
from impasto.studio.http import instant_routes
from impasto.studio.intake import instant
from impasto.studio.intake.request import JobRequest
from serving import clip_bytes, encoded, pixels, without_workers

MASK = encoded("PNG", (64, 48), 3)


def ask(
    studio: TestClient, content: bytes | None = None, *, style: bytes | None = None, **parts: Any
) -> httpx.Response:
    files = [("content", ("x", encoded() if content is None else content))]
    files += [("mask", ("x", mask)) for mask in parts.pop("masks", ())]
    if style is None:
        style = encoded("PNG", (40, 40), 7)
    files += [("style", ("x", style))] if style else []
    recipe = parts.pop("recipe", {})
    data = {"recipe": recipe if isinstance(recipe, str) else json.dumps(recipe)} | parts
    response: httpx.Response = studio.post("/v1/instant", files=files, data=data)
    return response


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return without_workers(tmp_path_factory.mktemp("data"), **SMALL_LIMITS)


@pytest.mark.slow
def test_a_picture_at_once_and_nothing_is_kept(studio: TestClient) -> None:
    answer = ask(studio)
    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("image/jpeg", "no-store")
    painted, content = pixels(answer.content), pixels(encoded())
    assert painted.shape == content.shape == (48, 64, 3)
    assert np.abs(painted - content).mean() > 8
    service = studio.app.state.studio  # type: ignore[attr-defined]
    assert list((service.settings.data / "incoming").iterdir()) == []
    assert service.store.waiting_count() == 0
    assert list((service.settings.data / "jobs").iterdir()) == []


@pytest.mark.slow
def test_a_large_photograph_becomes_a_small_picture(studio: TestClient) -> None:
    assert pixels(ask(studio, encoded(size=(900, 600))).content).shape == (256, 384, 3)


@pytest.mark.slow
def test_strength_and_masks(studio: TestClient) -> None:
    content = pixels(encoded())
    full, weak = (pixels(ask(studio, recipe={"strength": s}).content) for s in (1, 0.1))
    assert np.abs(weak - content).mean() < 0.9 * np.abs(full - content).mean()
    left = np.zeros((48, 64), np.uint8)
    left[:, :32] = 255
    part = pixels(ask(studio, masks=[_png(left)]).content)
    change = np.abs(part - content).mean((0, 2))
    assert change[40:].mean() < 4 < change[:24].mean()


def _png(grey: np.ndarray) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
def test_of_a_clip_the_first_frame_is_painted(studio: TestClient, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    assert pixels(ask(studio, clip_bytes(tmp_path)).content).shape == (64, 96, 3)


@pytest.mark.parametrize(
    ("parts", "status", "word"),
    [
        ({"style": b""}, 422, "no style"),
        ({"style": b"", "style_id": "monet"}, 422, "unknown style 'monet'"),
        ({"recipe": {"iterations": [3]}}, 422, "iterations with method 'instant'"),
        ({"recipe": {"strength": 2}}, 422, "strength"),
        ({"recipe": "[]"}, 422, "not a JSON object"),
        ({"preset": "fast"}, 422, "preset 'fast'"),
        ({"video": '{"fps": 4}'}, 422, "'video' for an instant picture"),
        ({"colour": "red"}, 422, "unknown part 'colour'"),
        ({"masks": [MASK] * 4}, 422, "4 of 'mask'"),
    ],
)  # fmt: skip
def test_what_cannot_be_painted_is_told_in_one_line(
    studio: TestClient, parts: dict[str, Any], status: int, word: str
) -> None:
    assert_refused(ask(studio, **parts), status, word)


def test_a_body_of_another_kind(studio: TestClient) -> None:
    assert_refused(studio.post("/v1/instant", json={"style_id": ["wave"]}), 415, "multipart/form-data")


def test_key_frames_are_no_part_of_it(studio: TestClient) -> None:
    files = [(name, ("x", encoded())) for name in ("content", "style", "key")]
    assert_refused(studio.post("/v1/instant", files=files, data={"key_frame": "0"}), 422, "'key' for an inst")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nothing", "bomb PNG", "truncated JPEG", "SVG", "a clip too long"])
def test_uploads_have_the_checks_of_a_job(studio: TestClient, name: str, tmp_path: Path) -> None:
    build, status, word = BAD_UPLOADS[name]
    assert_refused(ask(studio, build(tmp_path)), status, word)


def test_a_minute_has_so_many_pictures_for_each_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = without_workers(tmp_path, instant_minute=2)
    other = TestClient(studio.app, base_url="http://127.0.0.1:7860", client=("192.0.2.9", 1))
    now = 1000.0
    monkeypatch.setattr(instant.time, "monotonic", lambda: now)
    wrong = {"preset": "fast"}  # counted, but refused before anything is painted
    assert [ask(studio, **wrong).status_code for _ in range(3)] == [422, 422, 429]
    refused = ask(studio, **wrong)
    assert_refused(refused, 429, "more than 2 instant pictures in a minute")
    assert int(refused.headers["retry-after"]) > 0
    assert ask(other, **wrong).status_code == 422
    now += 61
    assert ask(studio, **wrong).status_code == 422


def test_a_busy_studio_and_one_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = without_workers(tmp_path / "a")
    intake = studio.app.state.studio.instant_intake  # type: ignore[attr-defined]
    monkeypatch.setattr(instant, "_MAX_WAITING", 1)
    with intake.reserve_place():
        assert_refused(ask(studio), 429, "busy")
    read = instant_routes.read_job_request

    async def others_are_served(request: Request, *, allow_json: bool) -> JobRequest:
        with intake.reserve_place():
            return await read(request, allow_json=allow_json)

    monkeypatch.setattr(instant_routes, "read_job_request", others_are_served)  # while this one is read
    assert ask(studio, preset="fast").status_code == 422
    assert_refused(ask(without_workers(tmp_path / "b", instant_minute=0)), 404, "turned off")
