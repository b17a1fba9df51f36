"""How flags take lists: values after commas, after spaces, or after the repeated flag.

``--style-blend 2,1``, ``--style-blend 2 1`` and ``--style-blend 2 --style-blend 1`` are the same. Words after
spaces belong to the list as long as they look like its values (numbers, layers, the possible names), so that
a picture's path may still follow. A list of paths ends only at the next flag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import ArgumentCollection, Parameter, Token, convert

from impasto.errors import RecipeError
from impasto.networks.layers import canonical_layer

__all__ = [
    "PATH_LIST",
    "VALUE_LIST",
    "bare_type",
    "is_layer",
    "is_number",
    "is_setting",
    "join",
    "list_flags",
]

#: Tells whether a word looks like a value of a list.
ValueTest = Callable[[str], bool]


def bare_type(hint: Any) -> Any:
    """A parameter's type without ``Annotated`` and without ``| None``."""
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint):
            members = [member for member in get_args(hint) if member is not NoneType]
            if len(members) > 1:
                return hint
            hint = members[0]
        else:
            return hint


def split_values(type_: Any, tokens: Sequence[Token]) -> Any:
    """A cyclopts converter for lists of numbers and names: commas separate values."""
    parts = [
        token.evolve(value=part.strip())
        for token in tokens
        for part in token.value.split(",")
        if part.strip()
    ]
    return convert(bare_type(type_), parts)


def split_paths(type_: Any, tokens: Sequence[Token]) -> Any:
    """A cyclopts converter for lists of paths and pictures: commas separate, unless such a file exists."""
    values = [token.value for token in tokens]
    parts = [
        part
        for value in values
        for part in ([value] if "," not in value or Path(value).exists() else value.split(","))
    ]
    element = get_args(bare_type(type_))[0]
    return [element(part.strip()) for part in parts if part.strip()]


VALUE_LIST = Parameter(converter=split_values)
PATH_LIST = Parameter(converter=split_paths, consume_multiple=True)


def list_flags(arguments: ArgumentCollection) -> dict[str, ValueTest]:
    """Flag → test of its values, for the flags of a command that take a list of values."""
    flags: dict[str, ValueTest] = {}
    for argument in arguments:
        if argument.index is not None or argument.parameter.consume_multiple is not None:
            continue
        is_value = _value_test(argument.hint, argument.names)
        if is_value is not None:
            flags |= dict.fromkeys((name for name in argument.names if name.startswith("-")), is_value)
    return flags


def _value_test(hint: Any, names: Iterable[str]) -> ValueTest | None:
    """The test for values of a flag's type; None if it is not a list, or a list of paths."""
    hint = bare_type(hint)
    if get_origin(hint) not in (tuple, list):
        return None
    element = bare_type(get_args(hint)[0])
    if element in (int, float):
        return is_number
    if get_origin(element) is Literal:
        return get_args(element).__contains__
    if element is str:
        return is_layer if any(name.endswith("layers") for name in names) else is_setting
    return None


def is_number(word: str) -> bool:
    """Whether a word is a decimal number, with an exponent or without."""
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word, re.IGNORECASE) is not None


def is_layer(word: str) -> bool:
    """Whether a word is a layer's name, or several joined by +."""
    try:
        return all(bool(canonical_layer(name)) for name in word.split("+"))
    except RecipeError:
        return False


def is_setting(word: str) -> bool:
    """Whether a word is a number, a layer, or a plain name that is not the name of a file."""
    plain = re.fullmatch(r"[a-z][a-z0-9_-]*", word) is not None and not Path(word).exists()
    return plain or is_number(word) or is_layer(word)


def join(tokens: Sequence[str], test_of: Callable[[str], ValueTest | None]) -> list[str]:
    """Join the values of each list flag into one word: ``--style-blend 2 1`` → ``--style-blend 2,1``.

    Args:
        tokens: the words of a command line.
        test_of: flag → test of its values; None: it takes no list, and stays as it is. Asked only about flags
            that two words follow.
    """
    joined: list[str] = []
    flag, has_value = "", False
    for position, token in enumerate(tokens):
        if token == "--":
            return joined + list(tokens[position:])
        name, equals, value = token.partition("=")
        if name.startswith("-") and not _all_values(token, is_number):
            flag, has_value = name, bool(equals and value)
            joined.append(token)
        elif flag and has_value and (is_value := test_of(flag)) and _all_values(token, is_value):
            joined[-1] += f",{token.strip(',')}"
        else:
            # The first word after a flag is its value whatever it looks like. Later, a word that does not
            # look like a value ends the list.
            flag = flag if not has_value else ""
            if flag.startswith("--") and token.startswith("-"):
                joined[-1] += f"={token}"  # the parser would take -45,90 for a flag
            else:
                joined.append(token)
            has_value = True
    return joined


def _all_values(token: str, is_value: ValueTest) -> bool:
    parts = [part.strip() for part in token.split(",") if part.strip()]
    return bool(parts) and all(is_value(part) for part in parts)
