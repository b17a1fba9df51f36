"""Files that are no picture and no clip, or too large or damaged: each is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from bad_uploads import BAD_UPLOADS, SMALL_LIMITS, assert_nothing_left, assert_refused
from serving import clip_bytes, encoded, post, without_workers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(folder: Path) -> TestClient:
    return without_workers(folder, **SMALL_LIMITS)


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_UPLOADS)
def test_a_bad_content_is_refused(studio: TestClient, folder: Path, tmp_path: Path, name: str) -> None:
    build, status, word = BAD_UPLOADS[name]
    body = assert_refused(post(studio, build(tmp_path)), status, word)
    assert body["field"] == "content"
    assert_nothing_left(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nothing", "bomb PNG", "truncated JPEG", "SVG", "polyglot of JPEG and ZIP"])
@pytest.mark.parametrize("part", ["style", "mask", "style_mask"])
def test_a_bad_style_or_mask_is_refused(
    studio: TestClient, folder: Path, tmp_path: Path, part: str, name: str
) -> None:
    build, status, word = BAD_UPLOADS[name]
    files = [(part, ("x", build(tmp_path)))]
    if part == "style_mask":
        files.append(("mask", ("x", encoded("PNG"))))
    body = assert_refused(post(studio, files=files), status, word)
    assert body["field"] == part
    assert_nothing_left(folder)


def test_a_clip_cannot_be_a_style(studio: TestClient, folder: Path, tmp_path: Path) -> None:
    assert_refused(post(studio, files=[("style", ("x", clip_bytes(tmp_path)))]), 415, "is a clip")
    assert_nothing_left(folder)
