"""HTTPS: the studio's own certificate, given files, and a started studio that is reached over TLS."""

from __future__ import annotations

import hashlib
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from impasto.errors import RecipeError
from impasto.studio import certificates
from impasto.studio.certificates import (
    certificate_names,
    current_certificate,
    given_certificate,
    keep_current,
    lan_host,
    own_certificate,
)
from impasto.studio.client import Client, StudioError
from impasto.studio.settings import StudioSettings
from serving import Studio

pytest.importorskip("cryptography", reason="no cryptography: pip install '.[https]'")

NAMES = ("localhost", "127.0.0.1", "::1", "painter.local")


def digest(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest().upper()


def test_its_own_certificate_is_kept_and_its_key_is_secret(tmp_path: Path) -> None:
    made = own_certificate(tmp_path / "tls", NAMES)
    assert made.names == set(NAMES)
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.key.parent.stat().st_mode) == 0o700
    der = ssl.PEM_cert_to_DER_cert(made.path.read_text(encoding="ascii"))
    assert made.fingerprint.replace(":", "") == digest(der)
    days = (made.expires - datetime.now(timezone.utc)) / timedelta(days=1)
    assert 300 < days < 398
    assert own_certificate(tmp_path / "tls", NAMES[:2]) == made
    assert {path.name for path in made.key.parent.iterdir()} == {"certificate.pem", "key.pem"}


def test_it_is_renewed_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_VALID", timedelta(days=30))
    soon = own_certificate(tmp_path, [*NAMES, "192.0.2.7"])
    monkeypatch.undo()
    renewed = own_certificate(tmp_path, NAMES)
    assert renewed.expires > soon.expires + timedelta(days=300)
    assert renewed.names == set(NAMES)  # a former address is dropped
    assert stat.S_IMODE(renewed.key.stat().st_mode) == 0o600


def test_a_new_address_is_added_to_those_before(tmp_path: Path) -> None:
    own_certificate(tmp_path, [*NAMES, "192.0.2.7"])
    added = own_certificate(tmp_path, [*NAMES, "198.51.100.4"])
    assert added.names == {*NAMES, "192.0.2.7", "198.51.100.4"}
    assert own_certificate(tmp_path, [*NAMES, "192.0.2.7"]) == added


@pytest.mark.parametrize("damage", ["certificate.pem", "key.pem"])
def test_damaged_files_are_replaced(tmp_path: Path, damage: str) -> None:
    first = own_certificate(tmp_path, NAMES)
    other = own_certificate(tmp_path / "other", NAMES)
    (tmp_path / damage).write_bytes((other.path.parent / damage).read_bytes())  # of another pair
    second = own_certificate(tmp_path, NAMES)
    (tmp_path / damage).write_text("half a fi")
    third = own_certificate(tmp_path, NAMES)
    assert len({first.fingerprint, second.fingerprint, third.fingerprint}) == 3


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(RecipeError, match="cannot be written"):
        own_certificate(tmp_path / "tls", NAMES)


def test_names_are_those_that_clients_use() -> None:
    assert certificate_names(StudioSettings()) == {"localhost", "127.0.0.1", "::1"}
    one = certificate_names(StudioSettings(host="192.168.1.4", public_name=("Käse.example", "2001:DB8::1")))
    assert {"192.168.1.4", "xn--kse-qla.example", "2001:db8::1", "localhost"} <= one
    everywhere = certificate_names(StudioSettings(host="0.0.0.0"))
    assert socket.gethostname().lower() in everywhere
    assert lan_host("0.0.0.0") in everywhere | {"0.0.0.0"}  # a machine without a network
    assert lan_host("192.168.1.4") == "192.168.1.4"
    assert not any(name.startswith(("fe80", "169.254")) for name in everywhere)


# -- given files --------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    return own_certificate(tmp_path / "given", NAMES)


def test_both_parts_may_be_in_one_file(tmp_path: Path, pair: Any) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair.path.read_bytes() + pair.key.read_bytes())
    assert current_certificate(StudioSettings(certificate=both)).fingerprint == pair.fingerprint
    given = StudioSettings(certificate=pair.path, key=pair.key)
    assert given.serves_https
    assert current_certificate(given) == pair


def test_wrong_files_are_refused_in_one_line(tmp_path: Path, pair: Any) -> None:
    from cryptography.hazmat.primitives import serialization

    other = own_certificate(tmp_path / "other", NAMES)
    text = tmp_path / "text.pem"
    text.write_text("This is no certificate.")
    locked = tmp_path / "locked.pem"
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )  # fmt: skip
    for certificate, its_key, words in (
        (tmp_path / "none.pem", pair.key, "No such file"),
        (tmp_path, pair.key, "Is a directory"),
        (text, pair.key, "BEGIN CERTIFICATE"),
        (pair.key, pair.key, "BEGIN CERTIFICATE"),
        (pair.path, text, "BEGIN PRIVATE KEY"),
        (pair.path, pair.path, "BEGIN PRIVATE KEY"),
        (pair.path, tmp_path / "none.pem", "another --key"),
        (pair.path, other.key, "is not the key of"),
        (pair.path, locked, "passphrase"),
    ):
        with pytest.raises(RecipeError, match=words) as caught:
            given_certificate(certificate, its_key)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("valid", "backdated"), [(10, 20), (10, -5)])
def test_a_certificate_that_is_not_valid_now_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valid: int, backdated: int
) -> None:
    monkeypatch.setattr(certificates, "_VALID", timedelta(days=valid))
    monkeypatch.setattr(certificates, "_BACKDATED", timedelta(days=backdated))
    certificate, key = certificates._self_signed(NAMES)
    (tmp_path / "both.pem").write_bytes(certificate + key)
    with pytest.raises(RecipeError, match=r"valid only from \d{4}-\d\d-\d\d to .*clock"):
        given_certificate(tmp_path / "both.pem", tmp_path / "both.pem")


# -- served -------------------------------------------------------------------------------------------------


def presented(port: int) -> str:
    """Digest of the certificate that a server presents."""
    return digest(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=10)))


def test_a_running_server_takes_up_a_new_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (own_certificate(tmp_path / name, NAMES) for name in ("old", "new"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(old.path, old.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed at the end of the test
                    return
                # Between the loading of the new certificate and that of its key a handshake fails.
                with (
                    connection,
                    suppress(ssl.SSLError),
                    context.wrap_socket(connection, server_side=True) as secure,
                ):
                    secure.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        assert presented(port) == old.fingerprint.replace(":", "")
        answers: Iterator[Any] = iter([RecipeError("the disk is away"), old])

        def current() -> Any:
            answer = next(answers, new)
            if isinstance(answer, Exception):
                raise answer
            return answer

        ended = keep_current(context, old, current, seconds=0.01)
        end = time.monotonic() + 20
        seen = ""
        while seen != new.fingerprint.replace(":", ""):
            assert time.monotonic() < end
            with suppress(ssl.SSLError):
                seen = presented(port)
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)


def qr_text(printed: str) -> str:
    """What the QR code of half blocks says, read by OpenCV from its picture."""
    lines = [line for line in printed.splitlines() if set(line) & set("▀▄█") and set(line) <= set("▀▄█ ")]
    rows = [[c in cells for c in line] for line in lines for cells in ("▀█", "▄█")]
    image = np.kron(np.array(rows, np.uint8) * 255, np.ones((8, 8), np.uint8))
    return str(cv2.QRCodeDetector().detectAndDecode(image)[0])


@pytest.mark.slow
def test_a_studio_over_tls(tmp_path: Path) -> None:
    """It is reached at the address that it prints by who has its certificate, and by nobody else."""
    token = "a rather long secret"
    studio = Studio(tmp_path / "studio", "--https", "--host", "0.0.0.0", "--token", token)
    try:
        studio.start(ready=False)
        assert studio.url.startswith("https://")
        certificate = tmp_path / "studio" / "tls" / "certificate.pem"
        assert stat.S_IMODE(certificate.with_name("key.pem").stat().st_mode) == 0o600
        printed = "".join(studio.output)
        port = int(studio.url.rpartition(":")[2])
        assert f"certificate: {own_certificate(certificate.parent, []).fingerprint}\n" in printed
        assert presented(port) in printed.replace(":", "")
        assert qr_text(printed) == f"{studio.url}/"

        session = studio.http.post("/v1/session", json={"token": token})
        assert session.status_code == 204
        assert "secure" in session.headers["set-cookie"].lower()
        assert studio.http.get(f"https://localhost:{port}/healthz").status_code == 200
        with Client(studio.url, token, certificate=certificate) as client:
            assert "wave" in client.styles()
        with Client(studio.url, token) as stranger, pytest.raises(StudioError, match="does not know"):
            stranger.styles()
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/healthz")
        own_certificate(tmp_path, NAMES)  # of another studio
        with (
            Client(studio.url, token, certificate=tmp_path / "certificate.pem") as wrong,
            pytest.raises(StudioError, match="does not know"),
        ):
            wrong.styles()
    finally:
        studio.stop()


def test_a_client_needs_a_certificate_file_that_is_one(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    for name, words in (("text.pem", "no certificate"), ("none.pem", "No such file")):
        with pytest.raises(StudioError, match=words):
            Client("https://127.0.0.1:9", certificate=tmp_path / name)
