"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from impasto.files import partial_path, readable_size, replacing, write_atomically


@pytest.mark.parametrize(("data", "expected"), [(b"\x00\xff", b"\x00\xff"), ("Größe\n", "Größe\n".encode())])
def test_bytes_and_text_are_written(tmp_path, data, expected):
    write_atomically(tmp_path / "a.txt", data)
    assert (tmp_path / "a.txt").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_older_file_stays_when_the_writer_fails(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("before")
    with pytest.raises(error), replacing(target) as partial:  # noqa: PT012
        partial.write_text("half")
        raise error
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_older_file_stays_when_the_disk_fails(tmp_path, monkeypatch, call):
    target = tmp_path / "a.txt"
    target.write_text("before")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, "after")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_data_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *a: (calls.append("fsync"), fsync(*a)))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a)))
    write_atomically(tmp_path / "a", b"x")
    assert calls == ["fsync", "replace"]


def test_the_partial_path_is_new_and_has_the_ending(tmp_path):
    with replacing(tmp_path / "a.png") as partial:
        assert partial.parent == tmp_path
        assert partial.suffix == ".png"
        assert not partial.exists()
        partial.write_bytes(b"x")
    assert (tmp_path / "a.png").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name", ["x" * 255, "ü" * 127, "絵" * 83 + ".png", "🎨" * 62 + ".png", "x." + "y" * 253]
)
def test_the_longest_names_work(tmp_path, name):
    write_atomically(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    assert len(os.fsencode(partial_path(tmp_path / name).name)) <= 255


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_the_umask_decides_the_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    write_atomically(link, "after")
    assert link.is_symlink()
    assert target.read_text() == "after"


def test_a_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "x"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with replacing(tmp_path / "cell") as partial:
        partial.mkdir()
        (partial / "a").write_text("x")
    assert (tmp_path / "cell" / "a").read_text() == "x"
    with pytest.raises(RuntimeError), replacing(tmp_path / "other") as partial:  # noqa: PT012
        partial.mkdir()
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["cell"]


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (574_673_361, "574.7 MB")]
)
def test_sizes_in_words(count, words):
    assert readable_size(count) == words
