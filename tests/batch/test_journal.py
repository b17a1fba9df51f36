"""What is finished is known by its contents, and survives cut lines, edited folders and a second batch."""

from __future__ import annotations

import csv
import errno
from pathlib import Path

import pytest

from impasto.batch.journal import Journal, remove_unfinished, write_table
from impasto.errors import ImpastoError, PictureError


def record(identity: str, output: str, size: int) -> dict[str, object]:
    return {"identity": identity, "output": output, "bytes": size, "losses": {"total": 0.5}}


def test_a_record_is_found_again_while_its_file_is_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out")
    output = tmp_path / "out" / "ä.png"
    output.write_bytes(b"12345")
    journal.add(record("one", "ä.png", 5))
    for known in (journal, Journal(tmp_path / "out")):
        assert known.finished("one", "ä.png") == record("one", "ä.png", 5)
        assert known.finished("two", "ä.png") is None
        assert known.finished("one", "b.png") is None
    output.write_bytes(b"1234")
    assert journal.finished("one", "ä.png") is None
    output.unlink()
    assert journal.finished("one", "ä.png") is None


@pytest.mark.parametrize("cut", [b'{"identity": "tw', b"\x00\x00", b"[1]\n", b'{"output": 1}\n', b"\n\n"])
def test_a_line_that_is_not_whole_costs_nothing_else(tmp_path: Path, cut: bytes) -> None:
    Journal(tmp_path).add(record("one", "1.png", 1))
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(cut)
    again = Journal(tmp_path)
    assert again.identities() == 1
    again.add(record("three", "3.png", 3))
    last = Journal(tmp_path)
    for identity, name in (("one", "1.png"), ("three", "3.png")):
        (tmp_path / name).write_bytes(bytes(int(name[0])))
        assert last.finished(identity, name)


def test_two_batches_do_not_share_a_folder(tmp_path: Path) -> None:
    second = Journal(tmp_path).locked()
    with Journal(tmp_path).locked(), pytest.raises(ImpastoError, match="another batch is painting into"):
        second.__enter__()
    with Journal(tmp_path).locked():
        pass


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "no" / "where", tmp_path / "file"):
        with pytest.raises(PictureError, match="a folder in a folder that exists"):
            Journal(folder)


def test_a_folder_that_cannot_be_written_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("impasto.batch.journal.FileLock.acquire", denied)
    with (
        pytest.raises(PictureError, match="cannot be written to: Permission denied; choose another folder"),
        Journal(tmp_path).locked(),
    ):
        pass


def test_what_a_killed_batch_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = [".a-wave.0badcafe.partial.png", ".b.12345678.partial"]
    kept = ["a-wave.png", ".hidden.png", ".a.partial.png", "a.0badcafe.partial.png"]
    for name in (*left, *kept):
        (tmp_path / name).write_text("")
    remove_unfinished([tmp_path, tmp_path / "none", tmp_path])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_the_table_has_a_column_for_each_loss(tmp_path: Path) -> None:
    rows = [
        {"output": "a.png", "status": "done", "loss": 0.5, "loss/style": 0.25, "losses": {}},
        {"output": "b, c.png", "status": "failed", "error": "it's no picture"},
    ]
    write_table(tmp_path / "results.csv", rows)
    read = list(csv.DictReader((tmp_path / "results.csv").open(encoding="utf-8")))
    assert [(row["output"], row["loss/style"], row["error"]) for row in read] == [
        ("a.png", "0.25", ""), ("b, c.png", "", "it's no picture"),
    ]  # fmt: skip
    assert "losses" not in read[0]
