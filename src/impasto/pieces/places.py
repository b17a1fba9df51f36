"""The places where pieces can be worked on, by name."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from impasto.errors import RecipeError
from impasto.pieces.cluster import RayExecutor, room_for
from impasto.pieces.connection import connected, is_reachable, require_ray
from impasto.pieces.local import local_executor
from impasto.pieces.piece import Executor, Needs

__all__ = ["check_cluster", "device_at", "executor_for", "resolved", "room_at"]


def resolved(on: str) -> str:
    """``auto`` as ``ray`` if a Ray runs already, otherwise as ``local``; other places as they are."""
    if on != "auto":
        return on
    return "ray" if is_reachable() else "local"


def executor_for(
    on: str, pieces: int, *, processes: int = 0, device: str = "auto", needs: Needs | None = None
) -> Executor:
    """The executor for a place.

    Args:
        on: ``local``, processes of this machine; ``ray``, the Ray that runs on this machine, or one that is
            started; ``ray://host:port``, a Ray cluster; ``auto``, a Ray that runs already, or else ``local``.
        pieces: how many there are.
        processes: of ``local``; 0: as the machine allows, see :func:`impasto.pieces.local.local_executor`.
        device: ``auto``, ``cpu``, ``cuda`` …
        needs: what one piece takes of a machine.

    Raises:
        RecipeError: no such place, or more processes than none.
        ImpastoError: Ray is not installed.
    """
    on = resolved(on)
    if on == "local":
        return local_executor(pieces, processes=processes, device=device, needs=needs)
    if on == "ray" or on.startswith("ray://"):
        require_ray()
        return RayExecutor(_address(on), needs or Needs())
    raise RecipeError(
        f"a place called {on!r}", "possible are local, ray, ray://HOST:PORT and auto", "leave --on out"
    )


def device_at(on: str, device: str, gpus: float) -> str:
    """The device that a piece works on: on a cluster a GPU only where pieces ask for one.

    Otherwise Ray would have as many of them share a GPU as its machine has cores.

    Args:
        on: see :func:`executor_for`.
        device: as the caller wants it: ``auto``, ``cpu``, ``cuda`` …
        gpus: that a piece asks for.

    Raises:
        RecipeError: a GPU that no piece asks for, or less of one than nothing.
    """
    if gpus < 0:
        raise RecipeError(f"{gpus:g} GPUs for each piece", "0 or more; 0.5 shares one between two")
    if on == "local" and gpus:
        raise RecipeError(
            f"{gpus:g} GPUs for each piece without a cluster", "only with --on ray", "choose with --device"
        )
    if on == "local" or gpus or device == "cpu":
        return device
    if device != "auto":
        raise RecipeError(
            f"device {device!r} on a cluster", "auto or cpu", "ask for GPUs with --gpus-per-piece"
        )
    return "cpu"


def room_at(on: str, needs: Needs) -> int:
    """How many pieces a cluster can work on at a time.

    Args:
        on: ``ray`` or ``ray://host:port``.
    """
    with connected(_address(on)):
        return room_for(needs)


def check_cluster(on: str, needs: Needs) -> None:
    """Raise ``ImpastoError`` if pieces with such needs cannot be worked on there.

    In a process of its own, because Ray leaves threads and signal handlers behind.

    Args:
        on: ``ray`` or ``ray://host:port``.
    """
    require_ray()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(RayExecutor(_address(on), needs).check).result()


def _address(on: str) -> str | None:
    return None if on == "ray" else on
