"""Bodies that are too large are refused by their length, and while they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import Studio, post, without_workers

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="content"; filename="x"\r\n\r\n'


def test_a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, upload_bytes=50_000)
    assert post(studio, b"x" * 60_000).status_code == 413

    def stream() -> Iterator[bytes]:
        yield FORM_HEAD
        for _ in range(100):
            yield b"x" * 1000

    response = studio.post("/v1/jobs", content=stream(), headers=FORM)
    assert response.status_code == 413
    assert "0.05 MB" in response.json()["detail"]
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.slow
def test_a_stream_of_500_megabytes_is_cut_off_early(server: Studio) -> None:
    sent = 0

    def stream() -> Iterator[bytes]:
        nonlocal sent
        yield FORM_HEAD
        for _ in range(500):
            sent += 1_000_000
            yield bytes(1_000_000)

    before = sorted((server.folder / "jobs").iterdir())
    response = server.http.post("/v1/jobs", content=stream(), headers=FORM)
    assert response.status_code == 413
    assert "20 MB" in response.json()["detail"]
    assert sent < 200_000_000
    assert server.http.post("/v1/jobs", content=bytes(30_000_000), headers=FORM).status_code == 413
    assert sorted((server.folder / "jobs").iterdir()) == before
    incoming = [path.name for path in (server.folder / "incoming").iterdir()]
    # Python's own folder for the fork server's socket may be there; nothing of the request is.
    assert [name for name in incoming if not name.startswith("pymp")] == []
