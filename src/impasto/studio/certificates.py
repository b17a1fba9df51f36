"""The certificate for HTTPS: the studio's own, which it makes and renews itself, or one from given files."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.errors import RecipeError
from impasto.files import replacing, write_atomically
from impasto.studio.settings import LOOPBACK_HOSTS, StudioSettings

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = [
    "Certificate",
    "certificate_names",
    "current_certificate",
    "given_certificate",
    "keep_current",
    "lan_host",
    "own_certificate",
]

#: Browsers refuse certificates that are valid for longer than 398 days.
_VALID = timedelta(days=397)
_RENEWED_BEFORE = timedelta(days=30)
#: For devices whose clocks are slow.
_BACKDATED = timedelta(days=1)
_CHECK_SECONDS = 3600.0

log = logging.getLogger("impasto.studio")


@dataclass(frozen=True)
class Certificate:
    """A certificate's files and what they say.

    Attributes:
        path: PEM file with the certificate, and those between it and its authority.
        key: PEM file with the private key.
        fingerprint: SHA-256 of the certificate: pairs of hexadecimal digits, joined by colons.
        names: host names and addresses that it is valid for.
        expires: when it ends, in UTC.
    """

    path: Path
    key: Path
    fingerprint: str
    names: frozenset[str]
    expires: datetime


def current_certificate(settings: StudioSettings) -> Certificate:
    """The certificate to serve now: the given one, or the studio's own, made or renewed where needed.

    Raises:
        RecipeError: the files cannot be read, written or used.
    """
    if settings.certificate is not None:
        return given_certificate(settings.certificate, settings.key or settings.certificate)
    return own_certificate(settings.data / "tls", certificate_names(settings))


def keep_current(
    context: ssl.SSLContext,
    served: Certificate,
    current: Callable[[], Certificate],
    seconds: float = _CHECK_SECONDS,
) -> threading.Event:
    """Look from time to time whether there is another certificate, and use it for new connections.

    Args:
        context: of the running server.
        served: what it serves now.
        current: what it should serve.
        seconds: between two looks.

    Returns:
        An event that ends it.
    """
    ended = threading.Event()

    def run() -> None:
        fingerprint = served.fingerprint
        while not ended.wait(seconds):
            try:
                found = current()
                if found.fingerprint != fingerprint:
                    context.load_cert_chain(found.path, found.key)
                    fingerprint = found.fingerprint
                    log.warning("new certificate, SHA-256 %s", fingerprint)
            except (RecipeError, OSError) as error:
                log.warning("the certificate cannot be renewed: %s", error)

    threading.Thread(target=run, name="certificate", daemon=True).start()
    return ended


# -- names --------------------------------------------------------------------------------------------------


def certificate_names(settings: StudioSettings) -> frozenset[str]:
    """Host names and addresses under which clients may reach the studio."""
    names = {*LOOPBACK_HOSTS, *settings.public_name}
    if not settings.loopback:
        host = socket.gethostname()
        names |= {host, f"{host.partition('.')[0]}.local"}  # .local: for networks without a name server
        names |= set(_lan_addresses()) if _is_unspecified(settings.host) else {settings.host}
    return frozenset(map(_as_in_certificates, names))


def _as_in_certificates(name: str) -> str:
    """An address in its usual form, or a host name in lower case and ASCII."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return (name if name.isascii() else name.encode("idna").decode()).lower()


def lan_host(host: str) -> str:
    """The host to type on another device: the machine's own address where it listens at all of them."""
    if not _is_unspecified(host):
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: chooses the interface, sends nothing
            return str(probe.getsockname()[0])
        except OSError:  # no route leads out
            return next(iter(_lan_addresses()), host)


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _lan_addresses() -> list[str]:
    """Addresses of this machine's interfaces, IPv4 first; none that hold only on one cable."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    found = [
        ipaddress.ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families
    ]
    outer = [address for address in found if not (address.is_loopback or address.is_link_local)]
    return [str(address) for address in sorted(outer, key=lambda address: address.version)]


# -- the studio's own certificate ---------------------------------------------------------------------------


def own_certificate(folder: Path, names: Iterable[str]) -> Certificate:
    """The certificate in ``folder``; made if there is none, if it ends soon, or if it lacks a name.

    A certificate that is made because the machine has got another address keeps the names of the one
    before, so that a machine with two homes does not get a new one at each move.

    Raises:
        RecipeError: the files cannot be written.
    """
    wanted = frozenset(names)
    path, key = folder / "certificate.pem", folder / "key.pem"
    try:
        known = given_certificate(path, key)
        if datetime.now(timezone.utc) + _RENEWED_BEFORE < known.expires:
            if wanted <= known.names:
                return known
            wanted |= known.names
    except RecipeError:
        pass  # missing, damaged or too old: replaced
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate_pem, key_pem = _self_signed(wanted)
        _write_secret(key, key_pem)
        write_atomically(path, certificate_pem)
    except OSError as error:
        raise RecipeError(
            f"'{folder}' cannot be written: {error.strerror}", remedy="choose another --data"
        ) from None
    return given_certificate(path, key)


def _write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    with (
        replacing(path) as partial,
        os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
    ):
        file.write(data)


def _self_signed(names: Iterable[str]) -> tuple[bytes, bytes]:
    """A new certificate and its key, in PEM. It can sign no other: who trusts it trusts one server."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Impasto studio")])
    now = datetime.now(timezone.utc)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now - _BACKDATED + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


# -- given files --------------------------------------------------------------------------------------------


def given_certificate(path: Path, key: Path) -> Certificate:
    """Read a certificate and its key, and check that a server can use them now.

    Args:
        path: PEM file, the server's certificate first.
        key: PEM file without a passphrase; may be the same file.

    Raises:
        RecipeError: a file cannot be read or is something else, the two do not belong together, or the
            certificate is not valid now.
    """
    from cryptography.hazmat.primitives import hashes

    certificate, private_key = _read_certificate(path), _read_key(key)
    if certificate.public_key() != private_key.public_key():
        raise RecipeError(
            f"'{key}' is not the key of '{path}'", "the key that the certificate was made for",
            "check --certificate and --key",
        )  # fmt: skip
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= datetime.now(timezone.utc) <= ends:
        got = f"'{path}' is valid only from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}"
        raise RecipeError(got, "a certificate that is valid today", "renew it, or check this machine's clock")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key)
    except ssl.SSLError as error:
        raise RecipeError(
            f"'{path}' cannot be used: {error.reason}", remedy="choose another --certificate"
        ) from None
    return Certificate(
        path, key, certificate.fingerprint(hashes.SHA256()).hex(":").upper(), _names_in(certificate), ends
    )


def _read_certificate(path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_read(path, "--certificate"))[0]
    except ValueError:
        raise RecipeError(
            f"'{path}' has no certificate",
            "a PEM file (-----BEGIN CERTIFICATE-----)",
            "choose another --certificate",
        ) from None


def _read_key(path: Path) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(_read(path, "--key"), None)
    except TypeError:
        got = f"the key in '{path}' has a passphrase, for which a server cannot ask"
        raise RecipeError(got, remedy="remove it with `openssl pkey -in KEY -out NEW`") from None
    except ValueError:
        raise RecipeError(
            f"'{path}' has no private key", "a PEM file (-----BEGIN PRIVATE KEY-----)", "choose another --key"
        ) from None


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecipeError(
            f"'{path}' cannot be read: {error.strerror}", remedy=f"choose another {flag}"
        ) from None


def _names_in(certificate: x509.Certificate) -> frozenset[str]:
    """Its alternative names, as they are written in addresses."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = (str(address) for address in found.get_values_for_type(x509.IPAddress))
    return frozenset((*found.get_values_for_type(x509.DNSName), *addresses))
