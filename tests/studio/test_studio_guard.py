"""Who may ask what: token, host, origin, headers; limits on the way in; nothing private in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from impasto.cli.main import main
from impasto.studio.http.app import create_app
from impasto.studio.settings import StudioSettings
from serving import encoded, post

SECRET = "a rather long secret"


def client(folder: Path, **settings: Any) -> TestClient:
    """A studio in this process, without workers: jobs wait."""
    app = create_app(StudioSettings(data=folder, **settings))
    return TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)


@pytest.fixture
def studio(tmp_path: Path) -> TestClient:
    return client(tmp_path)


# -- host and origin ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200), ("localhost:7860", 200), ("[::1]:7860", 200), ("LOCALHOST", 200),
        ("evil.example:7860", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("a@localhost", 421),
        ("localhost:7860/x", 421), ("[::1", 421),
    ],
)  # fmt: skip
def test_a_page_of_another_name_does_not_reach_a_server_of_this_machine(
    studio: TestClient, host: str, status: int
) -> None:
    """DNS rebinding: a stranger's name that has come to mean 127.0.0.1."""
    assert studio.get("/v1/settings", headers={"Host": host}).status_code == status


def test_names_behind_a_proxy_are_said(tmp_path: Path) -> None:
    one = client(tmp_path, public_name=("studio.example.org",), token=SECRET)
    auth = {"Authorization": f"Bearer {SECRET}"}
    assert one.get("/v1/styles", headers={**auth, "Host": "studio.example.org"}).status_code == 200
    assert one.get("/v1/styles", headers={**auth, "Host": "other.example.org"}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),
        ({"Origin": "http://127.0.0.1:7860", "Sec-Fetch-Site": "same-origin"}, 404),
        ({"Sec-Fetch-Site": "none"}, 404),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "nonsense"}, 403),
    ],
)
def test_no_posting_from_other_sites(studio: TestClient, headers: dict[str, str], status: int) -> None:
    for method, path in (
        ("POST", "/v1/jobs/x/cancel"),
        ("DELETE", "/v1/jobs/x"),
        ("POST", "/v1/jobs/x/again"),
    ):
        assert studio.request(method, path, headers=headers).status_code == status


# -- the token ---------------------------------------------------------------------------------------------


def test_with_a_token_only_who_knows_it(tmp_path: Path) -> None:
    one = client(tmp_path, token=SECRET)
    for method, path in (
        ("GET", "/v1/styles"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs/x"),
        ("DELETE", "/v1/jobs/x"),
    ):
        answer = one.request(method, path)
        assert answer.status_code == 401, path
        assert set(answer.json()) == {"detail", "field"}
    assert one.get("/healthz").status_code == 200
    assert one.get("/v1/styles", headers={"Authorization": f"Bearer {SECRET}"}).status_code == 200
    assert one.get("/v1/styles", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert one.get("/v1/styles", headers={"Authorization": f"Basic {SECRET}"}).status_code == 401
    assert one.get("/v1/styles", headers={"Cookie": f"impasto-session={SECRET}"}).status_code == 401


def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_see(tmp_path: Path) -> None:
    one = client(tmp_path, token=SECRET)
    assert one.post("/v1/session", json={"token": "wrong"}).status_code == 401
    assert one.post("/v1/session", content=b'{"token": "x"}').status_code == 415
    answer = one.post("/v1/session", json={"token": SECRET})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert SECRET not in cookie
    assert one.get("/v1/styles").status_code == 200


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    one = client(tmp_path, token=SECRET)
    answers = [one.post("/v1/session", json={"token": f"guess {n}"}).status_code for n in range(25)]
    assert answers[:20] == [401] * 20
    assert set(answers[20:]) == {429}
    assert one.get("/v1/styles", headers={"Authorization": f"Bearer {SECRET}"}).status_code == 200


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--host", "0.0.0.0"], "--token"),
        (["--public-name", "studio.example.org"], "--token"),
        (["--token", "short"], "at least 8"),
        (["--port", "70000"], "port"),
        (["--host", "256.1.1.1", "--insecure"], "nothing can listen"),
    ],
)
def test_a_server_that_should_not_start_says_why_in_one_line(
    flags: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["studio", "--no-open", "--data", str(tmp_path / "data"), *flags])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert word in said.err
    assert "short" not in said.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("spoiled", ["data", "data/jobs", "data/studio.db"])
def test_a_data_folder_that_cannot_be_used_is_one_line(
    spoiled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / spoiled
    place.parent.mkdir(exist_ok=True)
    if place.name == "studio.db":
        place.mkdir()
    else:
        place.write_text("a file")
    with pytest.raises(SystemExit) as ended:
        main(["studio", "--port", "0", "--data", str(tmp_path / "data")])
    assert ended.value.code == 2
    assert "cannot be used" in capsys.readouterr().err


def test_a_relative_folder_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert StudioSettings(data=Path("data")).folder("j") == tmp_path / "data" / "jobs" / "j"


# -- headers, log ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v1/styles", "/healthz", "/nowhere", "/v1/jobs/x", "/openapi.json"])
def test_every_answer_has_the_security_headers(studio: TestClient, path: str) -> None:
    headers = studio.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "camera=(self)" in headers["permissions-policy"]
    assert len(headers["x-request-id"]) == 12
    assert "server" not in headers


def test_refusals_have_the_headers_too(studio: TestClient) -> None:
    answer = studio.get("/v1/settings", headers={"Host": "evil.example"})
    assert "content-security-policy" in answer.headers
    assert answer.json()["detail"].count("\n") == 0


def test_the_log_tells_no_job_and_no_content(studio: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "impasto.studio")
    job = post(studio).json()["id"]
    studio.get(f"/v1/jobs/{job}/content")
    studio.get("/v1/jobs/%0d%0aforged")
    said = caplog.text
    assert "/v1/jobs/" in said
    assert job not in said
    assert "\nforged" not in said


def test_no_page_comes_from_elsewhere(studio: TestClient) -> None:
    assert studio.get("/docs").status_code == 404
    assert studio.get("/redoc").status_code == 404
    page = Path(create_app.__code__.co_filename).parent / "page"
    texts = [
        one.read_text() for one in page.rglob("*") if one.suffix in (".html", ".js", ".css", ".webmanifest")
    ]
    assert texts
    for text in texts:
        assert not [word for word in text.split() if "://" in word and "w3.org" not in word]


# -- limits ------------------------------------------------------------------------------------------------


def test_a_full_queue_and_a_greedy_client_are_told_to_wait(tmp_path: Path) -> None:
    one = client(tmp_path, queue=3, client_jobs=2)
    assert [post(one, encoded(seed=n)).status_code for n in range(2)] == [202, 202]
    answer = post(one)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    other = TestClient(one.app, base_url="http://127.0.0.1:7860", client=("192.0.2.9", 1))
    assert post(other).status_code == 202
    assert "queue is full" in post(other).json()["detail"]
    job = other.get("/v1/jobs/none")
    assert job.status_code == 404


def test_ipv6_counts_by_network(tmp_path: Path) -> None:
    one = client(tmp_path, client_jobs=1)
    hosts = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
    answers = [
        post(
            TestClient(one.app, base_url="http://127.0.0.1:7860", client=(host, 1)), encoded(seed=n)
        ).status_code
        for n, host in enumerate(hosts)
    ]
    assert answers == [202, 429, 202]


def test_too_large_a_request_is_refused_by_its_length_and_by_its_bytes(tmp_path: Path) -> None:
    one = client(tmp_path, upload_bytes=50_000)
    assert post(one, b"x" * 60_000).status_code == 413

    def stream() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="content"; filename="x"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 1000

    answer = one.post(
        "/v1/jobs", content=stream(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413
    assert "0.05 MB" in answer.json()["detail"]
    assert list((tmp_path / "jobs").iterdir()) == []
