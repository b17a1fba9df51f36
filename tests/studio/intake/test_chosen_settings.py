"""Settings that a request must not have: each is refused in one line that names the field."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bad_uploads import SMALL_LIMITS, assert_nothing_left, assert_refused
from serving import clip_bytes, post, without_workers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(folder: Path) -> TestClient:
    return without_workers(folder, **SMALL_LIMITS)


DEEP = "[" * 100_000

#: What is wrong → (parts of the form, a word of the message, the field).
BAD_SETTINGS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "unknown setting": ({"recipe": '{"sise": 3}'}, "unknown setting 'sise'", "sise"),
    "out of range": ({"recipe": '{"history": 0}'}, "history", "history"),
    "wrong type": ({"recipe": '{"size": {"a": 1}}'}, "size", "size"),
    "NaN": ({"recipe": '{"content_weight": NaN}'}, "not JSON", "recipe"),
    "Infinity": ({"recipe": '{"content_weight": -Infinity}'}, "not JSON", "recipe"),
    "infinite by digits": ({"recipe": '{"content_weight": 1e999}'}, "content_weight", "content_weight"),
    "no JSON": ({"recipe": "{size: 3}"}, "not JSON", "recipe"),
    "no object": ({"recipe": "[1]"}, "not a JSON object", "recipe"),
    "deep JSON": ({"recipe": DEEP}, "not JSON", "recipe"),
    "deep inside": ({"recipe": '{"size": ' + DEEP + "}"}, "not JSON", "recipe"),
    "a number of 5000 digits": ({"recipe": '{"seed": ' + "9" * 5000 + "}"}, "", "recipe"),
    "a path": ({"recipe": '{"weights": "/etc/passwd"}'}, "cannot be set by a client", "weights"),
    "a start that is not there": ({"recipe": '{"init": "picture"}'}, "init", "init"),
    "an encoder that is not here": ({"recipe": '{"encoder": "vgg19"}'}, "not here", "encoder"),
    "too large a result": ({"recipe": '{"size": 2000}'}, "at most 1024", "size"),
    "too small for the layers": ({"recipe": '{"size": 4}'}, "at least", "size"),
    "unknown preset": ({"preset": "../../etc"}, "unknown preset", "preset"),
    "unknown style": ({"style_id": "../wave"}, "unknown style", "style"),
    "clip settings out of range": ({"video": '{"passes": 0}'}, "passes", "video.passes"),
    "unknown clip setting": ({"video": '{"speed": 1}'}, "unknown setting", "video.speed"),
    "clip settings for a picture": ({"video": '{"passes": 2}'}, "for a picture", "video"),
    "raft without torchvision": ({"video": '{"flow": "raft"}'}, "torchvision", "video.flow"),
    "blend of another count": ({"recipe": '{"style_blend": [1, 2]}'}, "style weights", None),
    "unknown part": ({"url": "http://127.0.0.1/"}, "unknown part", None),
    "a file's name as text": ({"mask": "mask.png"}, "is text", "mask"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings_are_refused(studio: TestClient, folder: Path, name: str) -> None:
    parts, word, field = BAD_SETTINGS[name]
    if name == "raft without torchvision" and "torchvision" in sys.modules:
        pytest.skip("torchvision is here")
    body = assert_refused(post(studio, **parts), 422, word)
    if field is not None:
        assert body["field"] == field
    assert_nothing_left(folder)


@pytest.mark.slow
def test_a_clip_has_another_default_preset_than_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    studio = without_workers(tmp_path / "data", **SMALL_LIMITS)
    content = clip_bytes(tmp_path)
    clip, draft = (post(studio, content, **parts).json() for parts in ({}, {"preset": "draft"}))
    again = studio.post(f"/v1/jobs/{draft['id']}/again", json={}).json()
    picture = post(studio).json()
    presets = [job["preset"] for job in (picture, clip, draft, again)]
    assert presets == ["fast", "classic", "draft", "draft"]
    assert [any(job["recipe"]["finishing"]) for job in (picture, clip, again)] == [True, False, True]


@pytest.mark.slow
def test_clip_settings_by_their_old_names_override_those_of_the_earlier_job(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    studio = without_workers(tmp_path / "data", **SMALL_LIMITS)
    clip = post(studio, clip_bytes(tmp_path), video=json.dumps({"following_iterations": 9})).json()
    again = studio.post(f"/v1/jobs/{clip['id']}/again", json={"video": {"evaluations": 5}}).json()
    assert [job["video"]["following_iterations"] for job in (clip, again)] == [9, 5]
    assert again["video"]["fill_iterations"] == clip["video"]["fill_iterations"]
