"""The studio's page where people sign in: links, whose pictures are shown, signing out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accessibility import violations
from browsing import DESK, NO_SERVICE_WORKER, PHONE, Visit, picture
from impasto.studio.http.service import StudioService
from impasto.studio.queue.people import Quotas
from serving import finish, served_here

pytest_plugins = ["browsing"]
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, StudioService]]:
    """The address of a studio, and its parts."""
    with served_here(tmp_path_factory.mktemp("studio")) as studio:
        yield studio


@pytest.fixture(scope="module")
def links(service: tuple[str, StudioService]) -> dict[str, str]:
    """The sign-in links of two people."""
    address, parts = service
    return {name: f"{address}/#token={parts.people.add(name, Quotas())}" for name in ("anna", "ben")}


@pytest.fixture
def user(browser: Any, service: tuple[str, StudioService]) -> Iterator[Visit]:
    user = Visit(browser, service[0], **NO_SERVICE_WORKER | DESK)
    user.expected = ("401",)
    yield user
    user.verify()
    user.context.close()


def sign_in(user: Visit, link: str) -> None:
    user.page.goto("about:blank")
    user.page.goto(link)
    user.page.wait_for_selector("#token[open]")
    user.page.click("#token button[type=submit]")
    user.page.wait_for_selector("body[data-ready]")


def test_each_finds_ones_own_pictures_in_a_browser_that_several_use(
    user: Visit, links: dict[str, str], service: tuple[str, StudioService], tmp_path: Path
) -> None:
    page = user.page
    sign_in(user, links["anna"])
    assert page.inner_text("#person") == "anna"
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""
    user.choose(picture(tmp_path / "mine.png"))
    user.style()
    user.paint()
    page.wait_for_selector("#painting:not([hidden])")
    finish(service[1], user.job)
    job = user.finished()
    assert violations(page) == []
    page.click("#to-new")
    page.wait_for_selector("#history li")
    user.choose(picture(tmp_path / "secret.png", seed=3))  # chosen, but not sent
    user.wait_until_stored(lambda draft: draft.get("file") == "secret.png")
    page.click("#sign-out")
    page.wait_for_selector("#token[open]")
    assert page.locator("#frame > *").count() == 0
    assert violations(page) == []
    assert user.get(f"/v1/jobs/{job}").status == 401

    sign_in(user, links["ben"])
    assert page.inner_text("#person") == "ben"
    page.wait_for_timeout(300)
    assert page.locator("#history li").count() == 0
    assert page.locator("#frame > *").count() == 0
    user.expected = ("401", "404")
    user.open(f"/#job/{job}")
    page.wait_for_selector("#form-error:visible")
    assert "no longer here" in page.inner_text("#form-error")
    page.click("#sign-out")
    page.wait_for_selector("#token[open]")

    sign_in(user, links["anna"])
    page.wait_for_selector("#history li")
    assert page.locator("#history li").count() == 1


def test_a_link_does_not_change_who_is_signed_in(user: Visit, links: dict[str, str]) -> None:
    """Otherwise a link from a stranger would have photographs sent to the stranger's account."""
    page = user.page
    sign_in(user, links["anna"])
    page.goto("about:blank")
    page.goto(links["ben"])
    page.wait_for_selector("#connection-message:visible")
    assert "signed in as anna" in page.inner_text("#connection-message")
    assert page.inner_text("#person") == "anna"
    assert "token" not in page.url


def test_signing_out_fits_on_a_phone(
    browser: Any, service: tuple[str, StudioService], links: dict[str, str]
) -> None:
    phone = Visit(browser, service[0], **NO_SERVICE_WORKER | PHONE)
    phone.expected = ("401",)
    sign_in(phone, links["anna"])
    phone.page.set_viewport_size({"width": 320, "height": 700})
    box = phone.page.locator("#sign-out").bounding_box()
    assert box["height"] >= 43.5
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert phone.page.get_attribute("#sign-out", "aria-label") == "Sign out anna"
    phone.verify()
    phone.context.close()
