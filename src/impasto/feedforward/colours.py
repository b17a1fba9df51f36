"""What a change of light and colour costs in transport, beside other changes of the features.

Optimal transport with all directions alike may turn a bright sky dark. In the content "bright" goes with
"even", in the style with "rough", and the even area takes the style's even colours, which are dark. With a
higher cost for light and colour these are transported nearly by themselves, and the other directions follow.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from impasto.networks.weights import embedded_tensors

__all__ = ["COLOUR_COST", "colour_cost", "cost_matrix"]

#: How many times more the strongest direction of light and colour costs than one without either.
COLOUR_COST = 30.0


@functools.cache
def colour_cost(layer: str) -> Tensor:
    """The cost of a change d of ``compact``'s features is dᵀ A d: A is (C, C), float64, on the CPU.

    Raises:
        WeightsError: the embedded file is missing or damaged.
    """
    return cost_matrix(embedded_tensors("colours.safetensors")[layer].double())


def cost_matrix(colours: Tensor) -> Tensor:
    """1 + COLOUR_COST · PᵀP / (its largest eigenvalue), (C, C), for the P (3, C) that reads colours."""
    squares = colours.T @ colours
    largest = torch.linalg.matrix_norm(colours, 2) ** 2
    identity = torch.eye(len(squares), dtype=squares.dtype)
    return identity.add(squares / largest, alpha=COLOUR_COST)
