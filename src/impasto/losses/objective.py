"""The objective at one scale: the weighted sum of terms, with its gradient, whole or in tiles."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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

_Evaluated = tuple[Tensor, Tensor, dict[str, Tensor], Gathered]


@dataclass(frozen=True)
class _Prepared:
    """A term with its memory of the scene and the weight that is used instead of the term's own."""

    term: Term
    memory: Any
    weight: float

    def gather(self, part: Part) -> Mapping[str, Tensor]:
        """What the term gathers of a part, by name; a single tensor has the empty name."""
        return as_mapping(self.term.gather(part, self.memory))

    def judge(self, gathered: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name → loss, weight included."""
        losses = as_mapping(self.term.judge(_unnamed(gathered), self.memory))
        return {
            f"{self.term.name}/{key}" if key else self.term.name: self.weight * loss
            for key, loss in losses.items()
        }

    def advance(self, gathered: Mapping[str, Tensor]) -> _Prepared:
        """The same for the next evaluation."""
        return replace(self, memory=self.term.advance(_unnamed(gathered), self.memory))


def _unnamed(gathered: Mapping[str, Tensor]) -> Tensor | Mapping[str, Tensor]:
    """What a term gathered, as it returned it: a single tensor has the empty name."""
    return gathered[""] if set(gathered) == {""} else gathered


class Objective:
    """The function of a picture of one size that is minimised.

    Every term gathers numbers that add up over the parts of the picture, so a picture can be evaluated whole
    or, with the same result, in tiles. In tiles there are two passes. The first adds up the numbers without
    gradients. The second visits the tiles again and, in each, propagates the derivative of the total with
    respect to the sums of the *whole* picture back to the pixels. The memory for features does not grow with
    the picture, and there are no seams, as there would be with a Gram matrix for each tile.

    Args:
        encoder: computes the features.
        scene: at the size of the picture (``Scene.at``), its ``start`` being the canvas as it is now.
        terms: their weighted losses are summed; those of weight 0, and those that do not apply to the scene,
            are left out.
        tile: side of the tiles in pixels; None: the whole picture at once.

    Raises:
        RecipeError: at the first evaluation, if two losses have the same name.
    """

    def __init__(
        self, encoder: Encoder, scene: Scene, terms: Sequence[Term], *, tile: int | None = None
    ) -> None:
        self.encoder = TiledEncoder(encoder, tile)
        self._evaluation = 0
        used = [term for term in terms if term.weight and term.applies(scene)]
        if not used:
            raise RecipeError("no term applies to these pictures", "at least one of weight above 0")
        self.layers = tuple(dict.fromkeys(layer for term in used for layer in term.layers))
        with torch.no_grad():
            self._terms = [_Prepared(term, term.prepare(scene, self.encoder), term.weight) for term in used]

    def reweighted(self, weights: Mapping[str, float]) -> Objective:
        """A copy with other weights; what the terms remember is shared. Terms of weight 0 are left out.

        Args:
            weights: name of a term → the factor on its weight; the other terms keep theirs.
        """
        other = copy.copy(self)
        scaled = [_Prepared(p.term, p.memory, p.weight * weights.get(p.term.name, 1.0)) for p in self._terms]
        other._terms = [prepared for prepared in scaled if prepared.weight]
        other.layers = tuple(dict.fromkeys(layer for p in other._terms for layer in p.term.layers))
        return other

    def __call__(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Evaluate a whole picture without tiles, differentiably.

        Args:
            image: (1, 3, H, W), [0, 1].

        Returns:
            The total, and its losses by name. They include their weights and sum to the total.
        """
        return self._judge(self._gather_whole(image))

    def evaluate(self, image: Tensor) -> tuple[float, Tensor, dict[str, float]]:
        """Total, gradient (1, 3, H, W) and losses by name of a picture (1, 3, H, W), in tiles if needed."""
        parts = self._tiles(size_of(image))
        evaluated = self._whole(image) if len(parts) == 1 else self._tiled(image, parts)
        total, gradient, losses, gathered = evaluated
        with torch.no_grad():
            self._terms = [prepared.advance(sums) for prepared, sums in self._by_term(gathered)]
        self._evaluation += 1
        # Read together, so that a GPU is waited for once.
        total_value, *values = torch.stack(
            [x.detach().reshape(()) for x in (total, *losses.values())]
        ).tolist()
        return total_value, gradient, dict(zip(losses, values, strict=True))

    def losses(self, image: Tensor) -> dict[str, float]:
        """The losses of a picture (1, 3, H, W) by name, weights included, without a gradient."""
        with torch.no_grad():
            gathered = self._add_up(image, self._tiles(size_of(image)))
            return {name: float(loss) for name, loss in self._judge(gathered)[1].items()}

    # Both return the total, its gradient (1, 3, H, W), the losses by name, and what the terms gathered.
    def _whole(self, image: Tensor) -> _Evaluated:
        leaf = image.detach().requires_grad_(True)
        gathered = self._gather_whole(leaf)
        total, losses = self._judge(gathered)
        (gradient,) = torch.autograd.grad(total, leaf)
        return total, gradient.contiguous(), losses, gathered

    def _tiled(self, image: Tensor, parts: list[Tile]) -> _Evaluated:
        with torch.no_grad():
            sums = self._add_up(image, parts)
        leaves = {key: value.requires_grad_(True) for key, value in sums.items()}
        total, losses = self._judge(leaves)
        slopes = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        # What a term gathered but did not judge has no slope.
        used = {key: slope for key, slope in zip(leaves, slopes, strict=True) if slope is not None}
        gradient = torch.zeros_like(image)
        for tile in parts:
            leaf = tile.cut(image).detach().requires_grad_(True)
            gathered = self._gather(self.encoder.part_of_cut(tile, leaf, self.layers))
            products = [(gathered[key] * slope).sum() for key, slope in used.items()]
            (in_tile,) = torch.autograd.grad(torch.stack(products).sum(), leaf)
            tile.add(gradient, in_tile)
        return total, gradient, losses, leaves

    def _tiles(self, size: Size) -> list[Tile]:
        return self.encoder.tiles(size, self.layers, wrap=self.encoder.repeats)

    def _add_up(self, image: Tensor, parts: Sequence[Tile]) -> Gathered:
        return add_up((self.encoder.part(tile, image, self.layers) for tile in parts), self._gather)

    def _gather_whole(self, image: Tensor) -> Gathered:
        """What all terms gather of a picture (1, 3, H, W) that is not divided into tiles."""
        (whole,) = tiles(size_of(image), None, 1, 0)
        return self._gather(self.encoder.part(whole, image, self.layers))

    def _gather(self, part: Part) -> Gathered:
        """What all terms gather of a part, named ``<index of the term>:<name>``."""
        part = replace(part, evaluation=self._evaluation)
        return {
            f"{index}:{key}": value
            for index, prepared in enumerate(self._terms)
            for key, value in prepared.gather(part).items()
        }

    def _judge(self, gathered: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The total and the losses by name, from the sums of :meth:`_gather` over all parts."""
        losses: dict[str, Tensor] = {}
        for prepared, sums in self._by_term(gathered):
            for name, loss in prepared.judge(sums).items():
                if name in losses:
                    raise RecipeError(f"two terms called {name!r}", "each name once", "rename one of them")
                losses[name] = loss
        return torch.stack(list(losses.values())).sum(), losses

    def _by_term(self, gathered: Mapping[str, Tensor]) -> Iterator[tuple[_Prepared, Mapping[str, Tensor]]]:
        """Each term with its part of the sums of :meth:`_gather`."""
        for index, prepared in enumerate(self._terms):
            prefix = f"{index}:"
            sums = {key.removeprefix(prefix): v for key, v in gathered.items() if key.startswith(prefix)}
            yield prepared, sums
