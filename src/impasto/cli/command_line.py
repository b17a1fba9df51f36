"""The parser and its help pages: cyclopts with Impasto's rules for lists, usage lines and examples."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any, get_origin

from cyclopts import App
from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel
from rich.text import Text

from impasto.cli import lists
from impasto.cli.lists import bare_type

__all__ = ["CommandLine", "HelpPages"]

#: What a parser calls a value → what a help page calls it.
KINDS = {"INT": "NUMBER", "FLOAT": "NUMBER", "STR": "TEXT"}


class CommandLine(App):
    """The root of all commands.

    Attributes:
        epilogue: text below its own help page.
    """

    epilogue: str = ""

    def parse_args(self, tokens: Any = None, **options: Any) -> Any:
        """As cyclopts does it, after the values of list flags have been put together."""
        words = _words(tokens)
        chain, apps, _ = self.parse_commands(words)
        command = apps[-1]
        if command.default_command is not None and not chain[-1].startswith("-"):  # no --help
            words = lists.join(words, lists.list_flags(command.assemble_argument_collection()))
        return super().parse_args(words, **options)

    def help_print(self, tokens: Any = None, **options: Any) -> None:
        """As cyclopts does it, with a usage line in the order of typing and the docstring's examples."""
        words = _words(tokens)
        chain, apps, _ = self.parse_commands(words)
        command = apps[-1]
        if command.default_command is not None and command.usage is None:
            command.usage = usage_line(command, ["impasto", *chain])
        command.resolved_commands()  # those that are loaded on demand have their help line only then
        super().help_print(words, **options)
        epilogue = self.epilogue if command is self else examples(command)
        if epilogue:  # never broken into lines: an example is there to be copied
            print(f"\n{epilogue}")


def _words(tokens: str | Sequence[str] | None) -> list[str]:
    if isinstance(tokens, str):
        return shlex.split(tokens)
    return list(sys.argv[1:] if tokens is None else tokens)


def usage_line(command: App, program: list[str]) -> str:
    """``impasto stylize CONTENT STYLE... --output PATH [OPTIONS]``: positional arguments first."""
    positional, required = [], []
    for argument in command.assemble_argument_collection():
        if argument.index is not None:
            several = get_origin(bare_type(argument.hint)) in (list, tuple)
            word = argument.name.lstrip("-").upper() + ("..." if several else "")
            positional.append(word if argument.required else f"[{word}]")
        elif argument.required:
            required.append(f"{argument.name} {_kind_of(argument.hint)}")
    return " ".join([*program, *positional, *required, "[OPTIONS]"])


def _kind_of(hint: Any) -> str:
    name = str(getattr(bare_type(hint), "__name__", "value")).upper()
    return KINDS.get(name, name)


def examples(command: App) -> str:
    """The ``Examples`` in a command's docstring; of a group of commands, the first of each."""
    if command.default_command is None:
        commands = [app for app in command.resolved_commands().values() if app.default_command is not None]
        lines = [line for app in commands for line in _documented_examples(app)[:1]]
    else:
        lines = _documented_examples(command)
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)]) if lines else ""


def _documented_examples(command: App) -> list[str]:
    text = inspect.getdoc(command.default_command) or ""
    match = re.search(r"^Examples\n-+\n(.*?)(?:\n\n\S|\Z)", text, re.DOTALL | re.MULTILINE)
    return [] if match is None else match[1].splitlines()


class HelpPages(DefaultFormatter):
    """Help panels without the names that Python has for things."""

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        """Print what a command does."""
        _rejoin(description)
        super().render_description(console, options, description)

    def __call__(self, console: Any, options: Any, panel: HelpPanel) -> None:
        """Print one panel."""
        super().__call__(console, options, panel.copy(entries=list(map(_readable, panel.entries))))


def _readable(entry: HelpEntry) -> HelpEntry:
    _rejoin(entry.description)
    if entry.positional_label:  # it may be given by name too, but one way is enough to read
        return entry.copy(positive_names=(), positive_shorts=())
    if entry.metavar is None:
        return entry
    words = re.sub(r"[A-Z]+", lambda match: KINDS.get(match[0], match[0]), entry.metavar)
    if words.startswith("NUMBER|CHOICE") and entry.choices:
        return entry.copy(metavar="|".join(["NUMBER", *entry.choices]), choices=None)
    return entry.copy(metavar=words)


def _rejoin(description: Any) -> None:
    """Let the terminal break the lines of a text, not the source that it was written in."""
    text = getattr(description, "primary_renderable", None)
    if isinstance(text, Text):
        paragraphs = [" ".join(part.split()) for part in text.plain.split("\n\n")]
        text.plain = "\n\n".join(paragraphs) + "\n" * text.plain.endswith("\n")
