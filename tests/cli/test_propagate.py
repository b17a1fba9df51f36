"""``impasto propagate``: keys as they are typed, what is said, and mistakes in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clips import moving_square, write_clip
from fakes import picture, tiny_encoder
from impasto import pictures
from impasto.cli.propagate import parse_keys
from impasto.errors import VideoError
from impasto.painting import setup
from impasto.video.store import from_pixels

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def propagate(impasto: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``impasto propagate clip.mkv`` on a clip of three frames of 64×48, with a painting in key.png."""
    monkeypatch.setattr(setup, "load_encoder", lambda *_, **__: tiny_encoder())
    write_clip(folder / "clip.mkv", moving_square(3, 48, 64, 16))
    pictures.save(folder / "key.png", picture(48, 64))
    return lambda *words: impasto("propagate", "clip.mkv", *words)


@pytest.mark.slow
def test_it_paints_from_one_key_and_suggests_which(propagate: Run, folder: Path) -> None:
    code, out, err = propagate("--key", "1=key.png", "-o", "out.mkv")
    assert code == 0
    assert "painted out.mkv (3 frames, 1 shot, " in out
    assert "100% painting: frame 3 of 3" in err
    code, out, _ = propagate("--suggest", "1", "-o", "paint")
    assert code == 0
    (file,) = (folder / "paint").iterdir()
    assert out.splitlines()[0] == f"paint/{file.name}"
    assert "1 frame to paint in paint: " in out


def test_keys_as_they_are_typed() -> None:
    assert parse_keys(["0=a.png", "024=b=c.png"], {}) == {0: Path("a.png"), 24: Path("b=c.png")}
    for words, message in (
        ([], "no key frame; --key NUMBER=FILE; let --suggest 3"), (["a.png"], "the key 'a.png'; NUMBER=FILE"),
        (["-1=a.png"], "the key '-1=a.png'"), (["1="], "the key '1='"),
        (["1=a.png", "1=b.png"], "two paintings of frame 1"),
    ):  # fmt: skip
        with pytest.raises(VideoError, match=message):
            parse_keys(words, {})


def test_keys_by_the_numbers_in_their_names(tmp_path: Path) -> None:
    for name in ("000012.png", "night-7.PNG", "notes.txt"):
        (tmp_path / name).touch()
    twelve, seven = tmp_path / "000012.png", tmp_path / "night-7.PNG"
    assert parse_keys([str(tmp_path)], {}) == {12: twelve, 7: seven}
    assert parse_keys([str(seven), f"3={twelve}"], {}) == {7: seven, 3: twelve}
    with pytest.raises(VideoError, match="two paintings of frame 7"):
        parse_keys([f"7={twelve}", str(tmp_path)], {})
    (tmp_path / "sketch.png").touch()
    with pytest.raises(
        VideoError, match=f"the key '{tmp_path}'; NUMBER=FILE, .* names end in the number of the"
    ):
        parse_keys([str(tmp_path)], {})


def test_keys_are_named_as_the_frames_of_a_folder(tmp_path: Path) -> None:
    """Whose own numbers may begin anywhere."""
    for name in ("scene_0016.png", "scene_0018.png"):
        (tmp_path / name).touch()
    names = {f"scene_{number:04}": number - 16 for number in range(16, 20)}
    keys = {0: tmp_path / "scene_0016.png", 2: tmp_path / "scene_0018.png"}
    assert parse_keys([str(tmp_path)], names) == keys
    (tmp_path / "3.png").touch()
    with pytest.raises(VideoError, match="or pictures named as the frames are"):
        parse_keys([str(tmp_path)], names)


@pytest.mark.slow
def test_what_is_suggested_and_painted_over_is_a_key(propagate: Run, folder: Path, impasto: Run) -> None:
    (folder / "film").mkdir()
    for number, frame in enumerate(moving_square(3, 48, 64, 16), 7):
        pictures.save(folder / "film" / f"f{number}.png", from_pixels(frame))
    assert impasto("propagate", "film", "--suggest", "1", "-o", "paint")[0] == 0
    (suggested,) = (folder / "paint").iterdir()
    assert (folder / "film" / suggested.name).is_file()
    assert impasto("propagate", "film", "--key", "paint", "-o", "out")[0] == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["f7.png", "f8.png", "f9.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--key", "3=key.png"], "key 3 ('key.png') is not in the clip; frames are counted from 0 to 2"),
     (["--key", "1=key.png", "--limit", "1"], "key 1 ('key.png') is not in the clip; frames are"),
     (["--key", "0=style.png"], "key 0 ('style.png') is 48×48 pixels; the clip is 64×48, of another shape"),
     (["--key", "0=none.png"], "there is no file 'none.png'"), ([], "no key frame"),
     (["--suggest", "-1"], "-1 frames to suggest; 1 or more")],
)  # fmt: skip
def test_mistakes_are_one_line(propagate: Run, words: list[str], message: str) -> None:
    code, out, err = propagate(*words, "-o", "out.mkv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
