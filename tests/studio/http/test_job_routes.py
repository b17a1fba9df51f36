"""Jobs from a client's side, with a worker that paints: pictures, clips, events, results, the end."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto import pictures
from impasto.recipe import Recipe, preset
from learned_styles import learned_style
from serving import LONG, TINY, TINY_CLIP, Studio, clip_bytes, encoded, pixels


@pytest.fixture(scope="module")
def painted(server: Studio) -> dict[str, Any]:
    response = server.post()
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/v1/jobs/{response.json()['id']}"
    return server.finished(response.json()["id"])


@pytest.mark.slow
def test_a_picture_from_upload_to_result(server: Studio, painted: dict[str, Any], tmp_path: Path) -> None:
    assert (painted["state"], painted["error"], painted["progress"]) == ("done", None, 1.0)
    assert painted["size"] == [36, 48]
    assert painted["evaluation"] == 3
    assert painted["recipe"]["size"] == 48
    assert len(painted["id"]) >= 22
    response = server.http.get(painted["result"])
    assert response.headers["content-type"] == "image/png"
    assert pixels(response.content).shape == (36, 48, 3)
    (tmp_path / "out.png").write_bytes(response.content)
    inside = pictures.read_metadata(tmp_path / "out.png")
    assert inside is not None
    assert Recipe.from_json(inside) == preset("fast").replace(**TINY, init="content")  # TINY sets the layout
    for name in ("preview", "content"):
        assert pixels(server.http.get(painted[name]).content).shape == (36, 48, 3)
    assert max(pixels(server.http.get(painted["thumbnail"]).content).shape) == 48


@pytest.mark.slow
def test_a_picture_and_a_clip_in_a_learned_style(server: Studio, tmp_path: Path) -> None:
    for content, result in ((None, "image/png"), (clip_bytes(tmp_path, count=2), "video/mp4")):
        style = ("style", ("mine", learned_style(tmp_path)))
        response = server.post(content, {"size": 48}, preset="instant", files=[style])
        assert response.status_code == 202, response.text
        job = server.finished(response.json()["id"])
        assert (job["state"], job["error"], job["preset"]) == ("done", None, "instant")
        assert server.http.get(job["result"]).headers["content-type"] == result


@pytest.mark.slow
def test_a_result_in_other_formats_and_strengths(
    server: Studio, painted: dict[str, Any], tmp_path: Path
) -> None:
    whole = pixels(server.http.get(painted["result"]).content)
    content = pixels(server.http.get(painted["content"]).content)
    for format, kind in (("jpeg", "JPEG"), ("webp", "WEBP")):
        response = server.http.get(painted["result"], params={"format": format, "download": 1})
        assert response.headers["content-type"] == f"image/{format}"
        name = f"impasto-{painted['id'][:8]}.{format}"
        assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert Image.open(io.BytesIO(response.content)).format == kind
        (tmp_path / name).write_bytes(response.content)
        assert Recipe.from_json(pictures.read_metadata(tmp_path / name) or "").size == 48
    weak, half = (
        pixels(server.http.get(painted["result"], params={"strength": strength}).content)
        for strength in (0, 0.5)
    )
    assert np.abs(weak - content).mean() < 4  # the content, but for JPEG
    assert np.abs(half - content).mean() < np.abs(whole - content).mean()
    assert np.abs(half - whole).mean() < np.abs(weak - whole).mean()
    folder = server.folder / "jobs" / painted["id"]
    assert sorted(path.name for path in folder.glob("export-*")) == [
        "export-0.png", "export-1000.jpeg", "export-1000.webp", "export-500.png",
    ]  # fmt: skip
    for wrong in ({"strength": 2}, {"strength": "nan"}, {"format": "exe"}):
        assert server.http.get(painted["result"], params=wrong).status_code == 422


@pytest.mark.slow
def test_events_follow_a_job_to_its_end(server: Studio) -> None:
    job = server.post(encoded(seed=21), TINY | {"iterations": [40], "tolerance": 0}).json()["id"]
    views = []
    with server.http.stream("GET", f"/v1/jobs/{job}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in response.iter_lines():
            if line.startswith("event:"):
                name = line[6:].strip()
            if line.startswith("data:"):
                assert name == "job"
                views.append(json.loads(line[5:]))
    assert views[0]["id"] == job
    assert views[-1]["state"] == "done"
    progress = [view["progress"] for view in views]
    assert progress == sorted(progress)
    assert any(view["preview"] for view in views)


@pytest.mark.slow
def test_an_identical_job_has_the_result_at_once_and_nothing_else(
    server: Studio, painted: dict[str, Any]
) -> None:
    response = server.post()
    assert response.status_code == 200
    duplicate = response.json()
    assert duplicate["id"] != painted["id"]
    assert duplicate["state"] == "done"
    assert duplicate["created"] > painted["finished"]  # when somebody else painted the same is private
    assert (duplicate["started"], duplicate["finished"], duplicate["seconds"]) == (
        duplicate["created"],
        duplicate["created"],
        None,
    )
    assert server.http.get(duplicate["result"]).content == server.http.get(painted["result"]).content
    other = server.post(recipe=TINY | {"seed": 1})
    assert other.status_code == 202
    assert server.http.delete(f"/v1/jobs/{duplicate['id']}").status_code == 204
    assert server.http.get(painted["result"]).status_code == 200


@pytest.mark.slow
def test_cancelling_keeps_the_best_picture_so_far(server: Studio) -> None:
    running = server.post(recipe=LONG).json()["id"]
    waiting = server.post(recipe=LONG | {"seed": 1}).json()
    assert waiting["state"] == "queued"
    server.running(running)
    assert server.http.get(f"/v1/jobs/{running}/result").status_code == 409
    assert server.http.post(f"/v1/jobs/{waiting['id']}/cancel").json()["state"] == "cancelled"
    server.http.post(f"/v1/jobs/{running}/cancel")
    job = server.finished(running, 30)
    assert job["state"] == "cancelled"
    assert pixels(server.http.get(job["result"]).content).shape == (48, 64, 3)
    assert server.job(waiting["id"])["result"] is None
    assert server.http.get(f"/v1/jobs/{waiting['id']}/result").status_code == 404
    again = server.http.post(f"/v1/jobs/{running}/cancel")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")


@pytest.mark.slow
def test_a_deleted_job_is_gone_with_its_files(server: Studio) -> None:
    running = server.post(recipe=LONG | {"seed": 2}).json()["id"]
    server.running(running)
    folder = server.folder / "jobs" / running
    assert folder.exists()
    assert server.http.delete(f"/v1/jobs/{running}").status_code == 204
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/preview"),
        ("POST", "/cancel"),
        ("DELETE", ""),
    ):
        assert server.http.request(method, f"/v1/jobs/{running}{path}").status_code == 404
    server.wait(lambda: not folder.exists(), 30)


@pytest.mark.slow
def test_painting_again_with_another_seed_style_and_preset(server: Studio, painted: dict[str, Any]) -> None:
    path = f"/v1/jobs/{painted['id']}/again"
    seed = server.http.post(path, json={"recipe": {"seed": 5}}).json()
    assert (seed["recipe"]["seed"], seed["recipe"]["size"], seed["preset"]) == (5, 48, "fast")
    other = server.http.post(path, json={"preset": "draft", "recipe": TINY}).json()
    assert (other["preset"], other["recipe"]["seed"]) == ("draft", 0)
    files = [("style", ("x", encoded("PNG", seed=9)))]
    form = server.http.post(path, files=files, data={"recipe": json.dumps({"style_scale": 0.5})}).json()
    assert [style["id"] for style in form["styles"]] == [None]
    jobs = [server.finished(job["id"]) for job in (seed, other, form)]
    assert {job["state"] for job in jobs} == {"done"}
    for wrong, status in (({"recipe": {"sise": 1}}, 422), ({"content": 1}, 422), ([1], 422)):
        assert server.http.post(path, json=wrong).status_code == status


@pytest.mark.slow
def test_styles_keep_the_order_of_the_form_and_masks_are_used(server: Studio) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    files = [
        ("style", ("x", encoded("PNG", seed=3))), ("style_id", (None, "wave")), ("style_id", (None, "wave")),
    ]  # fmt: skip
    many = server.post(files=files, recipe=TINY | {"style_blend": [1, 2, 3]}).json()
    assert [style["id"] for style in many["styles"]] == [None, "wave", "wave"]
    parts = TINY | {"feather": 0, "iterations": [25]}
    masked = server.post(files=[("mask", ("x", buffer.getvalue()))], recipe=parts).json()
    assert masked["masks"] == 1
    again = server.http.post(f"/v1/jobs/{masked['id']}/again", json={"no_mask": True}).json()
    assert again["masks"] == 0
    for submitted in (many, again):
        assert server.finished(submitted["id"])["state"] == "done"
    job = server.finished(masked["id"])
    changed = np.abs(
        pixels(server.http.get(job["result"]).content)
        - pixels(server.http.get(job["result"], params={"strength": 0}).content)
    )
    assert changed[:, :20].mean() < 1
    assert changed[:, 28:].mean() > 5


@pytest.mark.slow
def test_a_clip_from_upload_to_result(server: Studio, tmp_path: Path) -> None:
    data = clip_bytes(tmp_path, audio=True)
    job = server.post(data, TINY | {"size": 64}, video=json.dumps(TINY_CLIP)).json()
    assert (job["kind"], job["frames"], job["size"]) == ("video", 4, [43, 64])
    job = server.finished(job["id"])
    assert (job["state"], job["error"], job["frame"]) == ("done", None, 4)
    whole = server.http.get(job["result"])
    assert whole.headers["content-type"] == "video/mp4"
    part = server.http.get(job["result"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert server.http.get(job["result"], headers={"Range": "bytes=9999999-"}).status_code == 416
    assert server.http.get(job["original"]).content == data
    assert pixels(server.http.get(job["thumbnail"]).content).shape == (43, 64, 3)
    import av

    with av.open(io.BytesIO(whole.content)) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 4


@pytest.mark.slow
def test_a_clip_is_painted_from_key_frames(server: Studio, tmp_path: Path) -> None:
    """One painted red and half as large again as the film: so is the result, and no style is needed."""
    buffer = io.BytesIO()
    Image.new("RGB", (144, 96), (220, 30, 20)).save(buffer, "PNG")
    form = {"content": ("x", clip_bytes(tmp_path)), "key": ("../0.png", buffer.getvalue())}
    recipe = {"coarsest": 48, "iterations": [3], "tolerance": 0}
    data = {"key_frame": "2", "video": json.dumps(TINY_CLIP), "recipe": json.dumps(recipe)}
    sent = server.http.post("/v1/jobs", files=form, data=data)
    assert sent.status_code == 202, sent.text
    job = server.finished(sent.json()["id"])
    assert (job["state"], job["error"], job["keys"], job["size"]) == ("done", None, [2], [96, 144])
    red, green, blue = pixels(server.http.get(job["thumbnail"]).content).mean((0, 1))
    assert red > 180
    assert max(green, blue) < 80
    again = server.http.post(f"/v1/jobs/{job['id']}/again", json={}).json()
    assert (again["state"], again["keys"]) == ("done", [2])  # the same job, known by its bytes
    for number, painting, message in (
        ("4", buffer.getvalue(), "key 4 ('key-0.png') is not in the clip; frames are counted from 0 to 3"),
        ("0", encoded("PNG", (90, 90)), "key 0 ('key-0.png') is 90×90 pixels; the clip is 96×64"),
        ("0", b"no picture", "'key' is"),
    ):
        refused = server.http.post(
            "/v1/jobs", files=form | {"key": ("x", painting)}, data=data | {"key_frame": number}
        )
        assert refused.json()["detail"].startswith(message), refused.text
        assert refused.json()["field"] == "key"
        assert "\n" not in refused.text


@pytest.mark.slow
def test_a_cancelled_clip_keeps_the_frames_that_were_painted(server: Studio, tmp_path: Path) -> None:
    data = clip_bytes(tmp_path, count=10)
    slow = {"iterations": [20], "size": 64, "coarsest": 64, "tolerance": 0}
    job = server.post(
        data, slow, video=json.dumps({"following_iterations": 20, "still_tolerance": 0})
    ).json()["id"]
    server.wait(lambda: (server.job(job)["frame"] or 0) >= 2)
    server.http.post(f"/v1/jobs/{job}/cancel")
    cancelled = server.finished(job)
    assert cancelled["state"] == "cancelled"
    import av

    with av.open(io.BytesIO(server.http.get(cancelled["result"]).content)) as container:
        assert 2 <= sum(1 for _ in container.decode(video=0)) < 10
    assert not list((server.folder / "jobs" / job).glob("*.work"))
