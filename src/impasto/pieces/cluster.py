"""Works on pieces on the machines of a Ray cluster. Files with a path travel through Ray's object store.

Ray repeats a piece whose machine is lost. The machines need no folder that all of them share, but each needs
Impasto installed. Needs the extra ``ray``.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from impasto import __version__
from impasto.errors import ImpastoError, require_extra
from impasto.files import readable_size
from impasto.machine import keep_memory
from impasto.pieces.parcels import Parcels
from impasto.pieces.piece import Files, Needs, Outcome, Piece, attempt

__all__ = ["RayExecutor", "is_reachable"]

#: How often Ray repeats a piece whose machine or process was lost.
RETRIES = 3
#: Seconds after which the size of the cluster is looked at again, and that it has for its first answer.
LOOK_AGAIN, PATIENCE = 10.0, 120.0
#: Files that stay in the object store at most while no piece on the cluster needs them.
IDLE_FILES = 32

#: Pieces that are sent together, with their indices.
Parcel: TypeAlias = list[tuple[int, Piece]]


@dataclass(frozen=True)
class RayExecutor:
    """A Ray cluster.

    Attributes:
        address: ``ray://host:port``; None: the Ray that runs on this machine, or one that is started.
        needs: what one piece takes of a machine; Ray puts no more on one than it has.
    """

    address: str | None
    needs: Needs

    def run(self, pieces: Iterable[Piece], report: Callable[[int, float], None]) -> Generator[Outcome]:
        """See :class:`impasto.pieces.piece.Executor`. There is no progress within a piece."""
        require_ray()
        ours = connect(self.address)
        try:
            _check_cluster(self.needs)
            yield from _Run(pieces, self.needs).outcomes()
        finally:
            if ours:
                _ray().shutdown()


def require_ray() -> None:
    """Raise ``ImpastoError`` if Ray is not installed."""
    require_extra("ray", ("ray",), "work on a cluster", ImpastoError)


def is_reachable() -> bool:
    """Whether Ray is installed and runs on this machine, or where ``RAY_ADDRESS`` says."""
    try:
        require_ray()
        return _ray().is_initialized() or _join("auto")
    except ImpastoError:
        return False


def _ray() -> Any:
    # Ray reports to its makers otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Unset, Ray hides the GPUs from pieces that ask for none in a way that it announces to give up.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    return ray


def connect(address: str | None) -> bool:
    """Connect to a cluster unless this process is connected already; returns whether it was not.

    Args:
        address: see :class:`RayExecutor`.

    Raises:
        ImpastoError: nothing answers there, or it has another version.
    """
    if _ray().is_initialized():
        return False
    if address is not None:
        if not _join(address):
            raise ImpastoError(
                f"no Ray cluster answers at {address}",
                "ray://HOST:PORT, usually with port 10001",
                "start one there with `ray start --head --ray-client-server-port 10001`",
            )
    elif not _join("auto"):
        if place := os.environ.get("RAY_ADDRESS"):
            raise ImpastoError(
                f"no Ray cluster answers at {place}, to which RAY_ADDRESS points",
                remedy="start it, or unset it",
            )
        # Bound to this machine only, and without the dashboard, which is a web server.
        _init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1")
    return True


def _join(address: str) -> bool:
    """Connect to a running cluster; False if there is none at the address."""
    try:
        _init(address=address)
    except ConnectionError:
        return False
    return True


def _init(**options: Any) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a connection that times out, which is reported below
            _ray().init(log_to_driver=False, logging_level="ERROR", **options)
    except ConnectionError:
        raise
    except (RuntimeError, ValueError, ImportError) as error:
        message = " ".join(str(error).split())
        if "ersion mismatch" in message:
            raise ImpastoError(
                message, remedy="use the same versions of Ray and Python on all machines"
            ) from None
        raise ImpastoError(f"Ray cannot be used: {message[:300]}") from None


def _work(
    pieces: Sequence[Piece], paths: Sequence[Path], threads: int, *contents: bytes
) -> tuple[list[Outcome], float]:
    """Work on pieces on a machine of the cluster; returns their outcomes in order, and the seconds taken."""
    torch.set_num_threads(threads)
    keep_memory()
    begin, files = time.monotonic(), Files(dict(zip(paths, contents, strict=True)))
    outcomes = [attempt(index, piece, files, lambda share: None) for index, piece in enumerate(pieces)]
    return outcomes, time.monotonic() - begin


def _versions() -> tuple[str, str]:
    return __version__, torch.__version__


def _check_cluster(needs: Needs) -> None:
    """Raise ``ImpastoError`` if no machine is large enough for a piece, or Impasto is not the same there."""
    machines = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
    if not any(_slots(machine, needs) >= 1 for machine in machines):
        wanted = ", ".join(f"{name} {_in_words(name, value)}" for name, value in _resources(needs).items())
        best: dict[str, float] = max(machines, key=lambda machine: machine.get("CPU", 0.0), default={})
        offered = ", ".join(
            f"{name} {_in_words(name, best.get(name, 0.0))}" for name in _resources(needs) if name in best
        )
        raise ImpastoError(
            f"no machine of the cluster is large enough for one piece, which needs {wanted}",
            f"the largest has {offered}" if offered else "",
            "paint smaller, or add a larger machine",
        )
    try:
        there = _ray().get(_ray().remote(_versions).options(num_cpus=0).remote(), timeout=PATIENCE)
    except Exception as error:  # noqa: BLE001 - whatever it is, the cluster cannot run Impasto
        raise ImpastoError(
            f"Impasto does not run on the cluster: {' '.join(str(error).split())[-200:]}",
            remedy=f"install impasto {__version__} on each of its machines",
        ) from None
    if there[0] != __version__:
        raise ImpastoError(
            f"the cluster has impasto {there[0]}, this machine {__version__}",
            remedy="install the same version on all machines",
        )


def _resources(needs: Needs) -> dict[str, float]:
    """What Ray is told about a piece, by Ray's names; what is 0 is left out."""
    wanted = {"CPU": float(needs.threads), "memory": float(int(needs.memory)), "GPU": needs.gpus}
    return {name: value for name, value in wanted.items() if value}


def _in_words(name: str, value: float) -> str:
    return readable_size(int(value)) if name == "memory" else f"{value:g}"


def _slots(offered: Mapping[str, float], needs: Needs) -> int:
    """How many pieces fit into what a machine, or a cluster, offers."""
    return min(int(offered.get(name, 0.0) / value) for name, value in _resources(needs).items())


class _FileStore:
    """The contents of files in Ray's object store: of those that pieces on the cluster need, and a few more.

    So what many pieces need, such as a style, is stored once.
    """

    def __init__(self) -> None:
        self._used: dict[Path, tuple[Any, int]] = {}  # path → reference, and number of pieces
        self._idle: OrderedDict[Path, Any] = OrderedDict()

    def references(self, paths: Sequence[Path]) -> dict[Path, Any]:
        """References to the contents of files, which are stored if they are not.

        Raises:
            PictureError: one cannot be read.
        """
        for path in paths:
            if path not in self._used and path not in self._idle:
                self._idle[path] = _ray().put(Files().read(path))
        for path in paths:
            reference, uses = self._used.get(path) or (self._idle.pop(path), 0)
            self._used[path] = (reference, uses + 1)
        return {path: self._used[path][0] for path in paths}

    def release(self, paths: Sequence[Path]) -> None:
        """Record that a piece has ended, and let the store drop what nobody has needed for a while."""
        for path in paths:
            reference, uses = self._used.pop(path)
            if uses > 1:
                self._used[path] = (reference, uses - 1)
            else:
                self._idle[path] = reference
        while len(self._idle) > IDLE_FILES:
            self._idle.popitem(last=False)

    def clear(self) -> None:
        """Let the store drop everything."""
        self._used.clear()
        self._idle.clear()


class _Run:
    """One run of pieces on the connected cluster."""

    def __init__(self, pieces: Iterable[Piece], needs: Needs) -> None:
        self.needs, self.parcels, self.files = needs, Parcels(pieces), _FileStore()
        self.running: dict[Any, Parcel] = {}  # reference to the outcomes of a parcel → its pieces
        wanted = _resources(needs)
        self.task = _ray().remote(_work).options(
            num_cpus=wanted.get("CPU", 0),
            num_gpus=wanted.get("GPU", 0),
            memory=wanted.get("memory"),
            max_retries=RETRIES,
        )  # fmt: skip
        self._slots, self._looked = 1, -LOOK_AGAIN

    def outcomes(self) -> Generator[Outcome]:
        """What became of each piece, in the order in which they end."""
        try:
            while True:
                # No more than twice what fits, so that the store does not fill with pictures that wait.
                while len(self.running) < 2 * self._capacity():
                    if not (parcel := self.parcels.take(self._capacity())):
                        break
                    yield from self._submit(parcel)
                if not self.running:
                    return
                for reference in self._ready():
                    yield from self._finished(reference)
        except (ConnectionError, _ray().exceptions.RaySystemError) as error:
            raise ImpastoError(
                f"the Ray cluster has failed: {' '.join(str(error).split())[:200]}",
                "everything that was finished is kept",
                "run the same command again",
            ) from None
        finally:
            self._cancel()

    def _ready(self) -> list[Any]:
        """References to all parcels that are done, once there is one; none after a second of waiting.

        All at once, because a look at thousands that run costs more than one outcome.
        """
        running = list(self.running)
        ready, _ = _ray().wait(running, num_returns=1, timeout=1.0, fetch_local=False)
        if ready:
            ready, _ = _ray().wait(running, num_returns=len(running), timeout=0, fetch_local=False)
        return list(ready)

    def _capacity(self) -> int:
        """How many parcels the cluster can work on at a time; machines may come and go."""
        if (now := time.monotonic()) - self._looked > LOOK_AGAIN:
            self._slots = max(1, _slots(_ray().cluster_resources(), self.needs))
            self._looked = now
        return self._slots

    def _submit(self, parcel: Parcel) -> Generator[Outcome]:
        """Send a parcel to the cluster; yields an outcome for each piece whose files cannot be read."""
        references: dict[Path, Any] = {}
        readable = []
        for index, piece in parcel:
            try:
                references |= self.files.references(piece.inputs())
                readable.append((index, piece))
            except ImpastoError as error:
                yield Outcome(index, error=str(error))
        if readable:
            pieces = [piece for _, piece in readable]
            reference = self.task.remote(pieces, list(references), self.needs.threads, *references.values())
            self.running[reference] = readable

    def _finished(self, reference: Any) -> Generator[Outcome]:
        """The outcomes of a parcel. If Ray gives up on one of several pieces, each is sent again alone."""
        parcel = self.running.pop(reference)
        for _, piece in parcel:
            self.files.release(piece.inputs())
        try:
            outcomes, seconds = _ray().get(reference)
        except _ray().exceptions.RaySystemError:
            raise
        except _ray().exceptions.RayError as error:
            if len(parcel) > 1:
                for each in parcel:
                    yield from self._submit([each])
                return
            reason = " ".join(str(error).split())[:200]
            failed = f"the cluster gave up on it: {type(error).__name__}: {reason}"
            outcomes, seconds = [Outcome(0, error=failed)], 0.0
        self.parcels.ended(len(parcel), seconds)
        for (index, _), outcome in zip(parcel, outcomes, strict=True):
            yield Outcome(index, outcome.result, outcome.error)

    def _cancel(self) -> None:
        """End the pieces that are still being worked on, as after Ctrl-C."""
        for reference in self.running:
            with suppress(Exception):  # the cluster may be gone
                _ray().cancel(reference, force=True)
        self.running.clear()
        self.files.clear()
