"""Finds an encoder's weights: in the package, in the cache, in a file of the user's, or on the internet."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from impasto.errors import WeightsError
from impasto.files import replacing
from impasto.networks.checkpoints import describe, fingerprint, fingerprint_all, header, read_state
from impasto.networks.download import download
from impasto.networks.published import PUBLISHED, Published, Source
from impasto.progress import Progress, report

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "PUBLISHED",
    "Published",
    "Source",
    "WeightsStatus",
    "cache_dir",
    "embedded",
    "encoder_digest",
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


class WeightsStatus(NamedTuple):
    """One line of ``impasto weights list``.

    Attributes:
        path: where the weights are; None while they are not on this machine.
        bytes: size on the disk, or of the download while they are not on this machine.
    """

    name: str
    path: Path | None
    bytes: int | None
    licence: str


def cache_dir() -> Path:
    """The folder of downloaded weights; it need not exist.

    ``IMPASTO_HOME`` if it is set (looked up at each call), else the usual folder for caches:
    ``~/.cache/impasto`` on Linux (or below ``XDG_CACHE_HOME``), ``~/Library/Caches/impasto`` on macOS,
    ``%LOCALAPPDATA%\\impasto\\Cache`` on Windows.
    """
    if home := os.environ.get("IMPASTO_HOME"):
        return Path(home).expanduser()
    return user_cache_path("impasto", appauthor=False)


def embedded(name: str = "compact") -> Path:
    """The file of weights that are part of the package.

    Raises:
        WeightsError: there are no such weights, or the installation lacks their file.
    """
    if name not in EMBEDDED:
        raise WeightsError(f"no embedded weights called {name!r}", f"possible: {', '.join(EMBEDDED)}")
    path = Path(str(resources.files("impasto") / "data" / EMBEDDED[name][0]))
    if not path.is_file():
        raise WeightsError(
            f"this installation lacks the embedded encoder ({path})", remedy="install Impasto again"
        )
    return path


def embedded_tensors(file: str) -> dict[str, Tensor]:
    """All tensors of a small file of the package's ``data`` folder, by name, on the CPU.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(resources.files("impasto") / "data" / file))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} cannot be read ({error})", remedy="install Impasto again") from None


def encoder_digest(name: str, weights: Path | None = None) -> str:
    """First eight hexadecimal digits of the SHA-256 of an encoder's weights; empty if the file is not known.

    Args:
        weights: a file to use instead of the encoder's own.
    """
    path = weights if weights is not None else embedded(name) if name == "compact" else None
    if path is None or not (path := path.expanduser()).is_file():
        return ""
    status = path.stat()
    return _digest(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _digest(path: Path, modified: int, size: int) -> str:
    """The digest of a file as long as it does not change."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def locate(name: str) -> Path | None:
    """The cached file of ``name``, or None if it is missing or incomplete; only its header is read."""
    entry = _published(name)
    path = cache_dir() / f"{name}.safetensors"
    tensors = header(path) or {}
    return path if all(f"{layer}.weight" in tensors for layer in entry.layers) else None


def status() -> list[WeightsStatus]:
    """All weights, embedded and published, with their file, size and licence."""
    lines = []
    for name, (_, licence) in EMBEDDED.items():
        try:
            path: Path | None = embedded(name)
        except WeightsError:
            path = None
        lines.append(WeightsStatus(name, path, path.stat().st_size if path else None, licence))
    for name, entry in PUBLISHED.items():
        path = locate(name)
        size = path.stat().st_size if path else entry.sources[0].bytes
        lines.append(WeightsStatus(name, path, size, entry.licence))
    return lines


def ensure(name: str, *, path: str | Path | None = None) -> dict[str, Tensor]:
    """The weights of a published encoder: from ``path`` if given, else from the cache, else downloaded.

    Args:
        name: a key of ``PUBLISHED``.
        path: any file that ``read_state`` reads. Its weights may be fine-tuned or end at an earlier layer,
            but must not be those of another published network.

    Returns:
        ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` (out,) and so on, see ``read_state``.

    Raises:
        WeightsError: an unknown name, weights of another published network, or see ``read_state`` and
            ``fetch``.
    """
    _published(name)
    if path is not None:
        state = read_state(path)
        if (other := _recognise(state)) not in (None, name):
            # The networks expect different input: the wrong weights would work, but give wrong pictures.
            raise WeightsError(f"{path} holds the weights of {other!r}", remedy=f"choose the encoder {other}")
        return state
    cached = locate(name)
    if cached is not None:
        try:
            return read_state(cached)
        except WeightsError:
            pass  # The cached file is damaged, so it is fetched again.
    return read_state(fetch(name, force=cached is not None))


def fetch(name: str, *, force: bool = False) -> Path:
    """Download the weights of ``name`` into the cache, as safetensors with the convolutions alone (80 MB).

    Copies on this machine are tried first (the original file in the cache folder, and in the caches of torch
    and Keras), then the published sources in order. A file is accepted if its digest, its shapes and the
    fingerprints of its values are right. If several processes fetch at once, one downloads and the others
    wait. Progress is reported in bytes.

    Args:
        force: download even if the cache has the weights.

    Returns:
        The cached file.

    Raises:
        WeightsError: an unknown name, a cache folder that cannot be written to, or no source with the right
            file; then the message says why for each, and what to do offline.
    """
    entry = _published(name)
    if not force and (cached := locate(name)):
        return cached
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive_lock(folder / f".{name}.lock", partial(_report_other_process, entry, folder)):
            if not force and (cached := locate(name)):  # another process has fetched it in the meantime
                return cached
            return _fetch_from_any(name, entry, folder)
    except OSError as error:
        raise WeightsError(
            f"the cache folder {folder} cannot be written to ({error.strerror or error})",
            remedy="name another with IMPASTO_HOME",
        ) from error


def verify(name: str) -> Path:
    """Read the whole cached file of ``name``, compare it with the digest stored in it, and return its path.

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
    """The name of the published weights with these values, or None."""
    for name, entry in PUBLISHED.items():
        common = [key for key in entry.fingerprints if key in state]
        if common and all(fingerprint(state[key]) == entry.fingerprints[key] for key in common):
            return name
    return None


@contextmanager
def _exclusive_lock(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file ``path``; call ``on_wait`` repeatedly while another process or thread holds it."""
    lock = FileLock(path)
    while not _acquire(lock):
        on_wait()
        time.sleep(0.1)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        # Some network file systems have no locks, so go on without. If two processes download at once and
        # disturb each other, the digest shows it.
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
    return True


def _report_other_process(entry: Published, folder: Path) -> None:
    """Report the progress of another process's download, by the size of its partial file."""
    for source in entry.sources:
        with suppress(FileNotFoundError):  # it is renamed at its end
            size = _partial_file(source, folder).stat().st_size
            task = f"waiting for another process to download {source.filename}"
            report(Progress(task, size, source.bytes, "bytes"))
            return


def _fetch_from_any(name: str, entry: Published, folder: Path) -> Path:
    """Store the weights from the first origin that has the right file; returns the cached file."""
    failures: dict[str, list[str]] = {}  # reason → origins, because offline all fail for the same reason
    for origin, obtain in _candidates(entry, folder):
        try:
            return _store(name, entry, origin, obtain(), folder)
        except WeightsError as error:
            failures.setdefault(error.got, []).append(origin)
        except OSError as error:  # a local copy that cannot be read
            failures.setdefault(error.strerror or str(error), []).append(origin)
    reasons = "; ".join(f"{', '.join(origins)} ({reason})" for reason, origins in failures.items())
    files = " or ".join(dict.fromkeys(source.filename for source in entry.sources))
    raise WeightsError(
        f"the weights {name!r} could not be fetched: {reasons}",
        f"needed is one of these files ({files}), from another machine perhaps",
        f"give it with --weights FILE, or copy it into {folder} (or the folder IMPASTO_HOME) and run again",
    )


def _candidates(entry: Published, folder: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    """(path or URL for messages, function that returns a checked file), local copies first."""
    for source in entry.sources:
        for copy in _local_copies(source, folder):
            if copy.is_file():
                yield str(copy), partial(_check_digest, copy, source)
    for source in entry.sources:
        yield source.url, partial(_download_checked, source, folder)


def _local_copies(source: Source, folder: Path) -> tuple[Path, ...]:
    xdg = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or xdg / "torch").expanduser()
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()
    return tuple(
        cache / source.filename
        for cache in (folder, torch_home / "hub" / "checkpoints", keras_home / "models")
    )


def _partial_file(source: Source, folder: Path) -> Path:
    # With the digest in the name, only a source of the same file can resume a partial download.
    return folder / f"{source.filename}.{(source.sha256 or source.md5)[:8]}.partial"


def _download_checked(source: Source, folder: Path) -> Path:
    target = _partial_file(source, folder)
    resumed = target.exists()
    download(source.url, target, size=source.bytes)
    try:
        return _check_digest(target, source)
    except WeightsError:
        target.unlink()
        if not resumed:
            raise
    # The file may have changed since the earlier part was downloaded, so start from the first byte.
    return _download_checked(source, folder)


def _check_digest(file: Path, source: Source) -> Path:
    """Return ``file``, or raise ``WeightsError`` if its digest is not that of the source."""
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


def _store(name: str, entry: Published, origin: str, file: Path, folder: Path) -> Path:
    """Convert ``file`` into the cache; a download (``.partial``) is deleted, another copy is kept."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = folder / f"{name}.safetensors"
    try:
        state = read_state(file)
        _check_fingerprints(entry, state)
        needed = {key: value for key, value in state.items() if key.partition(".")[0] in entry.layers}
        about = {"source": origin, "licence": entry.licence, "citation": entry.citation}
        with replacing(target) as partial_file:
            save_file(needed, partial_file, metadata={**about, "content_sha256": fingerprint_all(needed)})
    except (OSError, SafetensorError) as error:  # safetensors raises its own error when the disk is full
        raise WeightsError(f"{target} cannot be written ({error})") from error
    finally:
        if file.suffix == ".partial":
            file.unlink(missing_ok=True)
    return target
