"""The nearest of many directions, found exactly and without looking at every product in full precision."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["StyleDirections", "unit_rows"]

#: Products are looked at in so many columns: the largest of each column first, then only the best columns.
#: PyTorch finds the largest of many numbers ten times faster than the place where it stands.
COLUMNS = 64
#: Twice the largest error of a product of two unit vectors in bfloat16: rounding changes each of their
#: numbers, and the product, by 2⁻⁸ of itself at most.
ROUNDING = 2 * 3 * 2.0**-8
#: Directions that are compared at once; bounds the memory.
CHUNK = 1024
#: Added to a squared length, so that a vector of length 0 has a finite derivative.
TINY = 1e-12


def unit_rows(vectors: Tensor) -> Tensor:
    """Rows of (n, C) scaled to length 1; those shorter than 1e-6 stay near 0, with a finite gradient."""
    return vectors / (vectors.square().sum(1, keepdim=True) + TINY).sqrt()


class StyleDirections:
    """Features of a style as directions from their mean, among which the nearest to others can be found.

    Args:
        bank: (m, C), features of the style.
        screened: whether the products with all directions are computed in bfloat16, and only those that may
            be the largest again in full. The result is the same; where a processor multiplies bfloat16, it
            takes half the time.

    Attributes:
        centre: (C,), their mean.
        units: (m, C), the directions, of length 1.
    """

    def __init__(self, bank: Tensor, *, screened: bool = False) -> None:
        self.centre = bank.mean(0)
        self.units = unit_rows(bank - self.centre)
        self._screened = screened
        # The last row of columns is filled up with directions from the beginning.
        self._filled = torch.arange(-(-len(bank) // COLUMNS) * COLUMNS, device=bank.device) % len(bank)
        keys = self.units[self._filled]
        self._keys = (keys.bfloat16() if screened else keys).T  # (C, rows · COLUMNS)

    def nearest(self, queries: Tensor) -> Tensor:
        """Indices (n,) of the directions with the largest inner product with each of ``queries`` (n, C)."""
        find = self._screened_nearest if self._screened else self._nearest
        return self._filled[torch.cat([find(chunk) for chunk in queries.detach().split(CHUNK)])]

    def _nearest(self, queries: Tensor) -> Tensor:
        products = (queries @ self._keys).view(len(queries), -1, COLUMNS)
        column = products.amax(1).argmax(1)
        row = products[torch.arange(len(queries), device=column.device), :, column].argmax(1)
        return row * COLUMNS + column

    def _screened_nearest(self, queries: Tensor) -> Tensor:
        count = len(queries)
        products = (queries.bfloat16() @ self._keys).view(count, -1, COLUMNS)
        # Integers of the same bits have the same order, except among negative numbers, and PyTorch finds the
        # largest of them eight times faster. The largest product is not negative, because the directions are
        # those from their mean.
        largest = products.view(torch.int16).amax(1).view(torch.bfloat16).float()  # (n, COLUMNS)
        limit = largest.amax(1) - ROUNDING
        query, column = (largest >= limit[:, None]).nonzero(as_tuple=True)
        candidate, row = (products[query, :, column] >= limit[query, None]).nonzero(as_tuple=True)
        query, key = query[candidate], row * COLUMNS + column[candidate]
        exact = (queries[query] * self.units[self._filled[key]]).sum(1)
        best = exact.new_full((count,), -torch.inf).scatter_reduce(0, query, exact, "amax")
        found = exact == best[query]
        # Of several that are equally near the first one is taken; one that is not a number has some index.
        last = key.new_full((count,), len(self._filled) - 1)
        return last.scatter_reduce(0, query[found], key[found], "amin")
