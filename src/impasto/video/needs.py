"""What painting a shot takes of a machine."""

from __future__ import annotations

from impasto.networks.encoder import Encoder
from impasto.painting.planning import PICTURE_BYTES, plan_memory
from impasto.pictures.geometry import Size
from impasto.pieces.piece import Needs
from impasto.recipe import Recipe
from impasto.video.clip_context import limits_for

__all__ = ["shot_needs"]

#: Frames that a shot keeps in memory at most: earlier ones, flows, and what is cached.
FRAMES_IN_MEMORY = 40


def shot_needs(recipe: Recipe, encoder: Encoder, size: Size, gpus: float = 0.0) -> Needs:
    """What painting one shot takes: one core, and memory for a frame and for the frames around it.

    Args:
        recipe: of each frame.
        size: (height, width) of the frames.
        gpus: that a shot takes on a cluster.
    """
    limits = limits_for(size)
    plan = plan_memory(recipe, encoder, size, float("inf"), tile=None if limits is None else limits.tile)
    return Needs(1, plan.bytes + FRAMES_IN_MEMORY * PICTURE_BYTES * size[0] * size[1], gpus)
