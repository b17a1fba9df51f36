"""The objective at one scale: the weighted sum of terms, with its gradient, whole or in tiles."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from impasto.errors import RecipeError
from impasto.losses.noise import under_noise
from impasto.losses.recording import Recorder, Work, recorded, recorder_for
from impasto.losses.terms import Term
from impasto.losses.tiled import Gathered, Part, TiledEncoder, add_up, as_mapping, size_of
from impasto.networks.encoder import Encoder
from impasto.pictures.geometry import Size, Tile, tiles
from impasto.scene import Scene

__all__ = ["Objective"]

_Evaluated = tuple[Tensor, Tensor, dict[str, Tensor], Gathered]
_Result = TypeVar("_Result")


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


class _CopiedTo(TorchFunctionMode):
    """While it is entered, ``copy.deepcopy`` puts the copies of tensors on another device."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.__deepcopy__:
            return args[0].to(self.device, copy=True)
        return func(*args, **(kwargs or {}))


def _stacked(total: Tensor, losses: Mapping[str, Tensor]) -> Tensor:
    """The total and the losses, (1 + n,), without gradients."""
    return torch.stack([x.detach().reshape(()) for x in (total, *losses.values())])


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
        beside: further devices, to which tiles are dealt out in turn; the result is the same.
        recorder: records evaluations of the whole picture if all terms are ``recordable``; None: that of the
            encoder's device.

    Raises:
        RecipeError: at the first evaluation, if two losses have the same name.
    """

    def __init__(
        self,
        encoder: Encoder,
        scene: Scene,
        terms: Sequence[Term],
        *,
        tile: int | None = None,
        beside: Sequence[torch.device] = (),
        recorder: Recorder | None = None,
    ) -> None:
        self.encoder = TiledEncoder(encoder, tile)
        self._evaluation = 0
        self._recorder = recorder or recorder_for(self.encoder.device)
        self._recorded: Work | None = None
        self._beside, self._copies = tuple(beside), list[Objective]()
        self._names: tuple[str, ...] = ()
        used = [term for term in terms if term.weight and term.applies(scene)]
        if not used:
            raise RecipeError("no term applies to these pictures", "at least one of weight above 0")
        self.layers = tuple(dict.fromkeys(layer for term in used for layer in term.layers))
        with torch.no_grad():
            self._terms = [_Prepared(term, term.prepare(scene, self.encoder), term.weight) for term in used]
            noises = [prepared.term.noise(prepared.memory) for prepared in self._terms]
            self._noise = next((noise for noise in noises if noise is not None), None)

    def reweighted(self, weights: Mapping[str, float]) -> Objective:
        """A copy with other weights; what the terms remember is shared. Terms of weight 0 are left out.

        Args:
            weights: name of a term → the factor on its weight; the other terms keep theirs.
        """
        other = copy.copy(self)
        scaled = [_Prepared(p.term, p.memory, p.weight * weights.get(p.term.name, 1.0)) for p in self._terms]
        other._terms = [prepared for prepared in scaled if prepared.weight]
        other._recorded, other._copies = None, []
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
        """Total, gradient (1, 3, H, W) and losses by name of a picture (1, 3, H, W), in tiles if needed.

        The picture is seen under noise if a term asks for it.
        """
        if self._noise is not None:
            image = under_noise(image, self._noise, self._evaluation)
        parts = self._tiles(size_of(image))
        if len(parts) == 1 and self._recorder is not None and self._repeats():
            self._recorded = self._recorded or recorded(self._numbers, image, self._recorder)
            numbers, gradient = self._recorded(image)
        else:
            total, gradient, losses, gathered = (
                self._whole(image) if len(parts) == 1 else self._tiled(image, parts)
            )
            self._names, numbers = tuple(losses), _stacked(total, losses)
            for each in (self, *self._copies):
                each._advance(gathered)
        # Read together, so that a GPU is waited for once.
        total_value, *values = numbers.tolist()
        return total_value, gradient, dict(zip(self._names, values, strict=True))

    def _repeats(self) -> bool:
        """Whether an evaluation does what the one before did; the first one sets up what is kept for all."""
        return self._evaluation > 0 and all(prepared.term.recordable for prepared in self._terms)

    def _numbers(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The total and the losses of a whole picture, (1 + n,), and the gradient."""
        total, gradient, losses, _ = self._whole(image)
        return _stacked(total, losses), gradient

    def _advance(self, gathered: Gathered) -> None:
        """Let the terms learn from an evaluation."""
        with torch.no_grad():
            here = {key: value.to(self.encoder.device) for key, value in gathered.items()}
            self._terms = [prepared.advance(sums) for prepared, sums in self._by_term(here)]
        self._evaluation += 1

    def losses(self, image: Tensor) -> dict[str, float]:
        """The losses of a picture (1, 3, H, W) by name, weights included, without a gradient."""
        gathered = self._sums(image, self._tiles(size_of(image)))
        with torch.no_grad():
            return {name: float(loss) for name, loss in self._judge(gathered)[1].items()}

    # Both return the total, its gradient (1, 3, H, W), the losses by name, and what the terms gathered.
    def _whole(self, image: Tensor) -> _Evaluated:
        leaf = image.detach().requires_grad_(True)
        gathered = self._gather_whole(leaf)
        total, losses = self._judge(gathered)
        (gradient,) = torch.autograd.grad(total, leaf)
        return total, gradient.contiguous(), losses, gathered

    def _tiled(self, image: Tensor, parts: list[Tile]) -> _Evaluated:
        if not self._copies:
            self._copies = [self._on(device) for device in self._beside]
        sums = self._sums(image, parts)
        leaves = {key: value.requires_grad_(True) for key, value in sums.items()}
        total, losses = self._judge(leaves)
        slopes = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        # What a term gathered but did not judge has no slope.
        used = {key: slope for key, slope in zip(leaves, slopes, strict=True) if slope is not None}
        gradient = torch.zeros_like(image)
        in_tiles = self._dealt_out(parts, lambda objective, tile: objective._gradient_in(tile, image, used))
        for tile, in_tile in zip(parts, in_tiles, strict=True):
            tile.add(gradient, in_tile)
        return total, gradient, losses, leaves

    def _dealt_out(
        self, parts: Sequence[Tile], work: Callable[[Objective, Tile], _Result]
    ) -> Iterator[_Result]:
        """The results of ``work`` for the tiles, in their order; each device has a tile at a time."""
        team = [self, *self._copies]
        if len(team) == 1:
            yield from (work(self, tile) for tile in parts)
            return
        with ThreadPoolExecutor(len(team)) as pool:
            for first in range(0, len(parts), len(team)):
                yield from pool.map(work, team, parts[first : first + len(team)])

    def _sums_in(self, tile: Tile, image: Tensor) -> Gathered:
        """What all terms gather of a tile, without gradients, where the picture is."""
        with torch.no_grad():
            cut = tile.cut(image).to(self.encoder.device)
            gathered = self._gather(self.encoder.part_of_cut(tile, cut, self.layers))
            return {key: value.to(image.device) for key, value in gathered.items()}

    def _gradient_in(self, tile: Tile, image: Tensor, slopes: Gathered) -> Tensor:
        """The gradient of a tile with its halo, (1, 3, h, w), where the picture is."""
        leaf = tile.cut(image).detach().to(self.encoder.device).requires_grad_(True)
        gathered = self._gather(self.encoder.part_of_cut(tile, leaf, self.layers))
        products = [(gathered[key] * slope.to(leaf.device)).sum() for key, slope in slopes.items()]
        (in_tile,) = torch.autograd.grad(torch.stack(products).sum(), leaf)
        return in_tile.to(image.device)

    def _on(self, device: torch.device) -> Objective:
        """A copy whose tensors are on another device."""
        other = copy.copy(self)
        with _CopiedTo(device):
            other.encoder, other._terms = copy.deepcopy((self.encoder, self._terms))
        return other

    def _tiles(self, size: Size) -> list[Tile]:
        return self.encoder.tiles(size, self.layers, wrap=self.encoder.repeats)

    def _sums(self, image: Tensor, parts: Sequence[Tile]) -> Gathered:
        """What all terms gather of all tiles, without gradients."""
        return add_up(
            self._dealt_out(parts, lambda objective, tile: objective._sums_in(tile, image)), lambda part: part
        )

    def _gather_whole(self, image: Tensor) -> Gathered:
        """What all terms gather of a picture (1, 3, H, W) that is not divided into tiles."""
        (whole,) = tiles(size_of(image), None, 1, 0)
        return self._gather(self.encoder.part(whole, image, self.layers, sparing=True))

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
