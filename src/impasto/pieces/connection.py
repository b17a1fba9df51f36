"""Joins a Ray cluster, or starts one for this machine alone. Needs the extra ``ray``."""

from __future__ import annotations

import importlib
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from impasto.errors import ImpastoError, require_extra
from impasto.pieces.piece import PlaceError

__all__ = ["connect", "connected", "is_reachable", "ray", "require_ray"]

_PROBE_SECONDS = 10.0  # in which a machine has to take a connection


def require_ray() -> None:
    """Raise ``ImpastoError`` if Ray is not installed."""
    require_extra("ray", ("ray",), "work on a cluster", ImpastoError)


def is_reachable() -> bool:
    """Whether Ray is installed and runs on this machine, or where ``RAY_ADDRESS`` says."""
    try:
        require_ray()
        return ray().is_initialized() or _join("auto")
    except ImpastoError:
        return False


def ray() -> Any:
    """The package, imported when it is needed."""
    # Ray reports to its makers otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Unset, Ray hides the GPUs from pieces that ask for none in a way that it announces to give up.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    return importlib.import_module("ray")


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """This process is connected to a cluster; see :func:`connect`."""
    require_ray()
    ours = connect(address)
    try:
        yield
    finally:
        if ours:
            ray().shutdown()


def connect(address: str | None) -> bool:
    """Connect to a cluster unless this process is connected already; returns whether it was not.

    Args:
        address: see :class:`impasto.pieces.cluster.RayExecutor`.

    Raises:
        ImpastoError: nothing answers there, or it has another version.
    """
    if ray().is_initialized():
        return False
    if address is not None:
        if not _join(address):
            raise _no_answer(address)
    elif not _join("auto"):
        if place := os.environ.get("RAY_ADDRESS"):
            raise PlaceError(
                f"no Ray cluster answers at {place}, to which RAY_ADDRESS points",
                remedy="start it, or unset it",
            )
        # Bound to this machine only, and without the dashboard, which is a web server.
        _init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1")
    return True


def _no_answer(address: str) -> PlaceError:
    if _listens(address):
        return PlaceError(
            f"something takes connections at {address}, but no Ray cluster answers in time",
            "the port of `--ray-client-server-port`, usually 10001",
            "see whether its head is too busy, with `ray status`",
        )
    return PlaceError(
        f"no Ray cluster answers at {address}",
        "ray://HOST:PORT, usually with port 10001",
        "start one there with `ray start --head --ray-client-server-port 10001`",
    )


def _join(address: str) -> bool:
    """Connect to a running cluster; False if there is none at the address."""
    if not _listens(os.environ.get("RAY_ADDRESS", "") if address == "auto" else address):
        return False
    try:
        _init(address=address)
    except ConnectionError:
        return False
    return True


def _listens(address: str) -> bool:
    """Whether something takes connections at ``ray://host:port`` or ``host:port``; True for other addresses.

    Ray itself tries for one to four minutes, and reports each failure on the screen.
    """
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        host, port = place.hostname, place.port
    except ValueError:  # of a port that is no number: Ray says what is wrong
        return True
    if not host or not port:
        return place.scheme != "ray"
    try:
        socket.create_connection((host, port), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def _init(**options: Any) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a connection that times out, which is reported below
            ray().init(log_to_driver=False, logging_level="ERROR", **options)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - Ray raises plain ones too, such as for a start that is too slow
        message = " ".join(str(error).split())
        if "ersion mismatch" in message:
            raise ImpastoError(
                message, remedy="use the same versions of Ray and Python on all machines"
            ) from None
        raise ImpastoError(f"Ray cannot be used: {message[:300]}") from None
