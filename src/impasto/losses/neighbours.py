"""The nearest of many directions, none of which is taken much more often than the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["StyleDirections", "unit_rows"]

#: Queries that are compared at once, at most. More would take more memory; with fewer the threads of an
#: operation would wait for each other more often.
CHUNK = 640
#: The largest of the products is looked for in so many columns first and then in the best column, because
#: PyTorch finds the largest of many numbers ten times faster than the place where it stands.
COLUMNS = 64
#: How far a direction may be behind the nearest one, as a difference of cosines, and still be counted as
#: used, with a share that falls by a factor of e.
SOFTNESS = 0.05
#: log₂ e: powers of two take PyTorch a third of the time of powers of e.
LOG2E = 1.0 / math.log(2.0)
#: How often a direction may be used, times the mean over all.
CAPACITY = 2.5
#: The price of what nobody may take; finite, because who pays nothing would pay 0 · ∞.
FORBIDDING = 1e9
#: Added to a squared length, so that a vector of length 0 has a finite derivative.
TINY = 1e-12


def unit_rows(vectors: Tensor) -> Tensor:
    """Rows of (n, C) scaled to length 1; those shorter than 1e-6 stay near 0, with a finite gradient."""
    return vectors / (vectors.square().sum(1, keepdim=True) + TINY).sqrt()


class StyleDirections:
    """Features of a style as directions from their mean, to which others are matched.

    Args:
        bank: (m, C), features of the style.
        membership: (m, K), 1 for the part of the style that each feature belongs to, else 0; None: there are
            no parts.
        short: whether products are computed in bfloat16. A direction that is farther away by the rounding
            error, a cosine of about 0.004, may then be taken for the nearest.

    Attributes:
        centre: (C,), their mean.
        units: (m, C), the directions, of length 1.
    """

    def __init__(self, bank: Tensor, membership: Tensor | None = None, *, short: bool = False) -> None:
        self.centre = bank.mean(0)
        self.units = unit_rows(bank - self.centre)
        # A query that is followed by how well each part suits it is compared by the sum of both.
        keys = self.units if membership is None else torch.cat([self.units, membership.to(self.units)], 1)
        if len(bank) % COLUMNS:  # the last row of columns is filled up with copies of the first direction
            keys = torch.cat([keys, keys[:1].expand(-len(bank) % COLUMNS, -1)])
        self._keys = (keys.bfloat16() if short else keys).T  # (C, rows · COLUMNS)

    def queries(self, units: Tensor, suitability: Tensor | None) -> Tensor:
        """Queries for :meth:`matches`: directions (n, C), and how well the parts suit them (n, K)."""
        return units if suitability is None else torch.cat([units, suitability.to(units)], 1)

    def matches(
        self,
        queries: Tensor,
        prices: Tensor | None = None,
        weights: Tensor | None = None,
        payments: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The direction that suits each query best: that of the largest inner product, less its price.

        Args:
            queries: (n, C), of length 1; without gradient. With parts (n, C + K): followed by how well each
                of the K parts suits it, as a difference of cosines.
            prices: (m,) ≥ 0, in units of :data:`SOFTNESS`; None: all free, and their use is of no interest.
            weights: (n,) ≥ 0, how much each query counts; None: all equally.
            payments: (n,) in [0, 1], the share of the prices that each query pays; None: all pay in full.

        Returns:
            Indices (n,) of the directions, and their use (m,): the weights of the queries times what they
            pay, each divided among all directions by softmax. Without prices the use is empty.
        """
        offers = None if prices is None else self._offers(prices)
        use = queries.new_zeros(0 if offers is None else len(offers))
        indices = []
        payments = queries.new_ones(len(queries)) if payments is None else payments.to(queries)
        weights = payments if weights is None else weights * payments
        count = max(1, math.ceil(len(queries) / CHUNK))
        chunks = (values.tensor_split(count) for values in (queries, weights, payments))
        for chunk, weight, payment in zip(*chunks, strict=True):
            if offers is not None:
                chunk = chunk * (LOG2E / SOFTNESS)
            values = (chunk.to(self._keys.dtype) @ self._keys).to(queries.dtype)  # (chunk, rows · COLUMNS)
            if offers is not None:
                values = values.addr_(payment, offers, alpha=-1.0)
            indices.append(_largest(values))
            if offers is not None:
                shares = values.exp2_()  # at most e²⁰, because cosines are at most 1
                use += (weight.to(shares) / shares.sum(1)) @ shares
                del shares
            del values  # or there would be two of them during the next product
        found, kept = torch.cat(indices), len(self.units)
        return torch.where(found < kept, found, 0), use[:kept]

    def _offers(self, prices: Tensor) -> Tensor:
        """Prices of the keys as powers of two; nobody takes those that only fill up the last row."""
        filling = prices.new_full((self._keys.shape[1] - len(prices),), FORBIDDING)
        return torch.cat([prices * LOG2E, filling])


def _largest(values: Tensor) -> Tensor:
    """Where the largest number of each row of (n, m) stands, (n,); m is a multiple of ``COLUMNS``."""
    table: Tensor = values.unflatten(1, (-1, COLUMNS))
    column = table.amax(1).argmax(1)
    row = table[torch.arange(len(table), device=table.device), :, column].argmax(1)
    return row * COLUMNS + column


def next_prices(prices: Tensor, use: Tensor, capacity: Tensor) -> Tensor:
    """Prices (m,) that keep the use of each direction within its capacity (Cuturi 2013, Sinkhorn's step).

    Optimal transport with an upper bound on the mass that a direction of the style takes: a direction that is
    used too much becomes dearer for the next evaluation, and one that is not costs nothing.

    Args:
        prices: (m,), with which ``use`` was found.
        use: (m,), see :meth:`StyleDirections.matches`.
        capacity: (m,) or (), how much each may be used.
    """
    return (prices + (use.clamp_min(1e-30) / capacity.clamp_min(1e-30)).log()).clamp_min(0.0)
