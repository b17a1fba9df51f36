"""The schedule of scales: sizes, where the content counts, and rounds of matching."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.painting.schedule import content_share, rounds
from impasto.recipe import Recipe


@pytest.mark.parametrize(
    ("size", "final", "share"),
    [(128, 512, 1.0), (256, 512, 1.0), (512, 512, 0.25),
     (256, 1024, 1.0), (512, 1024, 0.25), (1024, 1024, 0.25),
     # Of a small picture the finest scale still belongs to the style.
     (128, 256, 1.0), (256, 256, 0.25), (150, 300, 1.0), (300, 300, 0.25)],
)  # fmt: skip
def test_the_content_lets_go_beyond_a_size(size, final, share):
    recipe = Recipe(content_until=256, fine_content=0.25)
    assert content_share(recipe, (size * 3 // 4, size), (final * 3 // 4, final)) == share


def test_by_default_and_without_a_style_the_content_counts_at_every_scale():
    assert content_share(Recipe(), (512, 512), (512, 512)) == 1.0
    alone = Recipe(content_until=64, style_weight=0.0)
    assert content_share(alone, (512, 512), (512, 512)) == 1.0


@given(st.integers(1, 500), st.integers(0, 100))
def test_rounds_share_all_evaluations(evaluations, every):
    recipe = Recipe(rematch_every=every)
    assert rounds(recipe, evaluations, rematched=False) == [evaluations]
    lengths = rounds(recipe, evaluations, rematched=True)
    assert sum(lengths) == evaluations
    assert min(lengths) >= 1
    assert not every or max(lengths) <= max(every, 1)
