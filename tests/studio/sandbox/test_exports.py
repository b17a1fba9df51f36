"""The view of an upload that a browser cannot show itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bad_uploads import BAD_UPLOADS, SMALL_LIMITS, assert_refused
from impasto.studio.errors import RefusedError
from impasto.studio.sandbox.exports import export_result
from job_rows import add_job
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


def test_the_server_chooses_which_file_of_a_job_it_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the sandbox answers may be a stranger's by then."""
    studio = without_workers(tmp_path)
    service = studio.app.state.studio  # type: ignore[attr-defined]
    job = add_job(service.store, state="done", result="result.png").id
    folder = service.settings.job_folder(job)
    folder.mkdir(parents=True)
    (folder / "result.png").write_bytes(b"result")

    def taken_over(*_: Any) -> str:
        return "../../studio.db"

    monkeypatch.setattr(service.intake, "run_sandboxed", taken_over)
    address = f"/v1/jobs/{job}/result?format=jpeg"
    assert studio.get(address).status_code == 404
    (folder / "export-1000.jpeg").symlink_to(tmp_path / "studio.db")
    assert studio.get(address).status_code == 404
    (folder / "export-1000.jpeg").unlink()
    (folder / "export-1000.jpeg").write_bytes(b"export")
    assert studio.get(address).content == b"export"
    assert service.store.get(job).bytes == len("result" + "export")

    def deleted_meanwhile(*_: Any) -> None:
        shutil.rmtree(folder)
        raise RefusedError("the file cannot be read")

    monkeypatch.setattr(service.intake, "run_sandboxed", deleted_meanwhile)
    assert studio.get(address).status_code == 404
    assert studio.get(f"/v1/jobs/{job}/styles/{'9' * 300}").status_code == 422


def test_an_export_that_is_used_again_counts_as_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise another one made at the same time could delete it before it is read."""
    monkeypatch.chdir(tmp_path)
    export = tmp_path / "export-500.webp"
    export.write_bytes(b"export")
    os.utime(export, (0, 0))
    export_result(tmp_path, "{}", "webp", 0.5)
    assert (export.stat().st_mtime > 1e9, export.read_bytes()) == (True, b"export")
