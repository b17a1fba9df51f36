"""The boundary to Pillow, tifffile and the disk: ``PictureError`` for any exception, no warnings."""

from __future__ import annotations

import errno
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image, ImageFile

from impasto.errors import ImpastoError, PictureError

__all__ = ["only_picture_errors", "quiet_decoders"]


@contextmanager
def only_picture_errors(what: str, remedy: str = "") -> Iterator[None]:
    """Turn whatever a decoder or the disk raises into a ``PictureError`` that begins with ``what``."""
    try:
        yield
    except ImpastoError:
        raise
    except MemoryError as error:
        raise PictureError(f"{what}: it needs more memory than there is", remedy="make it smaller") from error
    except Image.DecompressionBombError as error:  # Pillow's WebP and GIF plugins have a limit of their own
        raise PictureError(
            f"{what}: Pillow refuses its size", remedy="shrink it, or convert it to PNG"
        ) from error
    except OSError as error:
        reasons = {errno.ENOSPC: "the disk is full", errno.EACCES: "permission denied"}
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise PictureError(f"{what}: {reason}", remedy=remedy) from error
    except struct.error as error:  # its text is about Python's buffers and says nothing about the file
        raise PictureError(what, remedy=remedy) from error
    except Exception as error:
        raise PictureError(f"{what}: {error or type(error).__name__}", remedy=remedy) from error


_DECODERS = re.compile(r"PIL\b|tifffile\b")  # modules whose warnings are silenced
_lock = threading.Lock()
_threads_inside = 0
_saved_truncated = False


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence the warnings of Pillow and tifffile, and make Pillow refuse truncated files.

    If another library has set ``ImageFile.LOAD_TRUNCATED_IMAGES``, Pillow would fill the missing part with
    grey. Both settings are global to the process. The first thread to enter changes them and the last to
    leave restores them: a thread that restored them earlier would change them under the other threads. Only
    the filter set here is removed again, because other threads may set filters meanwhile: PyTorch does when
    it is imported.
    """
    global _threads_inside, _saved_truncated
    with _lock:
        if _threads_inside == 0:
            warnings.filterwarnings("ignore", module=_DECODERS.pattern)
            _saved_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        _threads_inside += 1
    try:
        yield
    finally:
        with _lock:
            _threads_inside -= 1
            if _threads_inside == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES = _saved_truncated
                with suppress(ValueError):  # the caller has reset all filters
                    warnings.filters.remove(("ignore", None, Warning, _DECODERS, 0))  # type: ignore[attr-defined]
