"""What painting a cell takes of a machine."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from impasto import api
from impasto.errors import ImpastoError
from impasto.machine import choose_device
from impasto.painting.schedule import painting_size
from impasto.painting.setup import encoder_for
from impasto.pictures.geometry import Size
from impasto.pieces.piece import Needs
from impasto.studies import sources
from impasto.studies.plan import StudyCell

__all__ = ["cell_needs"]


def cell_needs(cells: Iterable[StudyCell], gpus: float = 0.0) -> Needs:
    """What painting any of the cells takes: one core, and the memory of the largest.

    Args:
        gpus: that a cell takes on a cluster.
    """
    memory, network, encoder = 0.0, "", None
    for cell in sorted(cells, key=_network):
        with suppress(ImpastoError):  # the cell itself will say so
            if encoder is None or _network(cell) != network:
                encoder, network = encoder_for(cell.recipe, choose_device("cpu")), _network(cell)
            memory = max(memory, api.expected_memory(cell.recipe, encoder, _size(cell), float("inf")).bytes)
    return Needs(1, memory, gpus)


def _network(cell: StudyCell) -> str:
    """Changes with what the cell's encoder is loaded from."""
    recipe = cell.recipe
    return repr((recipe.encoder, recipe.weights, recipe.pooling, recipe.padding, recipe.precision))


def _size(cell: StudyCell) -> Size:
    """(height, width) at which a cell is painted."""
    spec = cell.content or cell.style
    shape = cell.canvas if cell.content is None else None
    if shape is None:
        assert spec is not None, "a cell has a content or a style"
        shape = sources.picture(spec).size
    return painting_size(cell.recipe, *shape)
