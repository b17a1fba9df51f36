"""The studio's page where people sign in: links, whose pictures are shown, signing out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accessibility import violations
from browsing import PHONE, TINY, Visit, picture
from impasto.studio.queue.data_folder import open_data_folder
from impasto.studio.queue.people import People, Quotas
from impasto.studio.settings import StudioSettings
from serving import Studio

pytest_plugins = ["browsing"]
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def house(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a studio, and the sign-in links of two people."""
    folder = tmp_path_factory.mktemp("studio")
    with Studio(folder) as studio:
        people = People(open_data_folder(StudioSettings(data=folder)).database)
        tokens = {name: people.add(name, Quotas()) for name in ("anna", "ben")}
        yield studio.url, {name: f"{studio.url}/#token={token}" for name, token in tokens.items()}


@pytest.fixture
def people(browser: Any, house: tuple[str, dict[str, str]]) -> Iterator[tuple[Visit, dict[str, str]]]:
    """A browser, and the sign-in links of two people."""
    address, links = house
    user = Visit(browser, address)
    user.expected = ("401",)
    yield user, links
    user.verify()
    user.context.close()


def sign_in(user: Visit, link: str) -> None:
    user.page.goto("about:blank")
    user.page.goto(link)
    user.page.wait_for_selector("#token[open]")
    user.page.click("#token button[type=submit]")
    user.page.wait_for_selector("body[data-ready]")


def test_each_finds_ones_own_pictures_in_a_browser_that_several_use(
    people: tuple[Visit, dict[str, str]], tmp_path: Path
) -> None:
    user, links = people
    page = user.page
    sign_in(user, links["anna"])
    assert page.inner_text("#person") == "anna"
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""
    user.choose(picture(tmp_path / "mine.png"))
    user.style()
    user.set(TINY)
    user.paint()
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


def test_a_link_does_not_change_who_is_signed_in(people: tuple[Visit, dict[str, str]]) -> None:
    """Otherwise a link from a stranger would have photographs sent to the stranger's account."""
    user, links = people
    page = user.page
    sign_in(user, links["anna"])
    page.goto("about:blank")
    page.goto(links["ben"])
    page.wait_for_selector("#connection-message:visible")
    assert "signed in as anna" in page.inner_text("#connection-message")
    assert page.inner_text("#person") == "anna"
    assert "token" not in page.url


def test_signing_out_fits_on_a_phone(browser: Any, people: tuple[Visit, dict[str, str]]) -> None:
    user, links = people
    phone = Visit(browser, user.base, **PHONE)
    phone.expected = ("401",)
    sign_in(phone, links["anna"])
    phone.page.set_viewport_size({"width": 320, "height": 700})
    box = phone.page.locator("#sign-out").bounding_box()
    assert box["height"] >= 43.5
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert phone.page.get_attribute("#sign-out", "aria-label") == "Sign out anna"
    phone.verify()
    phone.context.close()
