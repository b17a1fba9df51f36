"""Optimisers for a picture in [0, 1]: from a loss and its gradient they propose the next picture.

Because they are not handed a closure that evaluates the loss, every evaluation is one step of the engine's
loop, where it is counted and can be shown. :class:`Guarded` makes sure that a non-finite loss, gradient or
proposal never becomes a picture.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.pictures.geometry import Size, resample_signed
from impasto.recipe import Recipe

__all__ = ["LBFGS", "OPTIMISERS", "Adam", "Guarded", "Optimiser", "PyramidAdam", "bounds"]


class Optimiser(Protocol):
    """One step per evaluation."""

    def propose(self, picture: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture to evaluate, in [0, 1].

        Args:
            picture: (1, 3, H, W), the one that has been evaluated.
            loss, gradient: of it, both finite.
        """
        ...

    def retreat(self, picture: Tensor) -> Tensor | None:
        """A more cautious proposal after an unusable one; None: there is nothing more to try.

        Args:
            picture: (1, 3, H, W), the best one so far.
        """
        ...


#: Largest change of a pixel that counts as none; a grey level of 16 bits is 150 times as large.
MIN_MOVE = 1e-7


class Pairs:
    """The last pairs (s, y) of L-BFGS as rows of one matrix, and all inner products among them.

    The two loops of Nocedal & Wright's algorithm 7.4 then run over a few dozen numbers. A step reads all
    pixels three times, instead of four times for each pair (Chen, Wang & Zhou 2014, "Large-scale L-BFGS using
    MapReduce").

    Args:
        capacity: how many pairs are kept; after that a new one replaces the oldest.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.added = capacity, 0
        self.rows: Tensor | None = None
        self.products = torch.zeros(2 * capacity, 2 * capacity, dtype=torch.float64)
        self._unread: Tensor | None = None

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def clear(self) -> None:
        """Forget all pairs."""
        self.added, self._unread = 0, None

    def add(self, s: Tensor, y: Tensor) -> None:
        """Add a step ``s`` and the change ``y`` of the gradient over it, of the same shape."""
        if self._unread is not None:
            self._store(self._unread.flatten().tolist())
        pair = torch.stack([s.flatten(), y.flatten()])
        if self.rows is None or self.rows.shape[1] != pair.shape[1]:
            self.rows = pair.new_empty(2 * self.capacity, pair.shape[1])
        slot = 2 * (self.added % self.capacity)
        self.rows[slot : slot + 2] = pair
        self.added += 1
        self._unread = self.rows[: 2 * len(self)] @ pair.T

    def _products_with(self, q: Tensor) -> list[float]:
        """The inner products of all rows with ``q`` (n,); those of the last pair are read along with them."""
        assert self.rows is not None
        with_q = self.rows[: 2 * len(self)] @ q
        unread = [] if self._unread is None else [self._unread.flatten()]
        values: list[float] = torch.cat([with_q, *unread]).tolist()
        if unread:
            self._store(values[len(with_q) :])
        return values[: len(with_q)]

    def _store(self, values: list[float]) -> None:
        """Store the inner products of all rows with the two of the last pair."""
        slot, products = 2 * ((self.added - 1) % self.capacity), torch.tensor(values, dtype=torch.float64)
        products = products.view(-1, 2)
        self.products[: len(products), slot : slot + 2] = products
        self.products[slot : slot + 2, : len(products)] = products.T
        self._unread = None

    def apply(self, q: Tensor) -> Tensor:
        """H q, the estimate of the inverse Hessian times ``q``; ``q`` itself if there are no pairs."""
        count = len(self)
        if not count or self.rows is None:
            return q
        inner_with_q = self._products_with(q.flatten())
        rows, inner = self.rows[: 2 * count], self.products.tolist()
        slots = [2 * (k % self.capacity) for k in range(self.added - count, self.added)]
        # The vector of the two loops is r = factor · q + Σ weights · rows. Only its coefficients are updated.
        weights, projections = [0.0] * (2 * count), {}

        def dot(row: int, factor: float) -> float:
            """The inner product of a row and r."""
            products = (weight * inner[row][i] for i, weight in enumerate(weights) if weight)
            return factor * inner_with_q[row] + math.fsum(products)

        for s in reversed(slots):
            projections[s] = dot(s, 1.0) / inner[s][s + 1]
            weights[s + 1] -= projections[s]
        last = slots[-1]
        scale = inner[last][last + 1] / inner[last + 1][last + 1]
        weights = [scale * w for w in weights]
        for s in slots:
            weights[s] += projections[s] - dot(s + 1, scale) / inner[s][s + 1]
        combined = torch.tensor(weights, dtype=rows.dtype, device=rows.device) @ rows
        return torch.add(combined.view_as(q), q, alpha=scale)


class LBFGS:
    """Limited-memory BFGS within the box [0, 1] (Nocedal & Wright, alg. 7.4 and 7.5; Bertsekas' projection).

    Differs from the textbook: there is no Wolfe line search, whose extra evaluations cost more than they gain
    here. The unit step is tried first and accepted unless the loss exceeds the worst of the last ``memory``
    accepted ones (Grippo et al. 1986); otherwise it is shortened by quadratic interpolation. Pairs without
    positive curvature are left out. Pixels at a bound do not move if the step would lead them outside.

    Args:
        history: how many pairs are kept.
        memory: how many accepted losses a new one is compared with.
        max_first_move: largest change of a pixel in a step without pairs, whose length is a guess.
        max_move: largest change of a pixel in any step.
    """

    def __init__(
        self, history: int = 20, memory: int = 5, max_first_move: float = 0.05, max_move: float = 0.5
    ) -> None:
        self.max_first_move, self.max_move = max_first_move, max_move
        self.losses: deque[float] = deque(maxlen=memory)
        self.pairs = Pairs(history)
        self.caution, self.shortened = 1.0, 0
        self.base: tuple[Tensor, float, Tensor] | None = None
        self.direction: Tensor | None = None
        self.length = 1.0

    def _forget(self) -> None:
        self.losses.clear()
        self.pairs.clear()
        self.base = self.direction = None
        self.shortened = 0

    def retreat(self, picture: Tensor) -> Tensor | None:
        if self.base is not None and self.shortened < 3:
            return self._shorten(0.25)
        self._forget()
        self.caution *= 0.25
        return picture if self.caution > 1e-3 else None

    def propose(self, picture: Tensor, loss: float, gradient: Tensor) -> Tensor:
        if self.base is not None and self.direction is not None:
            x, f, g = self.base
            if loss > max(self.losses):
                if self.shortened < 3:
                    slope = float(_dot(g, self.direction)) * self.length
                    return self._shorten(-0.5 * slope / max(loss - f - slope, 1e-30))
                # No descent along this direction at any sensible length: the curvature is wrong.
                self._forget()
                self.caution *= 0.5
            else:
                self._remember(picture - x, gradient - g)
                self.caution = min(1.0, self.caution * 2.0)
        self.losses.append(loss)
        self.base, self.shortened = (picture, loss, gradient), 0
        self.direction = self._search_direction(picture, gradient)
        return self._move()

    def _remember(self, s: Tensor, y: Tensor) -> None:
        product, step, change = _numbers(_dot(s, y), _dot(s, s), _dot(y, y))
        if product > 1e-8 * math.sqrt(step * change):
            self.pairs.add(s, y)

    def _search_direction(self, picture: Tensor, gradient: Tensor) -> Tensor:
        """−H g over the free pixels, scaled so that no pixel moves farther than allowed."""
        free = torch.where(gradient > 0.0, picture > 0.0, picture < 1.0)
        free_gradient = gradient * free
        d = self.pairs.apply(free_gradient).mul(free).neg_()
        largest, slope = _numbers(d.abs().max(), _dot(d, free_gradient))
        # After a step in which the loss fell a thousandfold, the pairs overestimate the curvature everywhere.
        # No pixel would then move by more than its rounding error, and the picture would never change again.
        moves = not self.pairs or largest > MIN_MOVE
        if not moves or not math.isfinite(largest) or slope >= 0.0:
            self.pairs.clear()
            d = -free_gradient
            largest = float(d.abs().max())
        limit = (self.max_move if self.pairs else self.max_first_move) * self.caution
        if largest == 0.0:
            return d
        return d * (min(1.0, limit / largest) if self.pairs else limit / largest)

    def _shorten(self, factor: float) -> Tensor:
        self.shortened += 1
        self.length *= min(0.5, max(0.1, factor)) if math.isfinite(factor) else 0.25
        return self._move(self.length)

    def _move(self, length: float = 1.0) -> Tensor:
        assert self.base is not None
        assert self.direction is not None
        self.length = length
        return torch.add(self.base[0], self.direction, alpha=length).clamp_(0.0, 1.0)


def bounds(values: Tensor) -> tuple[float, float]:
    """The smallest and the largest value, NaN if there is one; takes no memory for a second tensor."""
    low, high = _numbers(*torch.aminmax(values))
    return low, high


def _finite(values: Tensor) -> bool:
    return all(map(math.isfinite, bounds(values)))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product, a scalar that stays on the device."""
    return torch.dot(a.flatten(), b.flatten())


def _numbers(*scalars: Tensor) -> list[float]:
    """The values of scalars of one device; on a GPU all are waited for once."""
    return [float(value) for value in torch.stack(scalars).tolist()]


class Adam:
    """Adam (Kingma & Ba 2015) with β = (0.9, 0.99), clamped to [0, 1] (settings of style-transfer-pytorch).

    Differs from the paper: the moments are resampled with the picture from one scale to the next.
    """

    def __init__(
        self,
        rate: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.99),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.rate, self.betas, self.dtype, self.steps = rate, betas, dtype, 0
        self.mean: Tensor | None = None
        self.square: Tensor | None = None
        self.tries = 0

    def carry(self, size: Size) -> None:
        """Adapt the moments to a new objective and a picture resampled to ``size``."""
        if self.mean is not None and self.square is not None:
            self.mean = resample_signed(self.mean.float(), size).to(self.dtype)
            self.square = resample_signed(self.square.float(), size).clamp_min(0.0).to(self.dtype)

    def retreat(self, picture: Tensor) -> Tensor | None:
        self.mean = self.square = None
        self.steps, self.rate, self.tries = 0, self.rate * 0.25, self.tries + 1
        return picture if self.tries <= 5 else None

    def propose(self, picture: Tensor, loss: float, gradient: Tensor) -> Tensor:
        del loss
        return self.move(picture, gradient).clamp_(0.0, 1.0)

    def move(self, values: Tensor, gradient: Tensor) -> Tensor:
        """``values`` (1, 3, H, W) after a step, without bounds."""
        if self.mean is None or self.square is None:
            dtype = gradient.dtype if self.dtype is torch.float32 else self.dtype
            self.mean, self.square = (torch.zeros_like(gradient, dtype=dtype) for _ in range(2))
        self.steps += 1
        b1, b2 = self.betas
        moved, scale = torch.empty_like(values), self.rate / (1 - b1**self.steps)
        # In proportion to the gradient, so that the step does not depend on the scale of the loss.
        # It stays on the device: to read it, a GPU would have to be waited for.
        epsilon = 1e-8 * (gradient.abs().max() + self.square.max().to(gradient.dtype).sqrt()) + 2e-38
        # In bands of rows, because the intermediate results would take more memory than the picture itself.
        for rows in torch.arange(values.shape[-2]).split(max(1, 2**18 // values.shape[-1])):
            band = (..., slice(int(rows[0]), int(rows[-1]) + 1), slice(None))
            g = gradient[band]
            mean = self.mean[band].to(g.dtype).lerp_(g, 1 - b1)
            square = self.square[band].to(g.dtype).mul_(b2).addcmul_(g, g, value=1 - b2)
            if self.mean.dtype is not g.dtype:  # otherwise they are the moments themselves
                self.mean[band], self.square[band] = mean, square
            root = (square / (1 - b2**self.steps)).sqrt_().add_(epsilon)
            torch.addcdiv(values[band], mean, root, value=-scale, out=moved[band])
        return moved


class PyramidAdam:
    """Adam on the bands of a Laplacian pyramid (Kolkin et al. 2022), clamped to [0, 1].

    A step moves large areas as readily as single pixels, so that strokes grow as a whole. The picture is a
    linear function of its bands, each of which is enlarged and added; so instead of the bands only their
    moves are computed, and the gradient of a band is the gradient of the picture made smaller.

    Differs from Kolkin: the rate falls to a twentieth over the second half of the steps.

    Args:
        steps: how many are planned.
        rate: largest change of a band's pixel in one step, approximately.
        levels: number of bands, as long as the smaller side of a band has 8 pixels.
    """

    def __init__(
        self, steps: int, rate: float = 0.004, levels: int = 6, dtype: torch.dtype = torch.float32
    ) -> None:
        self.planned, self.rate, self.levels, self.dtype = steps, rate, levels, dtype
        self.steps, self.tries = 0, 0
        self.bands: list[Adam] = []

    def retreat(self, picture: Tensor) -> Tensor | None:
        self.bands, self.rate, self.tries = [], self.rate * 0.25, self.tries + 1
        return picture if self.tries <= 5 else None

    def propose(self, picture: Tensor, loss: float, gradient: Tensor) -> Tensor:
        del loss
        fall = (self.planned - self.steps) / max(1.0, self.planned / 2) + 0.05
        rate = self.rate * min(1.0, max(0.05, fall))
        self.steps += 1
        gradients = [gradient]
        while len(gradients) < self.levels and min(gradients[-1].shape[-2:]) >= 16:
            half = tuple(side // 2 for side in gradients[-1].shape[-2:])
            # The transpose of a bilinear enlargement, but for a factor, which Adam divides by.
            gradients.append(F.interpolate(gradients[-1], half, mode="bilinear", antialias=True))
        self.bands = self.bands or [Adam(rate, dtype=self.dtype) for _ in gradients]
        move = torch.zeros_like(gradients[-1])
        for band, band_gradient in zip(reversed(self.bands), reversed(gradients), strict=True):
            band.rate = rate
            if move.shape != band_gradient.shape:
                move = F.interpolate(move, tuple(band_gradient.shape[-2:]), mode="bilinear")
            move = band.move(move, band_gradient)
        return move.add_(picture).clamp_(0.0, 1.0)


class Guarded:
    """Wraps an optimiser so that a NaN, a diverging loss or a failed search never spoils a picture.

    After a non-finite loss or gradient the search goes back to the best picture and takes a shorter step.
    When the optimiser gives up, Adam goes on from there; when Adam gives up too, the picture stays as it is.
    """

    def __init__(self, first: Optimiser, rate: float) -> None:
        self.rate = rate
        self.active: Optimiser | None = first
        self.fallen_back = False
        self.last_event: str | None = None

    @property
    def finished(self) -> bool:
        """Whether both optimisers have given up."""
        return self.active is None

    def carry(self, size: Size, replacement: Optimiser) -> None:
        """Continue with a new objective and a picture resampled to ``size``.

        Args:
            replacement: takes over, unless the active optimiser is an Adam whose moments are kept.
        """
        active = self.active
        if isinstance(active, Adam) and (
            self.fallen_back or (isinstance(replacement, Adam) and replacement.dtype == active.dtype)
        ):
            active.carry(size)
        else:  # optimisers that gave up at one scale may work at another
            self.active, self.fallen_back = replacement, False

    def propose(
        self, picture: Tensor, loss: float, gradient: Tensor, best: Tensor, *, usable: bool
    ) -> Tensor:
        """The next picture.

        Args:
            best: the best one so far at this scale.
            usable: whether loss and gradient are finite.
        """
        self.last_event = None
        if self.active is None:
            return best
        proposal = (
            self.active.propose(picture, loss, gradient) if usable else self._step_back(best, "not finite")
        )
        if not _finite(proposal):
            proposal = self._step_back(best, "proposal not finite")
        return proposal

    def _step_back(self, best: Tensor, why: str) -> Tensor:
        self.last_event = f"{why}: back to the best picture"
        while self.active is not None:
            proposal = self.active.retreat(best)
            if proposal is not None and _finite(proposal):
                return proposal
            if proposal is None:
                self.last_event = f"{why}: Adam takes over" if not self.fallen_back else f"{why}: given up"
                self.active = None if self.fallen_back else Adam(self.rate * 0.1)
                self.fallen_back = True
                if self.active is not None:
                    return best
        return best


#: Name → function that builds the optimiser from a recipe.
OPTIMISERS: dict[str, Callable[[Recipe], Optimiser]] = {
    "lbfgs": lambda recipe: LBFGS(recipe.history),
    "adam": lambda recipe: Adam(recipe.learning_rate),
}
