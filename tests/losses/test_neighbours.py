"""Matching: the nearest directions are those of a search through all, and the use of each is bounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from fakes import array
from impasto.losses.neighbours import CAPACITY, CHUNK, SOFTNESS, StyleDirections, next_prices, unit_rows


def rows(count: int, channels: int, seed: int) -> torch.Tensor:
    """Rows around a common vector."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(1, channels, generator=generator)
    return common + torch.randn(count, channels, generator=generator)


def scores(style: StyleDirections, queries: torch.Tensor, prices: torch.Tensor) -> np.ndarray:
    """Products less prices, all of them, in float64."""
    return array(queries) @ array(style.units).T / SOFTNESS - array(prices)


@pytest.mark.parametrize("count", [1, 5, 64, 65, 1000, 4096])
@pytest.mark.parametrize("channels", [3, 64])
def test_the_best_of_all(count, channels):
    bank = rows(count, channels, 0)
    style = StyleDirections(bank)
    queries = unit_rows(rows(CHUNK + 3 if count == 1000 else 50, channels, 1) - bank.mean(0))
    free = torch.zeros(count)
    assert style.matches(queries)[0].tolist() == scores(style, queries, free).argmax(1).tolist()
    prices = 4.0 * torch.rand(count, generator=torch.Generator().manual_seed(2))
    found, use = style.matches(queries, prices)
    assert found.tolist() == scores(style, queries, prices).argmax(1).tolist()
    expected = oracles.use_of_styles(scores(style, queries, prices), np.ones(len(queries)))
    np.testing.assert_allclose(array(use), expected, rtol=1e-4, atol=1e-6)


def test_weights_count_in_the_use():
    style, queries = StyleDirections(rows(30, 8, 3).double()), unit_rows(rows(300, 8, 4).double())
    weights = torch.rand(300, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found, use = style.matches(queries, torch.zeros(30, dtype=torch.float64), weights)
    assert found.equal(style.matches(queries)[0])
    free = torch.zeros(30)
    np.testing.assert_allclose(
        array(use), oracles.use_of_styles(scores(style, queries, free), array(weights)), rtol=1e-9
    )
    assert float(use.sum()) == pytest.approx(float(weights.sum()))


def test_who_pays_less_avoids_less_and_counts_less():
    style, queries = StyleDirections(rows(70, 8, 3).double()), unit_rows(rows(300, 8, 4).double())
    generator = torch.Generator().manual_seed(5)
    weights, payments = torch.rand(2, 300, generator=generator, dtype=torch.float64)
    payments[:40], payments[40:80] = 0.0, 1.0
    prices = 9.0 * torch.rand(70, generator=generator, dtype=torch.float64)
    found, use = style.matches(queries, prices, weights, payments)
    paid = scores(style, queries, torch.zeros(70)) - array(payments)[:, None] * array(prices)
    assert found.tolist() == paid.argmax(1).tolist()
    assert found[:40].equal(style.matches(queries[:40])[0])
    np.testing.assert_allclose(array(use), oracles.use_of_styles(paid, array(weights * payments)), rtol=1e-9)


def test_products_in_bfloat16_miss_the_nearest_by_their_rounding_at_most():
    bank = rows(4096, 64, 6)
    style, short = StyleDirections(bank), StyleDirections(bank, short=True)
    queries = unit_rows(rows(500, 64, 7) - bank.mean(0))
    exact = queries @ style.units.T
    best = exact.gather(1, style.matches(queries)[0][:, None])
    taken = exact.gather(1, short.matches(queries)[0][:, None])
    # Rounding changes each of two products by 2⁻⁸ of a cosine of at most 1 or so.
    assert float((best - taken).max()) <= 2 * 3 * 2.0**-8
    assert float((best - taken).mean()) < 1e-3


def test_equally_near_directions_give_the_first():
    style = StyleDirections(torch.eye(4).repeat(40, 1))
    assert style.matches(style.units[[1, 41, 157]])[0].tolist() == [1, 1, 1]


def test_what_is_not_a_number_has_an_index_too():
    found, _ = StyleDirections(rows(70, 8, 4)).matches(torch.full((2, 8), torch.nan))
    assert ((found >= 0) & (found < 70)).all()


def within_bound(prices: torch.Tensor, use: torch.Tensor) -> torch.Tensor:
    return next_prices(prices, use, CAPACITY * use.mean())


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 1000), st.floats(0.0, 1.0))
def test_prices_keep_the_use_within_its_bound(seed, flatness):
    # A part of the queries are all alike, as in an even sky, and nearest to very few directions.
    style = StyleDirections(rows(60, 5, seed).double())
    queries = unit_rows(rows(200, 5, seed + 1).double())
    queries[: int(flatness * 200)] = queries[0]
    prices = torch.zeros(60, dtype=torch.float64)
    for _ in range(300):
        prices = within_bound(prices, style.matches(queries, prices)[1])
    use = style.matches(queries, prices)[1]
    assert float(use.max()) <= 1.02 * CAPACITY * float(use.mean())
    assert bool((prices >= 0).all())
    # Only what reaches the bound costs anything.
    assert bool((use[prices > 1e-3] > 0.9 * CAPACITY * use.mean()).all())


def test_even_use_costs_nothing():
    assert within_bound(torch.zeros(7), torch.ones(7)).tolist() == [0.0] * 7
    assert within_bound(torch.zeros(7), torch.zeros(7)).tolist() == [0.0] * 7
    assert float(within_bound(torch.tensor([0.3, 0.0]), torch.tensor([0.0, 1.0]))[0]) == 0.0


def test_a_tile_without_any_query_uses_nothing():
    style = StyleDirections(torch.randn(70, 5, generator=torch.Generator().manual_seed(0)))
    found, use = style.matches(torch.zeros(0, 5), torch.zeros(70))
    assert (found.shape, use.tolist()) == ((0,), [0.0] * 70)
