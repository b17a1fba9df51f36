"""Lists on the command line: commas, spaces, or the flag once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.cli import lists
from impasto.cli.main import app

FLAGS = {
    "--blend": lists.is_number,
    "--layers": lists.is_layer,
    "--loss": {"gram", "nearest"}.__contains__,
    "--x": lists.is_setting,
}


@pytest.mark.parametrize(
    ("typed", "joined"),
    [
        ("--blend 2 1", "--blend 2,1"),
        ("--blend 2, 1", "--blend 2,,1"),
        ("--blend 2,1 3", "--blend 2,1,3"),
        ("--blend=2 1", "--blend=2,1"),
        ("--blend 2 --blend 1", "--blend 2 --blend 1"),
        ("--blend -45 90 --other 3 4", "--blend=-45,90 --other 3 4"),
        ("--blend -45,90 -3 a.jpg -1 --other", "--blend=-45,90,-3 a.jpg -1 --other"),
        ("--blend 2 1 photo.jpg 3", "--blend 2,1 photo.jpg 3"),
        ("--blend x 1", "--blend x,1"),
        ("--layers relu1_1 block3_conv2 photo.jpg", "--layers relu1_1,block3_conv2 photo.jpg"),
        ("--layers conv1_1+conv4_1 relu1_1", "--layers conv1_1+conv4_1,relu1_1"),
        ("--loss gram nearest photo.jpg", "--loss gram,nearest photo.jpg"),
        ("--x weight=0.1 1 -o 2", "--x weight=0.1,1 -o 2"),
        ("--x loss=gram nearest photo.jpg", "--x loss=gram,nearest photo.jpg"),
        ("photo.jpg 1 2", "photo.jpg 1 2"),
        ("--blend 1 -- 2", "--blend 1 -- 2"),
    ],
)
def test_values_of_a_list_are_put_together(typed, joined):
    assert lists.join(typed.split(), FLAGS.get) == joined.split()
    assert lists.join(joined.split(), FLAGS.get) == joined.split()


def test_a_command_without_two_words_after_a_flag_asks_about_none():
    line = "photo.jpg a.jpg -o out.png --size 40 --blend=2 --layers relu1_1,relu2_1 --quiet"
    typed = line.split()
    assert lists.join(typed, lambda flag: pytest.fail(f"asked about {flag}")) == typed


def bound(line: str) -> dict[str, object]:
    """The arguments of a command as they arrive in its function."""
    _, arguments, _ = app.parse_args(line.split(), exit_on_error=False, print_error=False)
    return arguments.arguments


@pytest.mark.parametrize(
    "line",
    ["--style-blend 2,1", "--style-blend 2 1", "--style-blend 2 --style-blend 1", "--style-blend=2 1"],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_list_may_stand_before_or_after_the_pictures(line, first):
    pictures = "photo.jpg a.jpg b.jpg -o out.png"
    arguments = bound(f"stylize {line} {pictures}" if first else f"stylize {pictures} {line}")
    assert arguments["settings"].style_blend == (2.0, 1.0)
    assert arguments["style"] == [Path("a.jpg"), Path("b.jpg")]


@pytest.mark.parametrize(
    ("typed", "setting", "value"),
    [
        ("--style-loss gram nearest", "style_loss", ("gram", "nearest")),
        ("--style-layers relu1_1 relu2_1", "style_layers", ("relu1_1", "relu2_1")),
        ("--iterations 60 60,250", "iterations", (60, 60, 250)),
        ("--style-rotation 0 -90", "style_rotation", (0.0, -90.0)),
        ("--style-rotation -45 -90", "style_rotation", (-45.0, -90.0)),
        ("--style-rotation -45,90", "style_rotation", (-45.0, 90.0)),
        ("--style-crop 1 2 3 4", "style_crop", (1, 2, 3, 4)),
    ],
)
def test_every_list_of_the_recipe_takes_spaces(typed, setting, value):
    assert getattr(bound(f"stylize {typed} photo.jpg a.jpg -o out.png")["settings"], setting) == value


def test_paths_are_split_at_commas_unless_such_a_file_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stylize = "stylize photo.jpg a.jpg -o out.png --mask"
    assert bound(f"{stylize} a.png,b.png")["mask"] == [Path("a.png"), Path("b.png")]
    assert bound(f"{stylize} a.png b.png")["mask"] == [Path("a.png"), Path("b.png")]
    Path("a.png,b.png").touch()
    assert bound(f"{stylize} a.png,b.png")["mask"] == [Path("a.png,b.png")]


@pytest.mark.parametrize("typed", ["--seeds 0,1,2", "--seeds 0 1 2", "--seeds 0 --seeds 1 --seeds 2"])
def test_lists_of_a_study(typed):
    assert bound(f"study inits photo.jpg {typed}")["seeds"] == (0, 1, 2)


def test_lists_of_pictures_in_a_study():
    arguments = bound(
        "study styles --contents a.jpg b.jpg --styles painting:wave,c.jpg --starts content noise"
    )
    assert arguments["contents"] == ["a.jpg", "b.jpg"]
    assert arguments["styles"] == ["painting:wave", "c.jpg"]
    assert arguments["starts"] == ("content", "noise")
