"""Errors of libraries and of the disk as one line."""

from __future__ import annotations

import errno
import os

import pytest

from impasto.errors import PictureError, VideoError
from impasto.video.boundary import video_errors


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "it failed: the disk is full; make room and run again",
        ),
        (OSError(errno.EACCES, "Permission denied"), "it failed: permission denied; do this"),
        (RuntimeError("no\nluck"), "it failed: no luck; do this"),
        (MemoryError(), "it failed: MemoryError; do this"),
    ],
)
def test_every_error_becomes_one_line(error: Exception, line: str) -> None:
    with pytest.raises(VideoError) as caught, video_errors("it failed", "do this"):
        raise error
    assert str(caught.value) == line


def test_errors_of_our_own_stay_what_they_are() -> None:
    with pytest.raises(PictureError), video_errors("it failed"):
        raise PictureError("no picture")
