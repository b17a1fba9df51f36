"""Words for people."""

from __future__ import annotations

import pytest

from impasto.cli.messages import alternatives, as_typed, count, duration


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((), None), (None, None), (False, None), (("relu3_2",), "relu3_2"), ((1.0, 2.5), "1,2.5"),
        (0.004, "0.004"), (178_000_000, "178000000"), ("auto", "auto"), (0, "0"), (0.0, "0"),
    ],
)  # fmt: skip
def test_a_value_as_it_is_typed(value, text):
    assert as_typed(value) == text


def test_counts_and_alternatives():
    assert (count(1, "shot"), count(0, "shot"), count(2, "shot")) == ("1 shot", "0 shots", "2 shots")
    assert [alternatives(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "", "a", "a or b", "a, b or c",
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (89, "89 s"), (120, "2 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text
