"""Text for people: values as they are typed, counts, times, and one line for each usage error."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from impasto.cli.lists import bare_type

__all__ = ["alternatives", "as_typed", "count", "duration", "explain"]


def as_typed(value: Any) -> str | None:
    """A setting's value as it would be typed: ``relu1_1,relu2_1``; None for None, False and empty lists."""
    if value is None or value is False or value == () or value == []:
        return None
    if isinstance(value, (list, tuple)):
        return ",".join(as_typed(item) or "" for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def alternatives(words: Sequence[str]) -> str:
    """``draft, fast or fine``."""
    return "".join(words) if len(words) < 2 else f"{', '.join(words[:-1])} or {words[-1]}"


def count(number: int, noun: str) -> str:
    """``1 iteration``, ``60 iterations``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """A duration in words: ``12 s``, ``3 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def explain(error: CycloptsError) -> str:
    """One line for a command line that cannot be parsed."""
    see_help = f"see `{' '.join(['impasto', *(error.command_chain or ())])} --help`"
    if isinstance(error, CoercionError) and error.token is not None and error.msg is None:
        return f"{_name_of(error)} {error.token.value}: {_described_type(error.target_type)} is expected"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"{_name_of(error)} is missing{' a value' if error.keyword else ''}; {see_help}"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"{' '.join(error.unused_tokens)!r} is not expected here; {see_help}"
    if isinstance(error, UnknownOptionError) and (reason := _why_not_applicable(error)):
        return f"{reason}; {see_help}"
    if isinstance(error, UnknownCommandError) and error.app is not None and error.unused_tokens:
        commands = [name for name in error.app if not name.startswith("-")]
        close = difflib.get_close_matches(error.unused_tokens[0], commands, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"possible are {', '.join(sorted(commands))}"
        return f"unknown command {error.unused_tokens[0]!r}; {remedy}"
    return " ".join(str(error).split())


def _name_of(error: CoercionError | MissingArgumentError) -> str:
    """A flag as it was typed; a positional argument in capitals, as on the help page."""
    keyword = (
        error.keyword if isinstance(error, MissingArgumentError) else error.token and error.token.keyword
    )
    if keyword:
        return keyword
    assert error.argument is not None
    name = error.argument.name
    return name if error.argument.index is None else name.lstrip("-").upper()


def _described_type(hint: Any) -> str:
    hint = bare_type(hint)
    if get_origin(hint) is Literal:
        return alternatives([str(choice) for choice in get_args(hint)])
    return {int: "a whole number", float: "a number"}.get(hint, "another kind of value")


def _why_not_applicable(error: UnknownOptionError) -> str | None:
    """Why the command has no flag for a setting of the recipe; None if the name is not such a setting."""
    from impasto.cli.flags import NOT_APPLICABLE

    name = (error.token.keyword or error.token.value).partition("=")[0]
    reasons = NOT_APPLICABLE.get(" ".join(error.command_chain or ()), {})
    reason = reasons.get(name.lstrip("-").replace("-", "_"))
    return None if reason is None else f"{name} does not apply: {reason}"
