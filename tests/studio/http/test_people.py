"""People, as an attacker tries them: jobs of others, tokens and sessions that are not valid, quotas."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from impasto.studio.http.job_feed import JobFeed
from impasto.studio.queue.people import People, Person, Quotas
from impasto.studio.queue.storage import folder_size
from job_rows import add_job
from serving import TINY, encoded, finish, in_a_thread, post, without_workers

pytestmark = pytest.mark.slow

SHARED = "a rather long secret"
FREE = Quotas()
PROBLEM = {"Accept": "application/problem+json"}


class House:
    """A studio with two people and a token that all others share; without workers."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.anonymous = without_workers(folder, **settings)
        self.service = self.anonymous.app.state.studio  # type: ignore[attr-defined]
        self.people: People = self.service.people
        self.folder = folder

    def add(self, name: str, *, quotas: Quotas = FREE, **options: Any) -> TestClient:
        """A program with the token of a new person."""
        return self.program(self.people.add(name, quotas, **options))

    def program(self, token: str) -> TestClient:
        return self.client(Authorization=f"Bearer {token}")

    def browser(self, token: str) -> TestClient:
        """A browser that has signed in."""
        browser = self.client(Origin="http://127.0.0.1:7860", **{"Sec-Fetch-Site": "same-origin"})
        assert browser.post("/v1/session", json={"token": token}).status_code == 204
        return browser

    def client(self, **headers: str) -> TestClient:
        return TestClient(
            self.anonymous.app, base_url="http://127.0.0.1:7860", headers=headers,
            raise_server_exceptions=False,
        )  # fmt: skip

    def finish(self, job_id: str) -> None:
        finish(self.service, job_id)

    def audit(self) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "audit").glob("*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# -- other people's jobs -----------------------------------------------------------------------------------


def job_routes(house: House) -> Iterator[tuple[str, str]]:
    """(method, path with ``{job}``) of every route of a job, from the API's own description."""
    document = house.anonymous.app.openapi()  # type: ignore[attr-defined]
    for path, methods in document["paths"].items():
        for method in methods:
            if "{job}" in path:
                yield method.upper(), path.replace("{number}", "0")


def answers(house: House, client: TestClient, job_id: str) -> dict[str, tuple[int, str]]:
    """Route → (status, detail) of every request that can be made for a job."""
    found = {}
    for method, path in job_routes(house):
        options = {"json": {"recipe": {"seed": 5}}} if path.endswith("/again") else {}
        response = client.request(method, path.replace("{job}", job_id), **options)
        detail = response.json()["detail"] if response.status_code >= 400 else ""
        found[f"{method} {path}"] = (response.status_code, detail)
    return found


def test_every_route_of_another_persons_job_is_404(tmp_path: Path) -> None:
    """As for a job that does not exist, in every word; and whatever was tried, the job is as it was."""
    house = House(tmp_path, token=SHARED)
    anna, ben = house.add("anna"), house.add("ben")
    annas = post(anna).json()["id"]
    house.finish(annas)
    shared = house.program(SHARED)
    nobodys = post(shared, encoded(seed=1)).json()["id"]
    before = house.service.store.get(annas)
    files = sorted(path.name for path in house.service.settings.job_folder(annas).iterdir())
    unknown = answers(house, ben, "A" * 22)
    assert len(unknown) >= 11
    assert {status for status, _ in unknown.values()} == {404}
    assert answers(house, ben, annas) == unknown
    assert answers(house, ben, nobodys) == unknown
    assert answers(house, shared, annas) == unknown
    assert answers(house, anna, nobodys) == unknown
    assert {status for status, _ in answers(house, house.client(), annas).values()} == {401}
    assert house.service.store.get(annas) == before
    assert sorted(path.name for path in house.service.settings.job_folder(annas).iterdir()) == files
    assert ben.get("/v1/jobs").json() == []
    own = answers(house, anna, annas)
    deletion = list(own).index("DELETE /v1/jobs/{job}")
    assert {status for status, _ in list(own.values())[: deletion + 1]} <= {200, 202, 204}


def test_nobody_learns_that_another_painted_the_same(house: House) -> None:
    """The same files and settings are painted again for another person; only their own are found at once."""
    anna, ben = house.add("anna"), house.add("ben")
    first = post(anna)
    house.finish(first.json()["id"])
    again = post(ben)
    assert (first.status_code, again.status_code, post(anna).status_code) == (202, 202, 200)
    assert again.json()["state"] == "queued"
    worker_finds = house.service.store.find_duplicate
    digest = house.service.store.get(again.json()["id"]).digest
    assert worker_finds(digest, 2) is None
    assert worker_finds(digest) is None


def test_a_request_key_of_another_person_is_another_request(house: House) -> None:
    anna, ben = house.add("anna"), house.add("ben")
    for client in (anna, ben):
        client.headers["Idempotency-Key"] = "same"
    first, second = post(anna).json()["id"], post(ben).json()["id"]
    assert first != second
    assert post(anna).json()["id"] == first


def test_the_list_has_ones_own_jobs_newest_first(house: House) -> None:
    anna, ben = house.add("anna"), house.add("ben")
    ids = [post(anna, encoded(seed=n)).json()["id"] for n in range(2)]
    other = post(ben).json()["id"]
    listed = anna.get("/v1/jobs").json()
    assert [job["id"] for job in listed] == ids[::-1]
    assert listed[0] == anna.get(f"/v1/jobs/{ids[1]}").json()
    assert [job["id"] for job in ben.get("/v1/jobs").json()] == [other]
    assert anna.delete(f"/v1/jobs/{ids[0]}").status_code == 204
    assert [job["id"] for job in anna.get("/v1/jobs").json()] == [ids[1]]


def test_without_people_all_is_as_simple_as_before(tmp_path: Path) -> None:
    studio = without_workers(tmp_path)
    assert studio.get("/v1/session").json() == {"person": None, "quotas": {}}
    job = post(studio).json()["id"]
    other = TestClient(studio.app, base_url="http://127.0.0.1:7860", client=("192.0.2.9", 1))
    assert other.get(f"/v1/jobs/{job}").status_code == 200
    assert studio.get("/v1/jobs").status_code == 404
    assert studio.post("/v1/session", json={"token": "x"}).status_code == 204
    assert not (tmp_path / "audit").exists()


# -- tokens and sessions -----------------------------------------------------------------------------------


def test_from_the_first_person_on_everybody_has_to_sign_in(house: House) -> None:
    stranger = house.anonymous
    assert stranger.get("/v1/styles").status_code == 200
    house.people.add("anna", Quotas())
    paths = ("/v1/styles", "/v1/jobs", "/v1/session", "/v1/settings", "/openapi.json", "/metrics")
    assert [stranger.get(path).status_code for path in paths] == [401] * 6
    house.people.revoke("anna")
    assert [stranger.get(path).status_code for path in paths] == [401] * 6
    assert [stranger.get(path).status_code for path in ("/", "/healthz")] == [200, 200]


@pytest.mark.parametrize("ending", ["revoked", "expired", "signed out", "session expired"])
def test_a_session_that_has_ended_opens_nothing(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path, session_days=2.0)
    token = house.people.add("anna", Quotas(), expires=time.time() + 3 * 86400)
    browser = house.browser(token)
    cookie = browser.cookies["impasto-session"]
    assert browser.get("/v1/session").json()["person"] == "anna"
    now = time.time()
    if ending == "revoked":
        house.people.revoke("anna")
    elif ending == "signed out":
        assert browser.delete("/v1/session").status_code == 204
    else:
        days = 2.1 if ending == "session expired" else 3.1
        monkeypatch.setattr(time, "time", lambda: now + days * 86400)
    stolen = house.client(Cookie=f"impasto-session={cookie}")
    assert stolen.get("/v1/jobs").status_code == 401
    assert stolen.post("/v1/jobs").status_code == 401
    token_works = house.program(token).get("/v1/jobs").status_code == 200
    assert token_works == (ending in ("signed out", "session expired"))


def test_forged_sessions_open_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, token=SHARED)
    token = house.people.add("anna", Quotas())
    cookie = house.browser(token).cookies["impasto-session"]
    assert token not in cookie
    hashes = house.people.valid_credentials()
    for forged in ("", "x", token, SHARED, cookie[:-1], cookie + "A", *hashes, "1", "person 1"):
        response = house.client(Cookie=f"impasto-session={forged}").get("/v1/jobs")
        assert response.status_code == 401, forged
    for forged in (cookie, *hashes, "person 1"):
        assert house.program(forged).get("/v1/jobs").status_code in (401, 429), forged


def test_signing_in_again_ends_the_former_session_and_cannot_fix_it(house: House) -> None:
    anna, ben = (house.people.add(name, Quotas()) for name in ("anna", "ben"))
    browser = house.browser(anna)
    former = browser.cookies["impasto-session"]
    assert browser.post("/v1/session", json={"token": ben}).status_code == 204
    assert browser.get("/v1/session").json()["person"] == "ben"
    assert browser.cookies["impasto-session"] != former
    assert house.client(Cookie=f"impasto-session={former}").get("/v1/jobs").status_code == 401
    planted = house.client(Cookie="impasto-session=planted-by-an-attacker")
    response = planted.post("/v1/session", json={"token": anna})
    assert "planted" not in response.headers["set-cookie"]


def test_the_cookie_is_kept_from_scripts_and_other_sites(house: House) -> None:
    token = house.people.add("anna", Quotas())
    for address, secure in (("http://127.0.0.1:7860", False), ("https://127.0.0.1:7860", True)):
        client = TestClient(house.anonymous.app, base_url=address)
        cookie = client.post("/v1/session", json={"token": token}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert ("Secure" in cookie) == secure
    response = house.browser(token).delete("/v1/session")
    assert 'impasto-session=""' in response.headers["set-cookie"]
    assert response.headers["clear-site-data"] == '"cache"'


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_other_sites_can_do_nothing_with_somebodys_session(house: House, headers: dict[str, str]) -> None:
    """Cross-site requests, with the cookie: also no signing in as the attacker, and no signing out."""
    token = house.people.add("anna", Quotas())
    browser = house.browser(token)
    job = post(browser).json()["id"]
    tried = [*job_routes(house), ("POST", "/v1/jobs"), ("POST", "/v1/look"), ("POST", "/v1/instant"),
             ("POST", "/v1/session"), ("DELETE", "/v1/session")]  # fmt: skip
    for method, path in tried:
        if method != "GET":
            response = browser.request(method, path.replace("{job}", job), headers=headers)
            assert response.status_code == 403, path
    assert browser.get(f"/v1/jobs/{job}").json()["state"] == "queued"


def test_who_is_signed_in_cannot_guess_the_tokens_of_others_unhindered(tmp_path: Path) -> None:
    house = House(tmp_path, token=SHARED)
    browser = house.browser(house.people.add("anna", Quotas()))
    guesses = [browser.post("/v1/session", json={"token": f"guess {n}"}).status_code for n in range(8)]
    assert guesses == [401] * 5 + [429] * 3
    assert browser.post("/v1/session", json={"token": SHARED}).status_code == 429
    assert browser.get("/v1/session").status_code == 200


def test_a_burst_of_wrong_tokens_has_no_more_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path)
    house.people.add("anna", Quotas())
    find = People.by_token

    def slow(people: People, token: str) -> Person | None:
        time.sleep(0.01)
        return find(people, token)

    monkeypatch.setattr(People, "by_token", slow)

    async def burst() -> list[int]:
        transport = httpx.ASGITransport(house.client().app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
            guesses = [client.post("/v1/session", json={"token": f"guess {n}"}) for n in range(12)]
            return [response.status_code for response in await asyncio.gather(*guesses)]

    assert sorted(asyncio.run(burst())) == [401] * 5 + [429] * 7


def test_a_token_of_half_characters_is_a_wrong_one(house: House) -> None:
    house.people.add("anna", Quotas())
    headers = {"Content-Type": "application/json"}
    response = house.client().post("/v1/session", content=rb'{"token": "\ud800"}', headers=headers)
    assert response.status_code == 401


def test_figures_of_all_people_are_for_the_operator(tmp_path: Path) -> None:
    house = House(tmp_path, metrics_token="a token for Prometheus")
    anna = house.add("anna")
    assert anna.get("/metrics").status_code == 401
    assert anna.get("/openapi.json").status_code == 200
    assert house.program("a token for Prometheus").get("/metrics").status_code == 200
    assert house.program("a token for Prometheus").get("/v1/jobs").status_code == 401


def test_a_database_that_does_not_answer_lets_nobody_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = house.add("anna")

    def broken() -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(house.people, "exist", broken)
    response = anna.get("/v1/jobs")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "disk I/O" not in response.text


def test_an_event_stream_ends_when_its_reader_is_shut_out(house: House) -> None:
    """Within the time of a poll, and nothing more is sent."""
    token = house.people.add("anna", Quotas())
    store = house.service.store
    job, feed = add_job(store, client="person 1", person=1), JobFeed(store)

    async def follow() -> None:
        running = asyncio.create_task(feed.run())
        stream = feed.follow(job.id, house.people.credential(token))
        assert (await asyncio.wait_for(anext(stream), 10)).state == "queued"
        house.people.revoke("anna")
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), 10)
        running.cancel()

    in_a_thread(follow())


# -- quotas ------------------------------------------------------------------------------------------------


def test_jobs_a_day_up_to_the_last_one(house: House) -> None:
    """Twins of a finished job count, deleted ones too; what is refused does not."""
    anna, ben = house.add("anna", quotas=Quotas(daily_jobs=3)), house.add("ben")
    first = post(anna).json()["id"]
    house.finish(first)
    assert post(anna, b"not a picture").status_code == 415
    assert anna.post(f"/v1/jobs/{first}/again", json={}).status_code == 200
    last = post(anna, encoded(seed=1))
    assert last.status_code == 202
    assert '"daily-jobs";r=0;' in last.headers["ratelimit"]
    assert '"daily-jobs";q=3;w=86400' in last.headers["ratelimit-policy"]
    assert '"hourly-jobs";q=600;w=3600' in last.headers["ratelimit-policy"]
    anna.delete(f"/v1/jobs/{first}")
    refused = post(anna, encoded(seed=2))
    assert refused.status_code == 429
    assert "all 3 of your jobs of today" in refused.json()["detail"]
    assert 0 < int(refused.headers["retry-after"]) <= 86400
    assert '"daily-jobs";r=0;' in refused.headers["ratelimit"]
    problem = anna.post(f"/v1/jobs/{last.json()['id']}/again", json={}, headers=PROBLEM)
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["violated-policies"] == ["daily-jobs"]
    assert problem.json()["type"].endswith("#quota-exceeded")
    assert post(ben).status_code == 202
    assert anna.get("/v1/session").json()["quotas"]["jobs"]["used"] == 3
    house.people.set_quotas("anna", Quotas(daily_jobs=4))
    assert post(anna, encoded(seed=2)).status_code == 202
    with house.service.store.database.transaction() as db:  # midnight
        db.execute("UPDATE usage SET day = date('now', '-1 day')")
    assert post(anna, encoded(seed=3)).status_code == 202


def test_painting_seconds_a_day_up_to_the_last_one(house: House) -> None:
    anna = house.add("anna", quotas=Quotas(daily_seconds=2.5))
    first = post(anna).json()["id"]
    house.finish(first)  # 2 s
    waiting = [post(anna, encoded(seed=n)) for n in (1, 2)]
    assert [response.status_code for response in waiting] == [202, 202]
    house.finish(waiting[0].json()["id"])
    refused = post(anna, encoded(seed=3))
    assert refused.status_code == 429
    assert "2.5 s of painting" in refused.json()["detail"]
    assert '"daily-seconds";r=0;' in refused.headers["ratelimit"]
    view = anna.get(f"/v1/jobs/{waiting[1].json()['id']}").json()
    assert (view["state"], view["position"], view["waits_for"]) == ("queued", None, "quota")
    house.people.set_quotas("anna", Quotas(daily_seconds=4.1))
    view = anna.get(f"/v1/jobs/{waiting[1].json()['id']}").json()
    assert (view["position"], view["waits_for"]) == (0, "turn")


def test_space_up_to_the_last_byte(house: House) -> None:
    """Files that jobs share count once; deleting makes room; nothing of a refused job stays."""
    anna = house.add("anna")
    first = post(anna).json()["id"]
    job = house.service.store.get(first)
    taken = folder_size(house.service.settings.job_folder(first)) + job.reserved
    house.people.set_quotas("anna", Quotas(bytes=taken))
    full = post(anna, encoded(seed=1))
    assert full.status_code == 507
    assert "delete some of them" in full.json()["detail"]
    house.people.set_quotas("anna", Quotas(bytes=taken + 50))
    assert post(anna, encoded(seed=1)).status_code == 507
    assert [path.name for path in (house.folder / "jobs").iterdir()] == [first]
    house.finish(first)
    size = folder_size(house.service.settings.job_folder(first))
    for _ in range(3):
        assert anna.post(f"/v1/jobs/{first}/again", json={}).status_code == 200
    house.people.set_quotas("anna", Quotas(bytes=size + job.reserved + 200_000))
    assert house.people.usage(house.people.all()[0][0]).bytes > 3 * size
    second = post(anna, encoded(seed=1))
    assert second.status_code == 202, second.text
    house.people.set_quotas("anna", Quotas(bytes=0))
    assert post(anna, encoded(seed=2)).status_code == 507


def test_no_quota_is_exceeded_by_sending_at_once(house: House) -> None:
    anna = house.add("anna", quotas=Quotas(daily_jobs=2))
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda n: post(anna, encoded(seed=n)).status_code, range(4)))
    assert sorted(statuses) == [202, 202, 429, 429]


# -- the audit log -----------------------------------------------------------------------------------------


def test_each_act_has_a_line_without_anything_private(tmp_path: Path) -> None:
    house = House(tmp_path, token=SHARED)
    token = house.people.add("anna", Quotas())
    browser = house.browser(token)
    house.client().post("/v1/session", json={"token": "a wrong token"})
    ben = house.add("ben")
    files = [("content", ("private-name.jpg", encoded()))]
    data = {"recipe": json.dumps(TINY), "style_id": "wave"}
    job = browser.post("/v1/jobs", files=files, data=data).json()["id"]
    ben.delete(f"/v1/jobs/{job}")
    ben.delete("/v1/jobs/x%0aforged")
    browser.post(f"/v1/jobs/{job}/cancel")
    browser.post(f"/v1/jobs/{job}/again", json={"recipe": {"seed": 3}})
    browser.delete(f"/v1/jobs/{job}")
    browser.get("/v1/jobs")
    browser.delete("/v1/session")
    lines = house.audit()
    assert [(line["act"], line["person"], line["status"]) for line in lines] == [
        ("sign in", "anna", 204), ("sign in", None, 401), ("paint", "anna", 202), ("delete", "ben", 404),
        ("delete", "ben", 404), ("cancel", "anna", 200), ("paint again", "anna", 202),
        ("delete", "anna", 204), ("sign out", "anna", 204),
    ]  # fmt: skip
    assert lines[2]["job"] == job[:6]
    assert lines[1]["address"] == "testclient"
    assert "address" not in lines[2]
    text = json.dumps(lines)
    for private in (job, token, "private-name", "wave", "a wrong token", "seed"):
        assert private not in text
    (path,) = (tmp_path / "audit").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
