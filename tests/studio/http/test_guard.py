"""Access control: host, origin and token of requests; headers; nothing private in the log."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from impasto.studio.certificates import lan_host
from impasto.studio.http.requester import client_address
from serving import post, without_workers

SECRET = "a rather long secret"


@pytest.fixture
def studio(tmp_path: Path) -> TestClient:
    return without_workers(tmp_path)


def test_wasm_is_allowed_only_where_the_site_is_served(tmp_path: Path) -> None:
    (tmp_path / "site.json").write_text("{}")
    without = without_workers(tmp_path / "one").get("/").headers
    served = without_workers(tmp_path / "two", web=tmp_path)
    assert "unsafe" not in without["content-security-policy"]
    assert "cross-origin-embedder-policy" not in without
    for path in ("/", "/web/site.json", "/v1/settings", "/web/none"):
        headers = served.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.replace(" 'wasm-unsafe-eval'", "") == without["content-security-policy"]
        assert policy.count("'wasm-unsafe-eval'") == 1
        assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert served.get("/v1/settings").json()["site"] is True


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
    """DNS rebinding: a web page's host name that was made to resolve to 127.0.0.1."""
    assert studio.get("/v1/settings", headers={"Host": host}).status_code == status


def test_names_behind_a_proxy_have_to_be_named(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, public_name=("studio.example.org",), token=SECRET)
    auth = {"Authorization": f"Bearer {SECRET}"}
    assert studio.get("/v1/styles", headers={**auth, "Host": "studio.example.org"}).status_code == 200
    assert studio.get("/v1/styles", headers={**auth, "Host": "other.example.org"}).status_code == 421


def test_the_address_that_is_printed_is_accepted_beside_other_names(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, host="0.0.0.0", public_name=("studio.example.org",), token=SECRET)
    auth = {"Authorization": f"Bearer {SECRET}"}
    for host, status in ((lan_host("0.0.0.0"), 200), ("studio.example.org", 200), ("192.0.2.66", 421)):
        assert studio.get("/v1/styles", headers={**auth, "Host": f"{host}:7860"}).status_code == status


def test_ipv4_addresses_are_clients_each_also_where_both_versions_are_served() -> None:
    seen = {"::ffff:192.0.2.7": "192.0.2.7", "2001:db8::1:2:3:4": "2001:db8::/64", "192.0.2.7": "192.0.2.7"}
    assert {host: client_address({"client": (host, 1)}) for host in seen} == seen


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),
        ({"Origin": "http://127.0.0.1:7860", "Sec-Fetch-Site": "same-origin"}, 404),
        ({"Sec-Fetch-Site": "none"}, 404),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "nonsense"}, 403),
    ],
)
def test_other_sites_cannot_post(studio: TestClient, headers: dict[str, str], status: int) -> None:
    for method, path in (
        ("POST", "/v1/jobs/x/cancel"),
        ("DELETE", "/v1/jobs/x"),
        ("POST", "/v1/jobs/x/again"),
    ):
        assert studio.request(method, path, headers=headers).status_code == status


# -- the token ---------------------------------------------------------------------------------------------


def test_with_a_token_the_api_is_closed_to_others(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, token=SECRET)
    for method, path in (
        ("GET", "/v1/styles"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs/x"),
        ("DELETE", "/v1/jobs/x"),
    ):
        response = studio.request(method, path)
        assert response.status_code == 401, path
        assert set(response.json()) == {"detail", "field"}
    assert studio.get("/healthz").status_code == 200
    assert studio.get("/v1/styles", headers={"Authorization": f"Bearer {SECRET}"}).status_code == 200
    assert studio.get("/v1/styles", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert studio.get("/v1/styles", headers={"Authorization": f"Basic {SECRET}"}).status_code == 401
    assert studio.get("/v1/styles", headers={"Cookie": f"impasto-session={SECRET}"}).status_code == 401


def test_a_large_body_without_the_token_ends_its_connection(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, token=SECRET)
    refused = [studio.post("/v1/jobs", content=bytes(size)) for size in (1000, 1_000_000)]
    assert [response.status_code for response in refused] == [401, 401]
    assert [response.headers.get("connection") for response in refused] == [None, "close"]


def test_logging_in_gives_a_cookie_that_scripts_and_other_sites_cannot_read(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, token=SECRET)
    assert studio.post("/v1/session", json={"token": "wrong"}).status_code == 401
    assert studio.post("/v1/session", content=b'{"token": "x"}').status_code == 415
    response = studio.post("/v1/session", json={"token": SECRET})
    assert response.status_code == 204
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert SECRET not in cookie
    assert studio.get("/v1/styles").status_code == 200


def test_guessing_the_token_is_slow_and_hinders_nobody_else(tmp_path: Path) -> None:
    """An address that guesses has to wait, with the right token too; others log in, sessions go on."""
    studio = without_workers(tmp_path, token=SECRET)
    browser = TestClient(studio.app, base_url="http://127.0.0.1:7860")
    assert browser.post("/v1/session", json={"token": SECRET}).status_code == 204
    responses = [studio.post("/v1/session", json={"token": f"guess {n}"}).status_code for n in range(12)]
    assert responses == [401] * 5 + [429] * 7
    bearer = {"Authorization": f"Bearer {SECRET}"}
    refused = studio.get("/v1/styles", headers=bearer)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 2
    assert studio.post("/v1/session", json={"token": SECRET}).status_code == 429
    assert browser.get("/v1/styles").status_code == 200
    other = TestClient(studio.app, base_url="http://127.0.0.1:7860", client=("192.0.2.9", 1))
    assert other.post("/v1/session", json={"token": SECRET}).status_code == 204
    assert other.get("/v1/styles", headers=bearer).status_code == 200


def test_metrics_and_the_description_of_the_api_need_a_token_where_there_is_one(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, token=SECRET, metrics_token="a token for Prometheus")
    for path, token, status in (
        ("/metrics", None, 401), ("/metrics", SECRET, 200), ("/metrics", "a token for Prometheus", 200),
        ("/openapi.json", None, 401), ("/openapi.json", SECRET, 200),
        ("/openapi.json", "a token for Prometheus", 401), ("/v1/styles", "a token for Prometheus", 401),
        ("/healthz", None, 200),
    ):  # fmt: skip
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert studio.get(path, headers=headers).status_code == status, (path, token)
    assert without_workers(tmp_path / "open").get("/metrics").status_code == 200


def test_logging_out_forgets_the_cookie(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, token=SECRET)
    studio.post("/v1/session", json={"token": SECRET})
    assert studio.get("/v1/styles").status_code == 200
    assert studio.delete("/v1/session").status_code == 204
    assert studio.get("/v1/styles").status_code == 401


def test_a_cookie_of_another_program_does_not_hide_ours(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, token=SECRET)
    value = studio.post("/v1/session", json={"token": SECRET}).cookies["impasto-session"]
    studio.cookies.clear()
    for cookies in (f'prefs={{"a": 1}}; impasto-session={value}', f"impasto-session={value}; x=[1, 2]"):
        assert studio.get("/v1/styles", headers={"Cookie": cookies}).status_code == 200


def test_a_client_that_asks_for_it_gets_a_problem_document(tmp_path: Path) -> None:
    studio = without_workers(tmp_path, token=SECRET)
    accept = {"Accept": "application/problem+json", "Authorization": f"Bearer {SECRET}"}
    for path, headers, status in (
        ("/v1/jobs/none", accept, 404),
        ("/v1/styles", {"Accept": "application/problem+json"}, 401),
    ):
        response = studio.get(path, headers=headers)
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == response.status_code == status
        assert problem["instance"] == f"urn:request:{response.headers['x-request-id']}"
        assert {"type", "title", "detail", "field"} <= set(problem)


# -- headers, log ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v1/styles", "/healthz", "/nowhere", "/v1/jobs/x", "/openapi.json"])
def test_every_response_has_the_security_headers(studio: TestClient, path: str) -> None:
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


def test_refusals_have_the_security_headers_too(studio: TestClient) -> None:
    response = studio.get("/v1/settings", headers={"Host": "evil.example"})
    assert "content-security-policy" in response.headers
    assert response.json()["detail"].count("\n") == 0


def test_what_nobody_expected_is_found_in_the_log_by_the_requests_number(
    studio: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(job_id: str) -> None:
        raise error

    job = "a" * 22
    monkeypatch.setattr(studio.app.state.studio.store, "get", failing)  # type: ignore[attr-defined]
    error: Exception = ZeroDivisionError("here")
    response = studio.get(f"/v1/jobs/{job}")
    number = response.headers["x-request-id"]
    assert (response.status_code, number in response.json()["detail"]) == (500, True)
    assert "content-security-policy" in response.headers
    (record,) = [record for record in caplog.records if record.exc_info]
    assert number in record.getMessage()
    caplog.clear()
    error = OSError(errno.EIO, "Input/output error", f"/data/jobs/{job}/content")
    response = studio.get(f"/v1/jobs/{job}")
    assert response.status_code == 503
    assert f"{response.headers['x-request-id']} OSError: Input/output error" in caplog.text
    assert job not in caplog.text


def test_the_log_contains_no_job_id_and_no_forged_line(
    studio: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "impasto.studio")
    job = post(studio).json()["id"]
    studio.get(f"/v1/jobs/{job}/content")
    studio.get("/v1/jobs/%0d%0aforged")
    studio.get("/x%0d%0aforged%1b[2J")
    log = caplog.text
    assert "/v1/jobs/" in log
    assert job not in log
    assert "\nforged" not in log
    assert "\r" not in log
    assert "\x1b" not in log
