"""Parses amounts with a unit, as people type them: memory and time."""

from __future__ import annotations

import re

from pydantic import ByteSize, TypeAdapter, ValidationError

from impasto.errors import RecipeError

__all__ = ["parse_bytes", "parse_seconds"]


def parse_bytes(text: str) -> float:
    """Bytes from ``4GB``, ``800 MB`` or ``2GiB``, as pydantic's ``ByteSize`` reads them.

    Raises:
        RecipeError: not a size, or not above 0.
    """
    try:
        size = float(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0.0
    if not size > 0:
        raise RecipeError(f"memory of {text!r}", "expected a size above 0, such as 4GB or 800MB")
    return size


def parse_seconds(text: str) -> float:
    """Seconds from ``20``, ``20s``, ``1.5m``, ``2h`` or ``1h30m``.

    Raises:
        RecipeError: not a time, or not above 0.
    """
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", text.strip().lower())
    try:
        parts = [float(part or 0) for part in match.groups()] if match else [0.0]
    except ValueError:
        parts = [0.0]
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not seconds > 0:
        raise RecipeError(f"a budget of {text!r}", "expected a time above 0, such as 20s, 1.5m or 1h30m")
    return seconds
