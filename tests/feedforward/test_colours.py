"""The cost of light and colour: its form, and that flat pictures of different colours differ by it most."""

from __future__ import annotations

import pytest
import torch

from impasto.feedforward.colours import COLOUR_COST, colour_cost, cost_matrix
from impasto.feedforward.decoder import CHANNELS


@pytest.mark.parametrize("layer", CHANNELS)
def test_three_directions_cost_more(layer):
    values = torch.linalg.eigvalsh(colour_cost(layer))
    assert len(values) == CHANNELS[layer]
    torch.testing.assert_close(values[:-3], torch.ones_like(values[:-3]))
    assert float(values[-3]) > 1.01
    assert float(values[-1]) == pytest.approx(1 + COLOUR_COST)


def test_only_a_change_of_colour_costs_more():
    colours = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]).double()
    wanted = torch.diag(1 + COLOUR_COST * torch.tensor([1.0, 0.25, 0.25, 0.0]).double())
    torch.testing.assert_close(cost_matrix(colours), wanted)
