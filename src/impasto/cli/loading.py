"""Loads PyTorch, the engine and the pictures of a command that paints, as fast as this machine can."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impasto.pictures import Picture
    from impasto.pictures.decode import Samples

__all__ = ["PicturesAhead", "let_threads_sleep", "load_engine", "without_collection"]


def let_threads_sleep() -> None:
    """Set what PyTorch reads when it is loaded, unless the user has.

    An operation that PyTorch does not have for Apple's GPUs is then done by the processor, with a warning.

    OpenMP's threads that wait by spinning take processor time from the thread they wait for: on a busy
    machine a picture took 4 to 14 times as long (LOG.md, 2026-11-20). A short spin before they sleep keeps
    an idle machine as fast as with active waiting.

    Linux is asked for pages of 2 MB for large tensors: it hands them out in a fifth of the time, and the
    processor finds its way in them faster.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def load_engine() -> None:
    """Import :mod:`impasto.api`, and PyTorch with it."""
    with without_collection():
        import impasto.api  # noqa: F401


@contextmanager
def without_collection() -> Iterator[None]:
    """Import modules without looking for garbage, which takes a tenth of the time and finds nothing.

    At the end all objects are exempted from later searches.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


class PicturesAhead:
    """Decodes picture files in a thread while PyTorch is imported; a context manager.

    Args:
        paths: files; those of saved styles (.safetensors) are left to the caller.
        max_pixels: files with more are refused before they are decoded.
    """

    def __init__(self, paths: Iterable[Path], max_pixels: int) -> None:
        self._executor = ThreadPoolExecutor(1)
        files = [path for path in dict.fromkeys(paths) if path.suffix.lower() != ".safetensors"]
        self._samples: dict[Path, Future[Samples]] = {
            path: self._executor.submit(_read_samples, path, max_pixels) for path in files
        }

    def __call__(self, path: Path) -> Picture | Path:
        """The picture of a file, or the path of a saved style; raises as :func:`impasto.pictures.load`."""
        from impasto import pictures

        return pictures.from_file(self._samples[path].result(), path) if path in self._samples else path

    def __enter__(self) -> PicturesAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._samples.clear()


def _read_samples(path: Path, max_pixels: int) -> Samples:
    from impasto.pictures.reading import read_samples

    return read_samples(path, max_pixels=max_pixels)
