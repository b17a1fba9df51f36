"""The objective at one scale: an encoder, a scene, and the terms that a picture is judged by."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.errors import RecipeError
from impasto.losses.terms import Term
from impasto.losses.tiled import Gathered, Part, TiledEncoder, add_up, as_mapping, size_of
from impasto.networks.encoder import Encoder
from impasto.pictures.geometry import Size, Tile, tiles
from impasto.scene import Scene

__all__ = ["Objective"]


@dataclass(frozen=True)
class _Prepared:
    """A term with what it remembers of the scene."""

    term: Term
    memory: Any
    weight: float

    def gather(self, part: Part) -> Mapping[str, Tensor]:
        return as_mapping(self.term.gather(part, self.memory))

    def judge(self, gathered: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name → loss, weight included."""
        single = set(gathered) == {""}
        losses = as_mapping(self.term.judge(gathered[""] if single else gathered, self.memory))
        return {
            f"{self.term.name}/{key}" if key else self.term.name: self.weight * loss
            for key, loss in losses.items()
        }


class Objective:
    """What a picture of one size is judged by.

    Every term gathers numbers that add up over the parts of the picture. So the picture can be judged whole,
    or exactly the same in tiles: the first pass adds up without gradients, the second runs over the tiles
    again and sends back through each the derivative of the total with respect to the *global* sums. Memory
    then does not grow with the picture (beyond the picture itself), and there are no seams, which Gram
    matrices of single tiles leave.

    Args:
        encoder: computes the features.
        scene: at the size of the picture (``Scene.at``), its ``start`` being the canvas as it is now.
        terms: those that have nothing to compare with in this scene are left out.
        tile: side of the tiles in pixels; None: the whole picture at once.

    Raises:
        RecipeError: two losses of the same name.
    """

    def __init__(
        self, encoder: Encoder, scene: Scene, terms: Sequence[Term], *, tile: int | None = None
    ) -> None:
        self.encoder = TiledEncoder(encoder, tile)
        used = [term for term in terms if term.weight and term.applies(scene)]
        self.layers = tuple(dict.fromkeys(layer for term in used for layer in term.layers))
        with torch.no_grad():
            self._terms = [_Prepared(t, t.prepare(scene, self.encoder), t.weight) for t in used]

    def reweighted(self, weights: Mapping[str, float]) -> Objective:
        """The same with other weights: term's name → what its weight is multiplied by; the others stay.

        Terms of weight 0 are left out.
        """
        other = copy.copy(self)
        scaled = [_Prepared(p.term, p.memory, p.weight * weights.get(p.term.name, 1.0)) for p in self._terms]
        other._terms = [prepared for prepared in scaled if prepared.weight]
        other.layers = tuple(dict.fromkeys(layer for p in other._terms for layer in p.term.layers))
        return other

    def __call__(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Judge a picture at once, differentiably.

        Args:
            image: (1, 3, H, W), [0, 1].

        Returns:
            The total, and its losses by name, weights included: they sum to the total.
        """
        (whole,) = tiles(size_of(image), None, 1, 0)
        return self._judge(self._gather(self.encoder.part(whole, image, self.layers)))

    def evaluate(self, image: Tensor) -> tuple[float, Tensor, dict[str, float]]:
        """Total, gradient (1, 3, H, W) and losses by name of (1, 3, H, W), in tiles if it is large."""
        parts = self._tiles(size_of(image))
        total, gradient, losses = (self._whole if len(parts) == 1 else self._tiled)(image, parts)
        return (
            float(total.detach()),
            gradient,
            {name: float(loss.detach()) for name, loss in losses.items()},
        )

    def losses(self, image: Tensor) -> dict[str, float]:
        """The losses by name, without gradients."""
        with torch.no_grad():
            gathered = self._add_up(image, self._tiles(size_of(image)))
            return {name: float(loss) for name, loss in self._judge(gathered)[1].items()}

    def _whole(self, image: Tensor, parts: list[Tile]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        leaf = image.detach().requires_grad_(True)
        total, losses = self(leaf)
        (gradient,) = torch.autograd.grad(total, leaf)
        return total, gradient.contiguous(), losses

    def _tiled(self, image: Tensor, parts: list[Tile]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            sums = self._add_up(image, parts)
        leaves = {key: value.requires_grad_(True) for key, value in sums.items()}
        total, losses = self._judge(leaves)
        slopes = torch.autograd.grad(total, list(leaves.values()))
        gradient = torch.zeros_like(image)
        for tile in parts:
            leaf = tile.cut(image).detach().requires_grad_(True)
            gathered = self._gather(self.encoder.part_of_cut(tile, leaf, self.layers))
            products = [(gathered[key] * slope).sum() for key, slope in zip(leaves, slopes, strict=True)]
            (in_tile,) = torch.autograd.grad(torch.stack(products).sum(), leaf)
            tile.add(gradient, in_tile)
        return total, gradient, losses

    def _tiles(self, size: Size) -> list[Tile]:
        return self.encoder.tiles(size, self.layers, wrap=self.encoder.repeats)

    def _add_up(self, image: Tensor, parts: Sequence[Tile]) -> Gathered:
        return add_up((self.encoder.part(tile, image, self.layers) for tile in parts), self._gather)

    def _gather(self, part: Part) -> Gathered:
        """What all terms gather of a part, each term's names behind its number."""
        return {
            f"{index}:{key}": value
            for index, prepared in enumerate(self._terms)
            for key, value in prepared.gather(part).items()
        }

    def _judge(self, gathered: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        losses: dict[str, Tensor] = {}
        for index, prepared in enumerate(self._terms):
            prefix = f"{index}:"
            of_term = {k.removeprefix(prefix): v for k, v in gathered.items() if k.startswith(prefix)}
            for name, loss in prepared.judge(of_term).items():
                if name in losses:
                    raise RecipeError(f"two terms called {name!r}", "each name once", "rename one of them")
                losses[name] = loss
        return torch.stack(list(losses.values())).sum(), losses
