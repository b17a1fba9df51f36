"""The parser and its help pages: cyclopts with Impasto's rules for lists, usage lines and examples."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, get_origin

from cyclopts import App
from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel
from rich.text import Text

from impasto.cli import lists
from impasto.cli.lists import bare_type

__all__ = ["CommandLine", "HelpPages"]

#: A parameter's type as cyclopts shows it → the placeholder on a help page.
PLACEHOLDERS = {"INT": "NUMBER", "FLOAT": "NUMBER", "STR": "TEXT"}


class CommandLine(App):
    """The root of all commands.

    Attributes:
        epilogue: text below the help page of ``impasto`` itself.
    """

    epilogue: str = ""

    def parse_args(self, tokens: Any = None, **options: Any) -> Any:
        """Parse as cyclopts does, after joining the values of each list flag."""
        words = _words(tokens)
        chain, apps, _ = self.parse_commands(words)
        command = apps[-1]
        asks_for_help = bool(chain) and chain[-1].startswith("-")
        if command.default_command is not None and not asks_for_help:
            # Assembled only where it is needed, because that takes longer than all the rest of the parsing.
            flags = cache(lambda: lists.list_flags(command.assemble_argument_collection()))
            words = lists.join(words, lambda flag: flags().get(flag))
        return super().parse_args(words, **options)

    def help_print(self, tokens: Any = None, **options: Any) -> None:
        """Print the page as cyclopts does, with a usage line in the order of typing and the examples."""
        words = _words(tokens)
        chain, apps, _ = self.parse_commands(words)
        command = apps[-1]
        if command.default_command is not None and command.usage is None:
            command.usage = usage_line(command, ["impasto", *chain])
        # A command that is loaded on demand has no summary for the list of commands until it is loaded.
        command.resolved_commands()
        super().help_print(words, **options)
        epilogue = self.epilogue if command is self else examples(command)
        if epilogue:
            # Printed without line breaks of the terminal's width, so that examples can be copied.
            print(f"\n{epilogue}")


def _words(tokens: str | Sequence[str] | None) -> list[str]:
    if isinstance(tokens, str):
        return shlex.split(tokens)
    return list(sys.argv[1:] if tokens is None else tokens)


def usage_line(command: App, program: list[str]) -> str:
    """``impasto stylize CONTENT STYLE... --output PATH [OPTIONS]``: positional arguments first."""
    positional, required, has_options = [], [], False
    for argument in command.assemble_argument_collection():
        if argument.index is not None:
            several = get_origin(bare_type(argument.hint)) in (list, tuple)
            word = argument.name.lstrip("-").upper() + ("..." if several else "")
            positional.append(word if argument.required else f"[{word}]")
        elif argument.required:
            required.append(f"{argument.name} {_placeholder(argument.hint)}")
        else:
            has_options = True
    return " ".join([*program, *positional, *required, *(["[OPTIONS]"] if has_options else [])])


def _placeholder(hint: Any) -> str:
    name = str(getattr(bare_type(hint), "__name__", "value")).upper()
    return PLACEHOLDERS.get(name, name)


def examples(command: App) -> str:
    """The examples in a command's docstring; for a group of commands, the first one of each command."""
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
    """Help panels that name types for users: NUMBER and TEXT rather than INT, FLOAT and STR."""

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        """Print a command's description."""
        _unwrap(description)
        super().render_description(console, options, description)

    def __call__(self, console: Any, options: Any, panel: HelpPanel) -> None:
        """Print one panel."""
        super().__call__(console, options, panel.copy(entries=list(map(_readable, panel.entries))))


def _readable(entry: HelpEntry) -> HelpEntry:
    _unwrap(entry.description)
    if entry.positional_label:
        # A positional argument may be given by name too, but the page shows one way only.
        return entry.copy(positive_names=(), positive_shorts=())
    if entry.metavar is None:
        return entry
    metavar = re.sub(r"[A-Z]+", lambda match: PLACEHOLDERS.get(match[0], match[0]), entry.metavar)
    if metavar.startswith("NUMBER|CHOICE") and entry.choices:
        return entry.copy(metavar="|".join(["NUMBER", *entry.choices]), choices=None)
    return entry.copy(metavar=metavar)


def _unwrap(description: Any) -> None:
    """Remove a docstring's line breaks within paragraphs: the terminal breaks lines at its own width."""
    text = getattr(description, "primary_renderable", None)
    if isinstance(text, Text):
        paragraphs = [" ".join(part.split()) for part in text.plain.split("\n\n")]
        text.plain = "\n\n".join(paragraphs) + "\n" * text.plain.endswith("\n")
