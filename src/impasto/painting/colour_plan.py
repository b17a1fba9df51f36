"""The colours that ``keep_colours`` holds: those of the content as instant transfer paints it."""

from __future__ import annotations

from dataclasses import replace

import torch

from impasto.feedforward.network import InstantNetwork, styled_regions
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.pictures.geometry import fit
from impasto.recipe import Recipe
from impasto.scene import ColourPlan, Scene

__all__ = ["colour_plan"]

#: Longer side in pixels of the picture that the colours are taken from, at most. Areas are coarser.
SIDE = 256


@torch.no_grad()
def colour_plan(scene: Scene, recipe: Recipe, encoder: Encoder) -> ColourPlan | None:
    """The colours that broad areas keep; None: ``keep_colours`` is 0, or there is nothing to take them from.

    Instant transfer leaves each colour of the content in its place and takes it to the style. So does a map
    of colours alone (:func:`~impasto.pictures.colour.match_palette`), but judges found its paintings duller.

    Args:
        scene: prepared (:func:`~impasto.scene.preparing.preprocess`).
        encoder: that of the painting, by which device and precision are chosen.
    """
    if scene.content is None or not (recipe.keep_colours and recipe.wants_content and recipe.wants_style):
        return None
    device = encoder.device
    network = InstantNetwork.embedded(load_encoder(device=device, dtype=encoder.compute_dtype))
    size = fit(*scene.size, min(SIDE, max(scene.size)))
    small = replace(scene, style_statistics={}).at(size, 0, device)
    assert small.content is not None
    regions = styled_regions(network, small)
    if not regions:
        return None
    painted = network.paint(small.content, regions, strength=recipe.transfer_strength, seed=recipe.seed)
    return ColourPlan.of(painted.float())
