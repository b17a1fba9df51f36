"""Colours: broad areas keep the colours that are planned for them, which statistics of a style would move."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from impasto.losses.terms import Term
from impasto.losses.tiled import Part, TiledEncoder
from impasto.scene import ColourPlan, Scene

__all__ = ["COLOUR_FACTOR", "ColourTerm"]

#: The term's weight with ``keep_colours=1``.
COLOUR_FACTOR = 10.0


@dataclass(frozen=True, kw_only=True)
class ColourTerm(Term):
    """Squared difference of the areas' mean colours from the scene's :class:`~impasto.scene.ColourPlan`.

    Of the difference only what is not grey counts: lightness is left to the style, which judges preferred.

    A Gram loss asks that a colour of the style be somewhere, and even areas of the content, where hardly
    anything speaks against it, get it in blots: a green sky over a canal, red on a cheek. An area's mean does
    not say what strokes it is made of.
    """

    name: str = "colours"

    recordable = True

    def applies(self, scene: Scene) -> bool:
        return scene.colour_plan is not None

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> ColourPlan | None:
        return scene.colour_plan

    def gather(self, part: Part, memory: ColourPlan) -> Tensor:
        return memory.colours(part.without_halo(part.image), part.tile)

    def judge(self, gathered: Tensor, memory: ColourPlan) -> Tensor:
        difference = gathered - memory.means.to(gathered)
        return (difference - difference.mean(0)).square().sum(0).mean()
