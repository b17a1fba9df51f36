"""Amounts with a unit."""

from __future__ import annotations

import pytest

from impasto.errors import RecipeError
from impasto.quantities import parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("4GB", 4e9), ("800 MB", 8e8), ("2GiB", 2**31), ("1.5gb", 1.5e9), ("100", 100)]
)
def test_memory(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20", 20), ("20s", 20), ("1.5m", 90), ("2h", 7200), ("1h30m", 5400), ("1m30s", 90), (" 5M ", 300)],
)
def test_time(text, expected):
    assert parse_seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-3s", "soon", "1d", "m", "nan"])
def test_what_is_no_time_and_no_memory(text):
    for parse in (parse_seconds, parse_bytes):
        with pytest.raises(RecipeError, match="above 0"):
            parse(text)
