"""Terms: the losses whose weighted sum is minimised. A loss of your own is a subclass of :class:`Term`.

A picture may be too large to be evaluated at once. Every term therefore *gathers* numbers from a part of the
picture, which add up over the parts, and *judges* their sum: it computes the loss from it. The objective
takes care of the rest: tiles with halos, gradients through the sums, and weights.
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
    """One loss, or several losses with a common weight, of the painted picture.

    A term holds settings only. :meth:`prepare` computes what it needs to know of the scene; the result is
    passed to :meth:`gather` and :meth:`judge` as ``memory``.

    Attributes:
        name: shown in traces and progress. The losses of an objective must have different names: ``name``, or
            ``name/key`` for each key that :meth:`judge` returns.
        weight: factor on its losses.
        layers: the encoder's layers that :meth:`gather` reads; none for a term on pixels.

    Example, which asks that the mean colour be grey:
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

    @property
    def recordable(self) -> bool:
        """Whether every evaluation does the same operations with the same memory, waiting for no result.

        A GPU then repeats the first one as a whole. Not so if :meth:`gather` depends on ``part.evaluation``,
        draws random numbers or brings numbers from the processor, or if there is an :meth:`advance`.
        """
        return False

    def applies(self, scene: Scene) -> bool:
        """Whether the scene has what this term compares with; otherwise the objective leaves the term out."""
        return True

    def style_statistics(self, scene: Scene, encoder: TiledEncoder) -> dict[str, Tensor]:
        """What the term needs to know of the styles alone, by name; computed once for all frames of a video.

        Arguments as :meth:`prepare`. A term that returns something here finds it in
        ``Scene.known_statistics`` of later scenes.
        """
        return {}

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> Any:
        """Compute what the term needs to know of a scene; called once for each objective, without gradients.

        Args:
            scene: at the size, and with the margin, at which the picture is painted (``Scene.at``).
            encoder: computes features of pictures, in tiles if they are large.

        Returns:
            Anything; passed to :meth:`gather` and :meth:`judge` as ``memory``.
        """
        return None

    def noise(self, memory: Any) -> Tensor | None:
        """Standard deviation of the noise that evaluations with a gradient see the canvas under; None: none.

        (1, 1, H, W), or (1, 1, 1, 1) for all of the canvas, see :mod:`impasto.losses.noise`. Terms that ask
        for noise all see the same, so an objective should have no more than one of them.
        """
        return None

    @abstractmethod
    def gather(self, part: Part, memory: Any) -> Tensor | Mapping[str, Tensor]:
        """What the term needs to know of a part of the picture: a differentiable tensor, or several by name.

        The tensors of all parts must add up to those of the whole picture.
        """

    @abstractmethod
    def judge(self, gathered: Any, memory: Any) -> Tensor | Mapping[str, Tensor]:
        """The loss: a scalar without the weight, or several by name.

        Args:
            gathered: the sum over all parts of what :meth:`gather` returned, a tensor or a mapping as there.
            memory: what :meth:`prepare` returned.
        """

    def advance(self, gathered: Any, memory: Any) -> Any:
        """The memory for the next evaluation: this one's, unless a term learns from what it has seen.

        Called once after each evaluation with a gradient, itself without one. Arguments as :meth:`judge`.
        """
        return memory
