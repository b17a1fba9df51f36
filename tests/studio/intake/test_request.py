"""Bodies of requests that are no form, or not one that the studio knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from bad_uploads import SMALL_LIMITS, assert_nothing_left
from serving import encoded, post, without_workers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(folder: Path) -> TestClient:
    return without_workers(folder, **SMALL_LIMITS)


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", "", 415),
        (b"content=x", "application/x-www-form-urlencoded", 415),
        (b"no boundary", "multipart/form-data", 400),
        (b"--b\r\nnonsense", FORM, 422),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", FORM, 400),
        (b"--b--\r\n", FORM, 422),
        (b"x" * 5000, 'multipart/form-data; boundary="' + "b" * 400 + '"', 400),
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_is_refused(
    studio: TestClient, folder: Path, body: bytes, kind: str, status: int
) -> None:
    response = studio.post("/v1/jobs", content=body, headers={"Content-Type": kind} if kind else {})
    assert response.status_code == status, response.text
    assert "\n" not in response.json()["detail"]
    assert_nothing_left(folder)


def test_thousands_of_parts_and_long_texts_are_refused(studio: TestClient, folder: Path) -> None:
    files = [("style", ("x", b"")) for _ in range(3000)]
    response = studio.post("/v1/jobs", files=files)
    assert response.status_code == 400
    assert "Too many files" in response.json()["detail"]
    response = studio.post("/v1/jobs", files=[("preset", (None, "fast"))] * 3000)
    assert response.status_code == 400
    response = studio.post("/v1/jobs", files=[("recipe", (None, "1" * 2_000_000))])
    assert response.status_code == 400
    assert_nothing_left(folder)


@pytest.mark.parametrize(
    ("keys", "numbers", "message"),
    [(1, [], "1 of 'key' and 0 of 'key_frame'; a number for each painted frame"),
     (0, ["3"], "0 of 'key' and 1 of 'key_frame'"), (1, ["-1"], "'key_frame' is '-1'"),
     (1, ["three"], "'key_frame' is 'three'; a number of a frame, from 0"),
     (2, ["3", "03"], "two paintings of one frame; one for each"), (4, ["1", "2", "3", "4"], "4 of 'key'"),
     (1, ["3"], "key frames for a picture; a clip in 'content'")],
)  # fmt: skip
def test_key_frames_that_cannot_be_are_refused(
    studio: TestClient, folder: Path, keys: int, numbers: list[str], message: str
) -> None:
    """The last one is right in itself, but its content is a picture."""
    files = [("key", ("x", encoded("PNG"))) for _ in range(keys)]
    refused = post(studio, files=[*files, *(("key_frame", (None, number)) for number in numbers)])
    assert (refused.status_code, refused.json()["field"]) == (422, "key")
    assert refused.json()["detail"].startswith(message)
    assert_nothing_left(folder)
