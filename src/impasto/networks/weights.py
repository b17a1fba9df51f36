"""Where an encoder's weights come from: embedded, cached, downloaded (several sources), or a given path."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from impasto.errors import WeightsError
from impasto.networks.checkpoints import describe, fingerprint, fingerprint_all, header, read_state
from impasto.networks.download import Progress, download, locked
from impasto.networks.published import PUBLISHED, Published, Source

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "PUBLISHED",
    "Progress",
    "Published",
    "Source",
    "Status",
    "cache_dir",
    "embedded",
    "ensure",
    "fetch",
    "locate",
    "read_state",
    "status",
    "verify",
]


#: Name → file in the package's ``data`` folder, and its licence.
EMBEDDED: dict[str, tuple[str, str]] = {
    "compact": ("compact.safetensors", "MIT; distilled from CC BY 4.0 weights")
}


class Status(NamedTuple):
    """One line of ``impasto weights list``: `path` is ``None`` while the weights are not on this machine, and
    `bytes` is then what the download will cost; else what lies on the disk."""

    name: str
    path: Path | None
    bytes: int | None
    licence: str


def cache_dir() -> Path:
    """The folder for fetched weights, read from the environment at each call; it need not exist.

    ``IMPASTO_HOME``, else the system's place for caches (``XDG_CACHE_HOME``, ``~/Library/Caches``,
    ``LOCALAPPDATA``).
    """
    if home := os.environ.get("IMPASTO_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "impasto" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "impasto"
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "impasto"


def embedded(name: str = "compact") -> Path:
    """The file of an encoder that is part of the package.

    Raises:
        WeightsError: there is no such encoder, or the installation lacks its file.
    """
    if name not in EMBEDDED:
        raise WeightsError(f"no embedded weights called {name!r}", f"possible: {', '.join(EMBEDDED)}")
    path = Path(str(resources.files("impasto") / "data" / EMBEDDED[name][0]))
    if not path.is_file():
        raise WeightsError(
            f"this installation lacks the embedded encoder ({path})", remedy="install Impasto again"
        )
    return path


def locate(name: str) -> Path | None:
    """The cached file of `name` if it is there and whole, else ``None``; only its header is read."""
    entry = _published(name)
    path = cache_dir() / f"{name}.safetensors"
    found = header(path) or {}
    return path if all(f"{layer}.weight" in found for layer in entry.layers) else None


def status() -> list[Status]:
    """All weights, embedded and published: on this machine or not, how large, under which licence."""
    found = []
    for name, (_, licence) in EMBEDDED.items():
        try:
            path: Path | None = embedded(name)
        except WeightsError:
            path = None
        found.append(Status(name, path, path.stat().st_size if path else None, licence))
    for name, entry in PUBLISHED.items():
        path = locate(name)
        cost = path.stat().st_size if path else entry.sources[0].bytes
        found.append(Status(name, path, cost, entry.licence))
    return found


def ensure(
    name: str, *, path: str | Path | None = None, progress: Progress | None = None
) -> dict[str, Tensor]:
    """The weights of a published encoder: from `path` if given, else the cache, else fetched.

    Args:
        name: a key of `PUBLISHED`.
        path: any file that `read_state` reads. It need not be the published one (it may be fine-tuned, or
            end at an earlier layer), but it must not be another published network.
        progress: see `fetch`.

    Returns:
        ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` (out,) … as `read_state` returns them.

    Raises:
        WeightsError: see `read_state` and `fetch`.
    """
    _published(name)
    if path is not None:
        state = read_state(path)
        if (other := _recognise(state)) not in (None, name):
            # Each network wants its own input; with the other's the pictures are wrong without an error.
            raise WeightsError(f"{path} holds the weights of {other!r}", remedy=f"choose the encoder {other}")
        return state
    ready = locate(name)
    if ready is not None:
        try:
            return read_state(ready)
        except WeightsError:
            pass  # damaged on the disk: fetched anew
    return read_state(fetch(name, progress=progress, force=ready is not None))


def fetch(name: str, *, progress: Progress | None = None, force: bool = False) -> Path:
    """Bring the weights of `name` into the cache, as safetensors with the convolutions alone (80 MB).

    Copies on this machine come first (the original file in the cache folder, torch's and Keras' caches), then
    the sources in their order. Each is checked: digest, then shapes, then the values' fingerprints. Several
    processes may fetch at once: one works, the others wait.

    Args:
        progress: called with (bytes so far, bytes in all or ``None``), often.
        force: fetch even if the cache has it.

    Returns:
        The cached file.

    Raises:
        WeightsError: no source gave the file; the message says why for each, and what to do offline.
    """
    entry = _published(name)
    if not force and (ready := locate(name)):
        return ready
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f".{name}.lock", partial(_report_other, entry, folder, progress)):
            if not force and (ready := locate(name)):  # another process was faster
                return ready
            return _first_good(name, entry, folder, progress)
    except OSError as error:
        raise WeightsError(
            f"the cache folder {folder} cannot be written to ({error.strerror or error})",
            remedy="name another with IMPASTO_HOME",
        ) from error


def verify(name: str) -> Path:
    """Read the cached file of `name` whole and compare it with the digest it was stored with.

    Raises:
        WeightsError: it is not in the cache, is damaged, or holds other weights than it should.
    """
    entry = _published(name)
    path = locate(name)
    remedy = f"fetch it again: impasto weights fetch {name} --force"
    if path is None:
        raise WeightsError(f"{cache_dir() / f'{name}.safetensors'} is missing or cut off", remedy=remedy)
    state = read_state(path)
    stored = (header(path) or {}).get("__metadata__", {}).get("content_sha256")
    try:
        _check_fingerprints(entry, state)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.got}", remedy=remedy) from None
    if stored != fingerprint_all(state):
        what = "has changed since it was stored" if stored else "carries no digest to compare with"
        raise WeightsError(f"{path} {what}", remedy=remedy)
    return path


def _published(name: str) -> Published:
    if name in PUBLISHED:
        return PUBLISHED[name]
    raise WeightsError(f"no published weights called {name!r}", f"possible: {', '.join(PUBLISHED)}")


def _recognise(state: Mapping[str, Tensor]) -> str | None:
    for name, entry in PUBLISHED.items():
        common = [key for key in entry.fingerprints if key in state]
        if common and all(fingerprint(state[key]) == entry.fingerprints[key] for key in common):
            return name
    return None


def _first_good(name: str, entry: Published, folder: Path, progress: Progress | None) -> Path:
    failures: dict[str, list[str]] = {}  # reason → places: offline it is one reason for all
    for place, obtain in _places(entry, folder, progress):
        try:
            return _store(name, entry, place, obtain(), folder)
        except WeightsError as error:
            failures.setdefault(error.got, []).append(place)
        except OSError as error:  # a copy that cannot be read
            failures.setdefault(error.strerror or str(error), []).append(place)
    said = "; ".join(f"{', '.join(places)} ({reason})" for reason, places in failures.items())
    files = " or ".join(dict.fromkeys(source.filename for source in entry.sources))
    raise WeightsError(
        f"the weights {name!r} could not be fetched: {said}",
        f"needed is one of these files ({files}), from another machine perhaps",
        f"give it with --weights FILE, or copy it into {folder} (or the folder IMPASTO_HOME) and run again",
    )


def _places(
    entry: Published, folder: Path, progress: Progress | None
) -> Iterator[tuple[str, Callable[[], Path]]]:
    """(address for people, what makes a checked file of it), nearest first."""
    for source in entry.sources:
        for copy in _local_copies(source, folder):
            if copy.is_file():
                yield str(copy), partial(_check_digest, copy, source)
    for source in entry.sources:
        yield source.url, partial(_download_checked, source, folder, progress)


def _local_copies(source: Source, folder: Path) -> tuple[Path, ...]:
    xdg = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or xdg / "torch").expanduser()
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()
    return tuple(
        place / source.filename
        for place in (folder, torch_home / "hub" / "checkpoints", keras_home / "models")
    )


def _partial_file(source: Source, folder: Path) -> Path:
    # Named after the digest: mirrors of one file carry each other's download on, other files do not.
    return folder / f"{source.filename}.{(source.sha256 or source.md5)[:8]}.partial"


def _download_checked(source: Source, folder: Path, progress: Progress | None) -> Path:
    target = _partial_file(source, folder)
    resumed = target.exists()
    download(source.url, target, size=source.bytes, progress=progress)
    try:
        return _check_digest(target, source)
    except WeightsError:
        target.unlink()
        if not resumed:
            raise
    # Its beginning may have come from a file that has changed since: once more, from the first byte.
    return _download_checked(source, folder, progress)


def _check_digest(file: Path, source: Source) -> Path:
    for algorithm, expected in (("sha256", source.sha256), ("md5", source.md5)):
        if not expected:
            continue
        digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        if not digest.hexdigest().startswith(expected):
            kind = describe(file)
            what = f"it is {kind}" if "page" in kind or "pointer" in kind else "wrong content"
            raise WeightsError(f"{what}: {algorithm} {digest.hexdigest()[:8]}…, not {expected[:8]}…")
    return file


def _check_fingerprints(entry: Published, state: Mapping[str, Tensor]) -> None:
    for layer in entry.layers:
        if f"{layer}.weight" not in state:
            raise WeightsError(f"{layer} is missing")
    for key, expected in entry.fingerprints.items():
        if fingerprint(state[key]) != expected:
            raise WeightsError(f"the values of {key} are not the published ones")


def _store(name: str, entry: Published, place: str, file: Path, folder: Path) -> Path:
    """Convert `file` into the cache; a download (``.partial``) is deleted, a user's own copy is not."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = folder / f"{name}.safetensors"
    beside = folder / f".{name}.{os.getpid()}.tmp"
    try:
        state = read_state(file)
        _check_fingerprints(entry, state)
        kept = {key: value for key, value in state.items() if key.partition(".")[0] in entry.layers}
        about = {"source": place, "licence": entry.licence, "citation": entry.citation}
        save_file(kept, beside, metadata={**about, "content_sha256": fingerprint_all(kept)})
        beside.replace(target)
    except (OSError, SafetensorError) as error:  # the second is what a full disk gives
        raise WeightsError(f"{target} cannot be written ({error})") from error
    finally:
        beside.unlink(missing_ok=True)
        if file.suffix == ".partial":
            file.unlink(missing_ok=True)
    return target


def _report_other(entry: Published, folder: Path, progress: Progress | None) -> None:
    """While another process downloads: its progress, so that waiting is not silent."""
    if progress is not None:
        for source in entry.sources:
            if (target := _partial_file(source, folder)).exists():
                progress(target.stat().st_size, source.bytes)
                return
