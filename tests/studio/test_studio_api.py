"""The API from a client's side, with a worker that paints: pictures, clips, events, results, the end."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto import pictures
from impasto.recipe import Recipe
from impasto.studio.client import Client, StudioError
from serving import LONG, TINY, TINY_CLIP, Studio, clip_bytes, encoded, pixels

SMALL = ("--upload-bytes", "20000000")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with Studio(tmp_path_factory.mktemp("studio"), "--client-jobs", "100", *SMALL) as running:
        yield running


@pytest.fixture(scope="module")
def painted(studio: Studio) -> dict[str, Any]:
    answer = studio.post()
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    return studio.finished(answer.json()["id"])


def test_a_picture_from_upload_to_result(studio: Studio, painted: dict[str, Any], tmp_path: Path) -> None:
    assert (painted["state"], painted["error"], painted["progress"]) == ("done", None, 1.0)
    assert painted["size"] == [36, 48]
    assert painted["evaluation"] == 3
    assert painted["recipe"]["size"] == 48
    assert len(painted["id"]) >= 22
    answer = studio.http.get(painted["result"])
    assert answer.headers["content-type"] == "image/png"
    assert pixels(answer.content).shape == (36, 48, 3)
    (tmp_path / "out.png").write_bytes(answer.content)
    inside = pictures.read_metadata(tmp_path / "out.png")
    assert inside is not None
    assert Recipe.from_json(inside) == Recipe(**TINY)
    for name in ("preview", "content"):
        assert pixels(studio.http.get(painted[name]).content).shape == (36, 48, 3)
    assert max(pixels(studio.http.get(painted["thumbnail"]).content).shape) == 48


def test_formats_and_strength_after_the_fact(studio: Studio, painted: dict[str, Any], tmp_path: Path) -> None:
    whole = pixels(studio.http.get(painted["result"]).content)
    content = pixels(studio.http.get(painted["content"]).content)
    for format, kind in (("jpeg", "JPEG"), ("webp", "WEBP")):
        answer = studio.http.get(painted["result"], params={"format": format, "download": 1})
        assert answer.headers["content-type"] == f"image/{format}"
        name = f"impasto-{painted['id'][:8]}.{format}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert Image.open(io.BytesIO(answer.content)).format == kind
        (tmp_path / name).write_bytes(answer.content)
        assert Recipe.from_json(pictures.read_metadata(tmp_path / name) or "").size == 48
    weak, half = (
        pixels(studio.http.get(painted["result"], params={"strength": strength}).content)
        for strength in (0, 0.5)
    )
    assert np.abs(weak - content).mean() < 4  # the content, but for JPEG
    assert np.abs(half - content).mean() < np.abs(whole - content).mean()
    assert np.abs(half - whole).mean() < np.abs(weak - whole).mean()
    folder = studio.folder / "jobs" / painted["id"]
    studio.wait(lambda: not list(folder.glob("export-*")))
    for wrong in ({"strength": 2}, {"strength": "nan"}, {"format": "exe"}):
        assert studio.http.get(painted["result"], params=wrong).status_code == 422


def test_events_follow_a_job_to_its_end(studio: Studio) -> None:
    job = studio.post(encoded(seed=21), TINY | {"iterations": [40], "tolerance": 0}).json()["id"]
    seen = []
    with studio.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event:"):
                name = line[6:].strip()
            if line.startswith("data:"):
                assert name == "job"
                seen.append(json.loads(line[5:]))
    assert seen[0]["id"] == job
    assert seen[-1]["state"] == "done"
    progress = [one["progress"] for one in seen]
    assert progress == sorted(progress)
    assert [one for one in seen if one["preview"]]


def test_an_identical_job_has_the_result_at_once_and_nothing_else(
    studio: Studio, painted: dict[str, Any]
) -> None:
    answer = studio.post()
    assert answer.status_code == 200
    twin = answer.json()
    assert twin["id"] != painted["id"]
    assert twin["state"] == "done"
    assert twin["created"] > painted["finished"]  # whether and when others did the same is not told
    assert (twin["started"], twin["finished"], twin["seconds"]) == (twin["created"], twin["created"], None)
    assert studio.http.get(twin["result"]).content == studio.http.get(painted["result"]).content
    other = studio.post(recipe=TINY | {"seed": 1})
    assert other.status_code == 202
    assert studio.http.delete(f"/v1/jobs/{twin['id']}").status_code == 204
    assert studio.http.get(painted["result"]).status_code == 200


def test_cancel_keeps_the_best_so_far(studio: Studio) -> None:
    running = studio.post(recipe=LONG).json()["id"]
    waiting = studio.post(recipe=LONG | {"seed": 1}).json()
    assert waiting["state"] == "queued"
    studio.running(running)
    assert studio.http.get(f"/v1/jobs/{running}/result").status_code == 409
    assert studio.http.post(f"/v1/jobs/{waiting['id']}/cancel").json()["state"] == "cancelled"
    studio.http.post(f"/v1/jobs/{running}/cancel")
    job = studio.finished(running, 30)
    assert job["state"] == "cancelled"
    assert pixels(studio.http.get(job["result"]).content).shape == (48, 64, 3)
    assert studio.job(waiting["id"])["result"] is None
    assert studio.http.get(f"/v1/jobs/{waiting['id']}/result").status_code == 404
    again = studio.http.post(f"/v1/jobs/{running}/cancel")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")


def test_deleted_means_gone(studio: Studio) -> None:
    running = studio.post(recipe=LONG | {"seed": 2}).json()["id"]
    studio.running(running)
    folder = studio.folder / "jobs" / running
    assert folder.exists()
    assert studio.http.delete(f"/v1/jobs/{running}").status_code == 204
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/preview"),
        ("POST", "/cancel"),
        ("DELETE", ""),
    ):
        assert studio.http.request(method, f"/v1/jobs/{running}{path}").status_code == 404
    studio.wait(lambda: not folder.exists(), 30)


def test_again_with_another_seed_style_and_preset(studio: Studio, painted: dict[str, Any]) -> None:
    path = f"/v1/jobs/{painted['id']}/again"
    seed = studio.http.post(path, json={"recipe": {"seed": 5}}).json()
    assert (seed["recipe"]["seed"], seed["recipe"]["size"], seed["preset"]) == (5, 48, "fast")
    other = studio.http.post(path, json={"preset": "draft", "recipe": TINY}).json()
    assert (other["preset"], other["recipe"]["seed"]) == ("draft", 0)
    files = [("style", ("x", encoded("PNG", seed=9))), ("mask", ("x", encoded("PNG").replace(b"", b"")))]
    form = studio.http.post(path, files=files[:1], data={"recipe": json.dumps({"style_scale": 0.5})}).json()
    assert [one["id"] for one in form["styles"]] == [None]
    jobs = [studio.finished(one["id"]) for one in (seed, other, form)]
    assert {one["state"] for one in jobs} == {"done"}
    for wrong, status in (({"recipe": {"sise": 1}}, 422), ({"content": 1}, 422), ([1], 422)):
        assert studio.http.post(path, json=wrong).status_code == status


def test_styles_keep_the_order_of_the_form_and_masks_are_used(studio: Studio) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    files = [
        ("style", ("x", encoded("PNG", seed=3))), ("style_id", (None, "wave")), ("style_id", (None, "wave")),
    ]  # fmt: skip
    many = studio.post(files=files, recipe=TINY | {"style_blend": [1, 2, 3]}).json()
    assert [one["id"] for one in many["styles"]] == [None, "wave", "wave"]
    parts = TINY | {"feather": 0, "iterations": [25]}
    masked = studio.post(files=[("mask", ("x", buffer.getvalue()))], recipe=parts).json()
    assert masked["masks"] == 1
    again = studio.http.post(f"/v1/jobs/{masked['id']}/again", json={"no_mask": True}).json()
    assert again["masks"] == 0
    for one in (many, again):
        assert studio.finished(one["id"])["state"] == "done"
    job = studio.finished(masked["id"])
    changed = np.abs(
        pixels(studio.http.get(job["result"]).content)
        - pixels(studio.http.get(job["result"], params={"strength": 0}).content)
    )
    assert changed[:, :20].mean() < 1
    assert changed[:, 28:].mean() > 5


def test_a_clip_from_upload_to_result(studio: Studio, tmp_path: Path) -> None:
    data = clip_bytes(tmp_path, audio=True)
    job = studio.post(data, TINY | {"size": 64}, video=json.dumps(TINY_CLIP)).json()
    assert (job["kind"], job["frames"], job["size"]) == ("video", 4, [43, 64])
    job = studio.finished(job["id"])
    assert (job["state"], job["error"], job["frame"]) == ("done", None, 4)
    whole = studio.http.get(job["result"])
    assert whole.headers["content-type"] == "video/mp4"
    part = studio.http.get(job["result"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert studio.http.get(job["result"], headers={"Range": "bytes=9999999-"}).status_code == 416
    assert studio.http.get(job["original"]).content == data
    assert pixels(studio.http.get(job["thumbnail"]).content).shape == (43, 64, 3)
    import av

    with av.open(io.BytesIO(whole.content)) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_a_cancelled_clip_keeps_the_frames_that_were_painted(studio: Studio, tmp_path: Path) -> None:
    data = clip_bytes(tmp_path, count=10)
    slow = {"iterations": [20], "size": 64, "coarsest": 64, "tolerance": 0}
    job = studio.post(data, slow, video=json.dumps({"evaluations": 20, "still_tolerance": 0})).json()["id"]
    studio.wait(lambda: (studio.job(job)["frame"] or 0) >= 2)
    studio.http.post(f"/v1/jobs/{job}/cancel")
    found = studio.finished(job)
    assert found["state"] == "cancelled"
    import av

    with av.open(io.BytesIO(studio.http.get(found["result"]).content)) as container:
        assert 2 <= sum(1 for _ in container.decode(video=0)) < 10
    assert not list((studio.folder / "jobs" / job).glob("*.work"))


def test_what_the_page_shows_first(studio: Studio) -> None:
    styles = studio.http.get("/v1/styles").json()
    assert [one["id"] for one in styles] == [
        "wave", "swirl", "mosaic", "facets", "pointillist", "garden", "glass", "woodcut",
    ]  # fmt: skip
    photographs = studio.http.get("/v1/samples").json()
    for one in (styles[0], photographs[0]):
        thumbnail = studio.http.get(one["thumbnail"])
        assert thumbnail.headers["content-type"] == "image/webp"
        assert max(pixels(thumbnail.content).shape) == 256
    assert studio.http.get(photographs[0]["picture"]).headers["content-type"] == "image/jpeg"
    assert studio.http.get("/v1/styles/nothing/thumbnail").status_code == 404
    settings = studio.http.get("/v1/settings").json()
    assert "fast" in [one["name"] for one in settings["presets"]]
    assert "weights" not in settings["recipe"]["properties"]
    assert "picture" not in settings["recipe"]["properties"]["init"]["enum"]
    assert settings["limits"]["pixels"] == 64_000_000
    for preset in settings["presets"]:
        Recipe(**preset["settings"])


def test_the_openapi_is_made_of_the_recipe(studio: Studio) -> None:
    found = studio.http.get("/openapi.json").json()
    described = found["components"]["schemas"]["Recipe"]["properties"]
    assert set(described) == set(Recipe.model_fields)
    assert described["history"]["maximum"] == 200
    form = found["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["recipe"] == {"$ref": "#/components/schemas/Recipe"}


def test_health_and_figures(studio: Studio, painted: dict[str, Any]) -> None:
    assert studio.http.get("/healthz").text.strip('"') == "ok"
    assert studio.http.get("/readyz").status_code == 200
    text = studio.http.get("/metrics").text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(figures['impasto_jobs{state="done"}']) >= 1
    assert float(figures["impasto_workers_ready"]) == 1
    assert painted["id"] not in text


def test_a_stream_of_500_megabytes_is_cut_off_early(studio: Studio) -> None:
    sent = 0

    def stream() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="content"; filename="x"\r\n\r\n'
        for _ in range(500):
            sent += 1_000_000
            yield bytes(1_000_000)

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    before = sorted((studio.folder / "jobs").iterdir())
    answer = studio.http.post("/v1/jobs", content=stream(), headers=kind)
    assert answer.status_code == 413
    assert "20 MB" in answer.json()["detail"]
    assert sent < 200_000_000
    told = studio.http.post("/v1/jobs", content=bytes(30_000_000), headers=kind)
    assert told.status_code == 413
    assert sorted((studio.folder / "jobs").iterdir()) == before
    incoming = [one.name for one in (studio.folder / "incoming").iterdir()]
    assert [one for one in incoming if not one.startswith("pymp")] == []


# -- the Python client -------------------------------------------------------------------------------------


def test_the_client_paints_follows_and_fetches(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded())
    (tmp_path / "style.png").write_bytes(encoded("PNG", seed=4))
    with Client(studio.url) as client:
        result = client.paint(
            tmp_path / "photo.jpg", ["wave", tmp_path / "style.png"], preset="draft", **TINY
        )
        assert pictures.load(result.save(tmp_path / "out.png")).size == (36, 48)
        job = client.again(result.job.id, seed=3)
        assert [one.state for one in client.events(job.id)][-1] == "done"
        weak = client.result(job.id, format="jpeg", strength=0.2)
        assert weak.data[:2] == b"\xff\xd8"
        client.delete(job.id)
        with pytest.raises(StudioError, match="no such job") as caught:
            client.job(job.id)
        assert caught.value.status == 404
        with pytest.raises(StudioError, match="sise") as caught:
            client.submit(tmp_path / "photo.jpg", "wave", sise=3)
        assert caught.value.field == "sise"
        with pytest.raises(StudioError, match=r"none\.jpg"):
            client.submit(tmp_path / "none.jpg", "wave")
        long = client.submit(tmp_path / "photo.jpg", "wave", **LONG)
        studio.running(long.id)
        client.cancel(long.id)
        assert [one.state for one in client.events(long.id)][-1] == "cancelled"


def test_nobody_there_is_one_line() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(StudioError, match="does not answer"):
        client.styles()


# -- many at once ------------------------------------------------------------------------------------------


def test_fifty_clients_at_once_lose_nothing_and_the_page_answers_meanwhile(studio: Studio) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def one(number: int) -> tuple[int, str]:
        answer = studio.post(encoded("PNG", (40, 30), 100 + number), TINY | {"size": 40, "coarsest": 40})
        return answer.status_code, answer.json().get("id", "")

    waits = []
    with ThreadPoolExecutor(50) as pool:
        posted = [pool.submit(one, number) for number in range(50)]
        while not all(task.done() for task in posted):
            begin = time.monotonic()
            assert studio.http.get("/healthz").status_code == 200
            waits.append(time.monotonic() - begin)
            time.sleep(0.05)
    codes, ids = zip(*(task.result() for task in posted), strict=True)
    assert set(codes) == {202}
    assert len(set(ids)) == 50
    assert {studio.finished(job)["state"] for job in ids} == {"done"}
    assert sorted(waits)[len(waits) // 2] < 2.0  # benchmarks/studio.py measures it on an idle machine
