"""The boundary to Pillow, tifffile and the disk: exceptions become ``PictureError``, warnings end."""

from __future__ import annotations

import errno
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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


_lock = threading.Lock()
_threads_inside = 0
_warnings_before: warnings.catch_warnings[None] | None = None
_truncated_before = False


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keep warnings of Pillow and tifffile off stderr, and make Pillow refuse a file that was cut off.

    Otherwise, with a setting that other libraries change, Pillow would fill the missing part with grey.
    Both settings belong to the process. The first thread to enter sets them and the last to leave restores
    them, because a thread that did both could restore what another had set.
    """
    global _threads_inside, _warnings_before, _truncated_before
    with _lock:
        if _threads_inside == 0:
            _warnings_before = warnings.catch_warnings()
            _warnings_before.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\b|tifffile\b")
            _truncated_before = ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        _threads_inside += 1
    try:
        yield
    finally:
        with _lock:
            _threads_inside -= 1
            if _threads_inside == 0 and _warnings_before is not None:
                ImageFile.LOAD_TRUNCATED_IMAGES = _truncated_before
                _warnings_before.__exit__(None, None, None)
