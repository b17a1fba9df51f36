"""The studio's page with the static site's network, as a phone reaches it: over HTTPS in a LAN."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import impasto
from browsing import CHROMIUM, SWITCHES, Visit, first_look
from serving import pixels, served_here

pytest_plugins = ["browsing", "built_site"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def studio(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A studio with the site, which paints no first looks itself, and the folder of its data.

    At an address of this machine's network.
    """
    data = tmp_path_factory.mktemp("studio")
    with served_here(
        data, web=folder, instant_minute=0, https=True, host="0.0.0.0", insecure=True
    ) as (address, _):  # fmt: skip
        yield address, data


@pytest.fixture(scope="module")
def phone(browser: Any, studio: tuple[str, Path]) -> Iterator[Any]:
    """A browser that takes the studio's certificate and no other."""
    certificate = x509.load_pem_x509_certificate((studio[1] / "tls" / "certificate.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
    switches = [*SWITCHES, f"--ignore-certificate-errors-spki-list={pin}"]
    started = browser.browser_type.launch(executable_path=CHROMIUM, args=switches)
    yield started
    started.close()


def test_first_looks_without_the_studio(phone: Any, studio: tuple[str, Path], tmp_path: Path) -> None:
    """Nothing is sent, and the colours are PyTorch's."""
    address, data = studio
    assert address.startswith("https://")
    user = Visit(phone, address)
    user.expected = ("404",)  # what the studio answers when it is first asked for a look
    page = user.open("/")
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    assert page.evaluate("crossOriginIsolated")  # so WebAssembly has threads
    assert page.evaluate("'mediaDevices' in navigator && 'serviceWorker' in navigator")
    user.choose("coffee")
    user.style("wave")
    page.wait_for_selector("#frame img.instant")
    asked = len(posts)
    shown = page.evaluate("document.querySelector('#frame img.instant').src")
    user.style("mosaic")
    page.wait_for_function(
        "before => (document.querySelector('#frame img.instant')?.src ?? before) !== before", arg=shown
    )
    assert len(posts) == asked <= 1
    mine = first_look(page)
    user.verify()
    user.context.close()
    samples, painting = data / "samples", tmp_path / "painting.png"
    impasto.instant(samples / "coffee.jpg", samples / "mosaic.jpg", size=200, device="cpu").save(painting)
    theirs = pixels(painting.read_bytes())
    assert mine.shape == (133, 200, 3)
    assert theirs.shape == mine.shape
    assert np.abs(mine.mean((0, 1)) - theirs.mean((0, 1))).max() < 6


def test_the_site_is_there_too(phone: Any, studio: tuple[str, Path]) -> None:
    """At /web/, for whoever wants nothing to be sent at all; it can be kept on the phone."""
    user = Visit(phone, studio[0])
    page = user.open("/web/")
    page.wait_for_selector("body[data-offline]")
    page.click("[data-sample=chelsea]")
    page.click("[data-style=wave]")
    page.wait_for_selector("#result-frame canvas")
    user.verify()
    user.context.close()
