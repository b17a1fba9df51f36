"""Turns errors of FFmpeg, OpenCV and the disk into one line for the user."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from impasto.errors import ImpastoError, VideoError

__all__ = ["video_errors"]


@contextmanager
def video_errors(what: str, remedy: str = "") -> Iterator[None]:
    """Turn whatever libraries and the disk raise inside the block into a ``VideoError``.

    Args:
        what: what failed, as a clause: ``'a.mp4' cannot be read``.
        remedy: what the user should do.
    """
    try:
        yield
    except ImpastoError:
        raise
    except OSError as error:  # FFmpeg's errors are of this class too
        full = error.errno == errno.ENOSPC
        reason = "the disk is full" if full else (error.strerror or str(error)).lower()
        raise VideoError(f"{what}: {reason}", remedy="make room and run again" if full else remedy) from None
    except (ValueError, RuntimeError, MemoryError) as error:
        raise VideoError(f"{what}: {str(error) or type(error).__name__}", remedy=remedy) from None
