"""What may be on a disk after a power cut: a recording of file operations, cut short at any of them.

``disk_recorder.c`` records. The model is POSIX's, which promises less than any file system in use: data is
on the disk once its file was synced, a name once its folder was synced. Of everything else since then any
part may be there, in any order; of a write some sectors. A rename is there or not, never half.
"""

from __future__ import annotations

import functools
import os
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

__all__ = ["Operation", "PowerCut", "add_note", "read_recording", "recorder", "recording_environment"]

_HEADER = struct.Struct("@4I2Q")
_SECTOR = 512  # bytes that a disk writes whole or not at all
#: By which share what was not synced is on the disk: nothing, all, or something in between.
SHARES = (0.0, 1.0, 0.1, 0.5, 0.9)


@functools.cache
def recorder() -> Path:
    """The compiled library; skips the test where it cannot be made."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or os.uname().sysname != "Linux":
        pytest.skip("no C compiler on Linux, which the recorder of file operations needs")
    library = Path(tempfile.mkdtemp(prefix="impasto-recorder-")) / "recorder.so"
    source = Path(__file__).with_name("disk_recorder.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-lpthread"], check=True)
    return library


def recording_environment(root: Path, recording: Path) -> dict[str, str]:
    """Variables with which a process records all operations below ``root``."""
    return {
        "LD_PRELOAD": str(recorder()),
        "IMPASTO_RECORD_ROOT": str(root),
        "IMPASTO_RECORD_LOG": str(recording),
    }


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        kind: ``c`` file created, ``d`` folder created, ``w`` written, ``t`` cut to a length, ``s`` synced,
            ``a`` all synced, ``l`` linked, ``r`` renamed, ``u`` name removed, ``n`` a note of the test's.
        file: its number (inode).
        at: offset, or the length.
        name, other: paths; the target of a link or a rename is ``other``.
        data: what was written, or the note.
    """

    kind: str
    file: int = 0
    at: int = 0
    name: str = ""
    other: str = ""
    data: bytes = b""


def read_recording(path: Path) -> list[Operation]:
    """The operations, in the order in which they happened."""
    log, operations, at = path.read_bytes(), [], 0
    while at < len(log):
        kind, *lengths, file, offset = _HEADER.unpack_from(log, at)
        at += _HEADER.size
        parts = []
        for length in lengths:
            parts.append(log[at : at + length])
            at += length
        name, other, data = parts
        operations.append(Operation(chr(kind), file, offset, os.fsdecode(name), os.fsdecode(other), data))
    return operations


def add_note(recording: Path, text: str) -> None:
    """Write into the recording what somebody outside has learned by now."""
    import fcntl  # not on Windows

    data = text.encode()
    with recording.open("ab", buffering=0) as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        file.write(_HEADER.pack(ord("n"), 0, 0, len(data), 0, 0) + data)


@dataclass(eq=False)
class _File:
    """A file: what is surely on the disk, and the changes since then: (offset, bytes) or (length, None)."""

    synced: bytes = b""
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        self.synced = self.read(lambda: True)
        self.changes.clear()

    def read(self, kept: Callable[[], bool]) -> bytes:
        content = bytearray(self.synced)
        for at, data in self.changes:
            if data is None:
                if kept():
                    content = content[:at].ljust(at, b"\0")
                continue
            for first in range(0, len(data), _SECTOR):
                if kept():
                    sector, start = data[first : first + _SECTOR], at + first
                    content = content.ljust(start, b"\0")
                    content[start : start + len(sector)] = sector
        return bytes(content)


@dataclass(eq=False)
class _Change:
    """Names that appear (with what they name) and disappear (None) together."""

    names: list[tuple[_Folder, str, _File | _Folder | None]]


@dataclass(eq=False)
class _Folder:
    """A folder: the names that are surely on the disk, all names now, and the changes since the last sync."""

    synced: dict[str, _File | _Folder] = field(default_factory=dict)
    now: dict[str, _File | _Folder] = field(default_factory=dict)
    changes: list[_Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in list(self.changes):
            for folder, name, target in change.names:
                _set(folder.synced, name, target)
                if change in folder.changes:
                    folder.changes.remove(change)


def _set(names: dict[str, _File | _Folder], name: str, target: _File | _Folder | None) -> None:
    if target is None:
        names.pop(name, None)
    else:
        names[name] = target


class PowerCut:
    """The disk as the operations change it.

    Args:
        root: the folder that was recorded; it was empty at first.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._top = root, _Folder()
        self._numbers: dict[int, _File | _Folder] = {root.stat().st_ino: self._top}
        self.notes: list[str] = []

    def apply(self, operation: Operation) -> None:
        """Let the next operation happen."""
        kind, file = operation.kind, self._numbers.get(operation.file)
        if kind in "cd":
            made = self._numbers[operation.file] = _File() if kind == "c" else _Folder()
            self._rename([(operation.name, made)])
        elif kind in "lr":
            source = self._find(operation.name) if operation.name else _File()
            gone = [(operation.name, None)] if kind == "r" and operation.name else []
            self._rename([*gone, *([(operation.other, source)] if operation.other else [])])
        elif kind == "u":
            self._rename([(operation.name, None)])
        elif kind == "w" and isinstance(file, _File):
            file.changes.append((operation.at, operation.data))
        elif kind == "t" and isinstance(file, _File):
            file.changes.append((operation.at, None))
        elif kind == "s" and file is not None:
            file.sync()
        elif kind == "a":
            for one in self._numbers.values():
                one.sync()
        elif kind == "n":
            self.notes.append(operation.data.decode())

    def _parts(self, path: str) -> tuple[str, ...]:
        return Path(path).relative_to(self._root).parts

    def _find(self, path: str) -> _File | _Folder:
        found: _File | _Folder = self._top
        for part in self._parts(path):
            assert isinstance(found, _Folder)
            found = found.now[part]
        return found

    def _rename(self, names: list[tuple[str, _File | _Folder | None]]) -> None:
        change = _Change([])
        for path, target in names:
            folder = self._find(str(Path(path).parent))
            assert isinstance(folder, _Folder)
            change.names.append((folder, Path(path).name, target))
            _set(folder.now, Path(path).name, target)
            if change not in folder.changes:
                folder.changes.append(change)

    def write(self, target: Path, share: float, seed: int) -> None:
        """Write what is on the disk if the power goes now.

        Args:
            target: a new folder.
            share: of what was not synced, the part that is there all the same.
        """
        chance, decided = random.Random(seed), {}

        def kept(change: _Change | None = None) -> bool:
            if change is None:
                return chance.random() < share
            return decided.setdefault(change, chance.random() < share)

        def write(folder: _Folder, path: Path) -> None:
            path.mkdir()
            names = dict(folder.synced)
            for change in filter(kept, folder.changes):
                for owner, name, found in change.names:
                    if owner is folder:
                        _set(names, name, found)
            for name, found in names.items():
                if isinstance(found, _Folder):
                    write(found, path / name)
                elif found not in written:
                    (path / name).write_bytes(found.read(kept))
                    written[found] = path / name
                else:
                    os.link(written[found], path / name)

        written: dict[_File, Path] = {}
        write(self._top, target)

    def differences(self, folder: Path) -> Iterator[str]:
        """Files that are not in ``folder`` as the recording has them; none, if it was complete."""
        expected = dict(self._files(self._top, Path()))
        found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for path in sorted(found | set(expected)):
            if path.name.endswith("-shm"):  # SQLite's index of its log, in memory; made anew at each start
                continue
            if path not in expected or path not in found:
                yield f"{path} is only {'on the disk' if path in found else 'in the recording'}"
            elif (folder / path).read_bytes() != expected[path]:
                yield f"{path} differs"

    def _files(self, folder: _Folder, path: Path) -> Iterator[tuple[Path, bytes]]:
        for name, found in folder.now.items():
            if isinstance(found, _Folder):
                yield from self._files(found, path / name)
            else:
                yield path / name, found.read(lambda: True)
