"""The server as a whole: its page, and many clients at once."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from impasto.studio.http.responses import PAGE_FOLDER
from serving import TINY, Studio, encoded, without_workers


@pytest.mark.slow
def test_the_page_is_served_and_fastapis_pages_are_not(tmp_path: Path) -> None:
    studio = without_workers(tmp_path)
    index = studio.get("/")
    assert (index.status_code, index.headers["cache-control"]) == (200, "no-cache")
    assert "text/html" in index.headers["content-type"]
    for path in ("/docs", "/redoc"):  # they would load scripts from another host
        assert studio.get(path).status_code == 404


@pytest.mark.slow
def test_the_pages_files_are_sent_whole_in_part_and_only_if_they_have_changed(tmp_path: Path) -> None:
    studio = without_workers(tmp_path)
    path = max(PAGE_FOLDER.rglob("*.js"), key=lambda path: path.stat().st_size)
    address, data = f"/{path.relative_to(PAGE_FOLDER).as_posix()}", path.read_bytes()
    whole = studio.get(address)
    assert whole.content == data
    assert whole.headers["content-type"].startswith("text/javascript")
    assert studio.get(address, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    part = studio.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    head = studio.head(address)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(data)))


def test_the_pages_files_are_short_and_load_nothing_from_elsewhere() -> None:
    """No file is long, none has an inline script or style, none names another host."""
    suffixes = (".html", ".js", ".css", ".webmanifest")
    files = [path for path in PAGE_FOLDER.rglob("*") if path.suffix in suffixes]
    assert len(files) > 15
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < 400, path
        assert not re.search(r"https?://|\bstyle=|<style|\son\w+=|<script(?![^>]*src=)|innerHTML", text), path


@pytest.mark.slow
def test_fifty_clients_at_once_lose_nothing_and_the_page_answers_meanwhile(server: Studio) -> None:
    def submit(number: int) -> tuple[int, str]:
        picture = encoded("PNG", (40, 30), 100 + number)
        recipe = TINY | {"size": 32, "paint_size": 32, "coarsest": 32, "iterations": [1]}
        while (response := server.post(picture, recipe)).status_code == 429:
            time.sleep(float(response.headers["retry-after"]))  # too many at once are asked to come again
        return response.status_code, response.json().get("id", "")

    waits = []
    with ThreadPoolExecutor(50) as pool:
        posted = [pool.submit(submit, number) for number in range(50)]
        while not all(task.done() for task in posted):
            begin = time.monotonic()
            assert server.http.get("/healthz").status_code == 200
            waits.append(time.monotonic() - begin)
            time.sleep(0.05)
    codes, ids = zip(*(task.result() for task in posted), strict=True)
    assert set(codes) == {202}
    assert len(set(ids)) == 50
    assert {server.finished(job)["state"] for job in ids} == {"done"}
    assert sorted(waits)[len(waits) // 2] < 2.0  # benchmarks/server.py measures it on an idle machine
