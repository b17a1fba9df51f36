"""Works on pieces on the machines of a Ray cluster. Files with a path travel through Ray's object store.

Ray repeats a piece whose machine is lost. The machines need no folder that all of them share, but each needs
Impasto installed. Needs the extra ``ray``.
"""

from __future__ import annotations

import math
import platform
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from impasto import __version__
from impasto.errors import ImpastoError
from impasto.files import readable_size
from impasto.machine import keep_memory
from impasto.pieces.connection import connected, ray
from impasto.pieces.parcels import LARGEST_PARCEL, Parcels
from impasto.pieces.piece import Files, Needs, Outcome, Piece, PlaceError, attempt

__all__ = ["RayExecutor", "fitting", "room_for"]

#: How often Ray repeats a piece whose machine or process was lost.
RETRIES = 3
#: Seconds after which the size of the cluster is looked at again, and that it has for its first answer.
LOOK_AGAIN, PATIENCE = 10.0, 120.0
#: Files that stay in the object store at most while no piece on the cluster needs them.
IDLE_FILES = 32
#: Share of an object store that the files of pieces may take: Ray moves to the disk what does not fit.
STORE_SHARE = 0.5
#: Parcels that may wait on the cluster, however many pieces are in them.
FEW = 4

#: Pieces that are sent together, with their indices.
Parcel: TypeAlias = list[tuple[int, Piece]]


@dataclass(frozen=True)
class RayExecutor:
    """A Ray cluster.

    Attributes:
        address: ``ray://host:port``; None: the Ray that runs on this machine, or one that is started.
        needs: what one piece takes of a machine; Ray puts no more on one than it has.
        checked: whether the cluster is known to be large enough, and to have the same Impasto.
    """

    address: str | None
    needs: Needs
    checked: bool = False

    def run(self, pieces: Iterable[Piece], report: Callable[[int, float], None]) -> Generator[Outcome]:
        """See :class:`impasto.pieces.piece.Executor`. There is no progress within a piece."""
        with connected(self.address):
            if not self.checked:
                _check_cluster(self.needs)
            yield from _Run(pieces, self.needs, report).outcomes()

    def check(self) -> None:
        """Raise ``ImpastoError`` if nothing can be worked on there."""
        with connected(self.address):
            _check_cluster(self.needs)


@dataclass(frozen=True)
class _Machine:
    """A machine by its name and by what must be the same on all.

    Attributes:
        torch: PyTorch's version without what it was built for, such as ``+cpu``.
    """

    name: str = field(compare=False)
    impasto: str
    torch: str

    def require_same(self, there: _Machine) -> None:
        """Raise ``PlaceError`` if another machine has other versions."""
        for package, ours, theirs in (
            ("impasto", self.impasto, there.impasto),
            ("PyTorch", self.torch, there.torch),
        ):
            if ours != theirs:
                raise PlaceError(
                    f"{there.name} of the cluster has {package} {theirs}, this machine {ours}",
                    remedy="install the same version on all machines",
                )


def _this_machine() -> _Machine:
    return _Machine(platform.node(), __version__, torch.__version__.partition("+")[0])


def _work(
    wanted: _Machine, pieces: Sequence[Piece], paths: Sequence[Path], threads: int, *contents: bytes
) -> tuple[_Machine, list[Outcome], float]:
    """Work on pieces on a machine of the cluster, unless it has other versions than are wanted.

    Returns:
        The machine, the outcomes in order, and the seconds taken.
    """
    begin, here = time.monotonic(), _this_machine()
    if here != wanted:
        return here, [], 0.0
    torch.set_num_threads(threads)
    keep_memory()
    files = Files(dict(zip(paths, contents, strict=True)))
    outcomes = [attempt(index, piece, files, lambda share: None) for index, piece in enumerate(pieces)]
    return here, outcomes, time.monotonic() - begin


def _check_cluster(needs: Needs) -> None:
    """Raise ``ImpastoError`` if no machine is large enough for a piece, or Impasto is not the same there."""
    machines = [node["Resources"] for node in ray().nodes() if node["Alive"]]
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
        there = ray().get(ray().remote(_this_machine).options(num_cpus=0).remote(), timeout=PATIENCE)
    except ray().exceptions.GetTimeoutError:
        raise PlaceError(
            f"the cluster has begun nothing within {PATIENCE:.0f} seconds",
            remedy="see whether its machines are busy or gone, with `ray status`",
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever it is, the cluster cannot run Impasto
        raise _not_running(error) from None
    _this_machine().require_same(there)


def _not_running(error: Exception) -> PlaceError:
    return PlaceError(
        f"Impasto does not run on the cluster: {' '.join(str(error).split())[-200:]}",
        remedy=f"install impasto {__version__} on each of its machines",
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


def room_for(needs: Needs) -> int:
    """How many pieces the connected cluster can work on at a time; machines may come and go.

    Raises:
        PlaceError: it does not answer.
    """
    try:
        return _slots(ray().cluster_resources(), needs)
    except Exception as error:  # noqa: BLE001 - a cluster that is gone shows in many ways
        raise PlaceError(f"the Ray cluster does not answer: {' '.join(str(error).split())[:200]}") from None


def fitting(needs: Needs) -> Needs:
    """The needs, with no more memory than the connected cluster's largest machine has."""
    offered = [node["Resources"].get("memory", 0.0) for node in ray().nodes() if node["Alive"]]
    return replace(needs, memory=min(needs.memory, max(offered, default=needs.memory)))


def _store_bytes() -> float:
    """Size of the object store that holds what this process puts into it; infinite where it is not known."""
    mine = ray().get_runtime_context().get_node_id()
    sizes = {node["NodeID"]: node["Resources"].get("object_store_memory") for node in ray().nodes()}
    return float(sizes.get(mine) or math.inf)


@dataclass(frozen=True)
class _Stored:
    reference: Any
    size: int  # bytes


class _FileStore:
    """The contents of files in Ray's object store: of those that pieces on the cluster need, and a few more.

    So what many pieces need, such as a style, is stored once.
    """

    def __init__(self) -> None:
        self._used: dict[Path, tuple[_Stored, int]] = {}  # path → what is stored, and number of pieces
        self._idle: OrderedDict[Path, _Stored] = OrderedDict()
        self.used_bytes = 0  # of what pieces on the cluster need

    def references(self, paths: Sequence[Path]) -> dict[Path, Any]:
        """References to the contents of files, which are stored if they are not.

        Raises:
            PictureError: one cannot be read.
        """
        for path in paths:
            if path not in self._used and path not in self._idle:
                data = Files().read(path)
                self._idle[path] = _Stored(ray().put(data), len(data))
        for path in paths:
            stored, uses = self._used.get(path) or (self._idle.pop(path), 0)
            self._used[path] = (stored, uses + 1)
            self.used_bytes += 0 if uses else stored.size
        return {path: self._used[path][0].reference for path in paths}

    def release(self, paths: Sequence[Path]) -> None:
        """Record that a piece has ended, and let the store drop what nobody has needed for a while."""
        for path in paths:
            stored, uses = self._used.pop(path)
            if uses > 1:
                self._used[path] = (stored, uses - 1)
            else:
                self._idle[path] = stored
                self.used_bytes -= stored.size
        while len(self._idle) > IDLE_FILES:
            self._idle.popitem(last=False)

    def clear(self) -> None:
        """Let the store drop everything."""
        self._used.clear()
        self._idle.clear()
        self.used_bytes = 0


class _Run:
    """One run of pieces on the connected cluster."""

    def __init__(self, pieces: Iterable[Piece], needs: Needs, report: Callable[[int, float], None]) -> None:
        self.needs, self.parcels, self.files, self.report = needs, Parcels(pieces), _FileStore(), report
        self.running: dict[Any, Parcel] = {}  # reference to the outcomes of a parcel → its pieces
        wanted = _resources(needs)
        self.task = ray().remote(_work).options(
            num_cpus=wanted.get("CPU", 0),
            num_gpus=wanted.get("GPU", 0),
            memory=wanted.get("memory"),
            max_retries=RETRIES,
        )  # fmt: skip
        self._slots, self._looked = 1, -LOOK_AGAIN
        self._here, self._store_bytes = _this_machine(), STORE_SHARE * _store_bytes()
        self._pieces, self._piece_bytes = 0, 0.0  # in all parcels that run; of the files of one

    def outcomes(self) -> Generator[Outcome]:
        """What became of each piece, in the order in which they end."""
        try:
            while True:
                while self._has_room():
                    if not (parcel := self.parcels.take(self._capacity(), self._largest_parcel())):
                        break
                    yield from self._submit(parcel)
                if not self.running:
                    return
                ready = self._ready()
                for reference in ready:
                    yield from self._finished(reference)
                if not ready:
                    self._report_nothing_new()
        except (ConnectionError, ray().exceptions.RaySystemError) as error:
            raise PlaceError(
                f"the Ray cluster has failed: {' '.join(str(error).split())[:200]}",
                "everything that was finished is kept",
                "run the same command again",
            ) from None
        finally:
            self._cancel()

    def _has_room(self) -> bool:
        """Whether another parcel may be sent: to be worked on, or to wait without filling the store.

        About as many pieces wait as can be worked on, however many go together.
        """
        running, capacity = len(self.running), self._capacity()
        if running < capacity:
            return True
        size = self.parcels.size(capacity, self._largest_parcel())
        waiting = max(min(capacity, FEW), capacity // size)
        return running < capacity + waiting and self.files.used_bytes < self._store_bytes

    def _largest_parcel(self) -> int:
        """How many pieces may go together so that the files of all that are worked on fit into the store."""
        if not self._piece_bytes:
            return LARGEST_PARCEL
        return max(1, int(min(self._store_bytes / (self._piece_bytes * self._capacity()), LARGEST_PARCEL)))

    def _report_nothing_new(self) -> None:
        """Give the caller a chance to end the run."""
        for parcel in list(self.running.values()):
            for index, _ in parcel:
                self.report(index, 0.0)

    def _ready(self) -> list[Any]:
        """References to all parcels that are done, once there is one; none after a second of waiting.

        All at once, because a look at thousands that run costs more than one outcome.
        """
        running = list(self.running)
        ready, _ = ray().wait(running, num_returns=1, timeout=1.0, fetch_local=False)
        if ready:
            ready, _ = ray().wait(running, num_returns=len(running), timeout=0, fetch_local=False)
        return list(ready)

    def _capacity(self) -> int:
        """How many parcels the cluster can work on at a time; machines may come and go."""
        if (now := time.monotonic()) - self._looked > LOOK_AGAIN:
            self._slots = max(1, _slots(ray().cluster_resources(), self.needs))
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
            reference = self.task.remote(
                self._here, pieces, list(references), self.needs.threads, *references.values()
            )
            self.running[reference] = readable
            self._pieces += len(readable)
            self._piece_bytes = self.files.used_bytes / self._pieces

    def _finished(self, reference: Any) -> Generator[Outcome]:
        """The outcomes of a parcel. If Ray gives up on one of several pieces, each is sent again alone."""
        parcel = self.running.pop(reference)
        self._pieces -= len(parcel)
        for _, piece in parcel:
            self.files.release(piece.inputs())
        try:
            there, outcomes, seconds = ray().get(reference)
            self._here.require_same(there)
        except ray().exceptions.RaySystemError:
            raise
        except ray().exceptions.RayTaskError as error:  # not of a piece: they raise nothing
            raise _not_running(error) from None
        except ray().exceptions.RayError as error:
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
                ray().cancel(reference, force=True)
        self.running.clear()
        self.files.clear()
