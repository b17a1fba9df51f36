"""Terms: what a picture is judged by. A loss of your own is a subclass of :class:`Term`.

A picture may be too large to be judged at once. So every term says what it *gathers* from a part of the
picture, as numbers that add up over the parts, and how it *judges* their sum. The objective takes care of the
rest: of tiles with halos, of gradients through the sums, and of weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from impasto.losses.tiled import Part, TiledEncoder
from impasto.scene import Scene

__all__ = ["Part", "Term"]


@dataclass(frozen=True, kw_only=True)
class Term(ABC):
    """One thing that a picture is judged by, times its weight.

    A term holds settings only. What it needs to know of the scene it works out in :meth:`prepare`, once for
    each scale, and is handed back as ``memory``.

    Attributes:
        name: shown in traces and progress; unique in an objective, unless :meth:`judge` returns several
            losses by name.
        weight: what its loss is multiplied by.
        layers: the encoder's layers that :meth:`gather` reads; none for a term on pixels.

    Example, which asks for a mean colour:
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Grey(Term):
        ...     name: str = "grey"
        ...     def gather(self, part, memory):
        ...         return part.without_halo(part.image).sum((0, 2, 3))
        ...     def judge(self, gathered, memory):
        ...         return (gathered / gathered.sum() - 1 / 3).square().sum()
    """

    name: str
    weight: float = 1.0
    layers: tuple[str, ...] = ()

    def applies(self, scene: Scene) -> bool:
        """Whether the scene has what this term compares with; the objective leaves it out otherwise."""
        return True

    def style_statistics(self, scene: Scene, encoder: TiledEncoder) -> dict[str, Tensor]:
        """What the term remembers of the styles alone, by name.

        The frames of a clip share it: see ``Scene.style_statistics``.
        """
        return {}

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> Any:
        """What the term remembers of a scene; asked once for each scale, without gradients.

        Args:
            scene: at the size, and with the margin, at which the picture is painted (``Scene.at``).
            encoder: looks at pictures through the network, in tiles where they are large.
        """
        return None

    @abstractmethod
    def gather(self, part: Part, memory: Any) -> Tensor | Mapping[str, Tensor]:
        """What the term needs to know of a part: a differentiable tensor, or several by name, such that
        the values of all parts add up to the value of the whole picture."""

    @abstractmethod
    def judge(self, gathered: Any, memory: Any) -> Tensor | Mapping[str, Tensor]:
        """The loss: a scalar without the weight, or several by name.

        Args:
            gathered: the sum over all parts of what :meth:`gather` returned.
        """
