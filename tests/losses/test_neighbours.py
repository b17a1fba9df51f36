"""The nearest directions are those that a search through all of them finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fakes import array
from impasto.losses.neighbours import CHUNK, ROUNDING, StyleDirections, unit_rows


def rows(count: int, channels: int, seed: int, *, spread: float = 1.0) -> torch.Tensor:
    """Rows around a common vector; the smaller ``spread`` is, the nearer they are to each other."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(1, channels, generator=generator)
    return common + spread * torch.randn(count, channels, generator=generator)


def nearest(bank: torch.Tensor, queries: torch.Tensor) -> np.ndarray:
    """Brute force in float64, with the mean and the lengths computed anew."""
    centred = array(bank) - array(bank).mean(0)
    directions = centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-12)
    return (array(queries) @ directions.T).argmax(1)


@pytest.mark.parametrize("screened", [False, True])
@pytest.mark.parametrize("count", [1, 5, 64, 65, 1000, 4096])
@pytest.mark.parametrize("channels", [3, 64])
def test_the_nearest_of_all(screened, count, channels):
    bank = rows(count, channels, 0)
    queries = unit_rows(rows(CHUNK + 3 if count == 1000 else 50, channels, 1) - bank.mean(0))
    found = StyleDirections(bank, screened=screened).nearest(queries)
    assert found.tolist() == nearest(bank, queries).tolist()


def test_screening_keeps_what_bfloat16_cannot_tell_apart():
    # All directions lie within the rounding error of each other, so the products in bfloat16 are all alike.
    bank = torch.cat([rows(200, 32, 2, spread=1e-4), -rows(200, 32, 2, spread=1e-4)])
    style = StyleDirections(bank, screened=True)
    queries = style.units[:40]
    rounded = queries.bfloat16() @ style.units.bfloat16().T
    assert (rounded.argmax(1) != torch.arange(40)).float().mean() > 0.5, "nothing to tell apart"
    exact = queries @ style.units.T
    found = exact.gather(1, style.nearest(queries)[:, None])[:, 0]
    torch.testing.assert_close(found, exact.amax(1), rtol=0, atol=1e-6)


def test_the_bound_on_rounding_holds():
    # Equal numbers that are just below the middle between two of bfloat16: all errors have the same sign.
    for channels in (1, 2, 16, 64):
        unit = unit_rows(torch.full((1, channels), 1.0 + 2.0**-8 - 1e-6))
        worst = unit_rows(rows(2000, channels, 3))
        for a, b in ((unit, unit), (worst, worst)):
            error = (a.bfloat16() @ b.bfloat16().T).float() - a @ b.T
            assert 2 * float(error.abs().max()) <= ROUNDING


def test_equally_near_directions_give_the_first():
    bank = torch.eye(4).repeat(40, 1)
    for screened in (False, True):
        style = StyleDirections(bank, screened=screened)
        assert (style.nearest(style.units[[1, 41, 157]]) % 4).tolist() == [1, 1, 1]
    assert style.nearest(style.units[[1, 41, 157]]).tolist() == [1, 1, 1]


def test_what_is_not_a_number_has_an_index_too():
    queries = torch.full((2, 8), torch.nan)
    for screened in (False, True):
        found = StyleDirections(rows(70, 8, 4), screened=screened).nearest(queries)
        assert ((found >= 0) & (found < 70)).all()
