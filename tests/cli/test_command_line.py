"""Help pages: every command has its usage, its settings and an example that works; none speaks of Python."""

from __future__ import annotations

import os
import re
import shlex

import pytest

from impasto.cli.main import app
from impasto.recipe import Recipe


def all_commands() -> list[str]:
    """Every command that does something, as it is typed."""
    names = []
    for name, command in app.resolved_commands().items():
        if name.startswith("-"):
            continue
        inner = [f"{name} {sub}" for sub in command.resolved_commands() if not sub.startswith("-")]
        names += [name] if command.default_command else inner
    return names


COMMANDS = all_commands()
#: Their help pages are written elsewhere.
OWN_PAGES = [name for name in COMMANDS if name not in ("video", "video-report", "studio")]


#: Command and columns → its help page, which takes half a second and is looked at by several tests.
PAGES: dict[tuple[str, str | None], str] = {}


def page(impasto, name: str) -> str:
    key = name, os.environ.get("COLUMNS")
    if key not in PAGES:
        code, out, err = impasto(*name.split(), "--help")
        assert (code, err) == (0, "")
        PAGES[key] = out
    return PAGES[key]


def test_there_are_commands():
    assert {"stylize", "study weights", "weights fetch", "doctor"} <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN_PAGES)
def test_every_page_has_an_example_that_the_command_line_takes(impasto, name):
    examples = page(impasto, name).split("Examples:")[1].strip().splitlines()
    assert examples
    for example in examples:
        program, *words = shlex.split(example)
        assert (program, words[: len(name.split())]) == ("impasto", name.split())
        app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("name", ["", "study", "weights"])
def test_groups_of_commands_have_examples_too(impasto, name):
    assert "impasto " in page(impasto, name).split("Examples:")[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_page_speaks_of_python(impasto, name):
    out = page(impasto, name)
    assert (
        re.findall(r"\(\s*'|\(\)|,\)|\bNone\b|\bINT\b|\bFLOAT\b|\bSTR\b|\[default: (?:True|False)", out) == []
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("stylize", "impasto stylize CONTENT STYLE... --output PATH [OPTIONS]"),
        ("texture", "impasto texture STYLE... --output PATH [OPTIONS]"),
        ("study weights", "impasto study weights [CONTENT] [STYLE] [OPTIONS]"),
        ("weights fetch", "impasto weights fetch NAME [OPTIONS]"),
        ("blend", "impasto blend PAINTED --output PATH --strength NUMBER [OPTIONS]"),
        ("weights", "impasto weights COMMAND"),
    ],
)
def test_usage_lines_are_in_the_order_of_typing(impasto, name, usage):
    assert page(impasto, name).splitlines()[0] == f"Usage: {usage}"


def test_the_rule_for_lists_is_said_once(impasto):
    assert "A list is written with commas or with spaces" in page(impasto, "")
    assert "commas or with spaces" not in page(impasto, "stylize")


def test_the_page_of_stylize_names_every_setting_with_its_default_and_range(impasto, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = " ".join(page(impasto, "stylize").replace("│", " ").split())
    for name, field in Recipe.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert field.description
        assert " ".join(field.description.split()[:5]) in text, name
    assert "[default: 512]" in text
    assert "[default: compact]" in text
    assert "[default: 60]" in text
    assert "[default: relu1_1,relu2_1,relu3_1,relu4_1,relu5_1]" in text


def test_the_terminal_breaks_lines_and_not_the_source(impasto, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert "with the full VGG-19." in page(impasto, "stylize")
    assert any(
        "Settings to start from" in line and "VGG-19" in line
        for line in page(impasto, "stylize").splitlines()
    )
