"""Files that were sent are read like those of the disk; an error of one piece is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.errors import PictureError
from impasto.pieces.piece import Files, Stopped, attempt
from small_pieces import squares


def test_files_come_from_the_disk_or_were_sent(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "a.txt", Path("/not/here/b.pth")
    path.write_text("disk")
    here, sent = Files(), Files({path: b"sent", elsewhere: b"weights"})
    assert (here.read(path), sent.read(path)) == (b"disk", b"sent")
    assert (here.were_sent, sent.were_sent) == (False, True)
    assert (path in here, elsewhere in here, elsewhere in sent) == (True, False, True)
    assert here.path(path) == path
    assert here.path(None) is None
    unpacked = sent.path(elsewhere)
    assert unpacked is not None
    assert (unpacked.suffix, unpacked.read_bytes()) == (".pth", b"weights")
    assert sent.path(elsewhere) == unpacked
    with pytest.raises(PictureError, match=r"b\.pth' cannot be read: No such file"):
        here.read(elsewhere)


@pytest.mark.parametrize(
    ("does", "error"), [("refuse", "this one not"), ("break", "KeyError: 'a mistake of ours'"), ("", None)]
)
def test_an_error_is_one_line_in_the_outcome(tmp_path: Path, does: str, error: str | None) -> None:
    (piece,) = squares(tmp_path, 1, _0=does)
    outcome = attempt(7, piece, Files(), lambda share: None)
    assert (outcome.index, outcome.error) == (7, error)
    assert (outcome.result is None) == (error is not None)


def test_what_is_no_longer_wanted_is_no_error(tmp_path: Path) -> None:
    def stop(share: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        attempt(0, squares(tmp_path, 1)[0], Files(), stop)
