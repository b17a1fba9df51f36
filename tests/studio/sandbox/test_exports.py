"""The view of an upload that a browser cannot show itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bad_uploads import BAD_UPLOADS, SMALL_LIMITS, assert_refused
from serving import clip_bytes, without_workers


@pytest.mark.slow
def test_a_view_has_the_checks_of_a_job_and_leaves_nothing(tmp_path: Path) -> None:
    studio = without_workers(tmp_path / "data", **SMALL_LIMITS)
    for name in ("nothing", "bomb PNG", "truncated JPEG", "SVG", "a clip too long"):
        build, status, word = BAD_UPLOADS[name]
        response = studio.post("/v1/look", files={"content": ("x", build(tmp_path))})
        assert_refused(response, status, word)
    assert list((tmp_path / "data" / "incoming").glob("????????????????")) == []


@pytest.mark.slow
def test_the_view_of_a_clip_is_its_first_frame(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    studio = without_workers(tmp_path / "data", **SMALL_LIMITS)
    view = studio.post("/v1/look", files={"content": ("x", clip_bytes(tmp_path))})
    headers = view.headers
    assert (view.status_code, headers["x-impasto-kind"], headers["x-impasto-size"]) == (200, "video", "96x64")
    assert headers["content-type"] == "image/jpeg"
