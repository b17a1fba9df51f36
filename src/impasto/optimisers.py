"""Optimisers for a picture in [0, 1]: told a loss and its gradient, they propose the next picture.

Asked and told, rather than handed a closure, every evaluation is one step of the engine's loop: it is
counted, shown, and none is wasted inside. Neither lets a NaN through: what they are told may be
non-finite, what they propose is not.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from impasto.recipe import Recipe
from impasto.scales import Size, resample_signed

__all__ = ["LBFGS", "OPTIMISERS", "Adam", "Guarded", "Optimiser"]


class Optimiser(Protocol):
    """One step per evaluation."""

    def propose(self, picture: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture to evaluate, in [0, 1], given the last one's finite loss and gradient."""
        ...

    def retreat(self, picture: Tensor) -> Tensor | None:
        """The last proposal was unusable; another one from ``picture``, the best known. None: given up."""
        ...

    def carry(self, size: Size) -> None:
        """The picture is resampled to ``size``: take along what is still true there."""
        ...


#: Moves smaller than this are none: a two-hundredth of a grey level of 16 bits.
STILL = 1e-7


class LBFGS:
    """Limited-memory BFGS within the box [0, 1] (Nocedal & Wright, alg. 7.4 and 7.5; Bertsekas' projection).

    Differs from the textbook: no Wolfe search, whose extra evaluations cost more than they bring here.
    The unit step is tried first and kept unless the loss exceeds the worst of the last ``memory`` accepted
    ones (Grippo et al. 1986); then the step is shortened by quadratic interpolation. Pairs without positive
    curvature are left out. Pixels at a bound that the gradient pushes outwards stand still.

    Args:
        history: pairs remembered.
        memory: losses a step is compared with.
        first: largest change of a pixel in the first step, which has no curvature to go by.
        reach: largest change of a pixel in any step.
    """

    def __init__(self, history: int = 20, memory: int = 5, first: float = 0.05, reach: float = 0.5) -> None:
        self.history, self.first, self.reach = history, first, reach
        self.losses: deque[float] = deque(maxlen=memory)
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)
        self.caution, self.shortened = 1.0, 0
        self.base: tuple[Tensor, float, Tensor] | None = None
        self.direction: Tensor | None = None
        self.length = 1.0

    def carry(self, size: Size) -> None:
        """Curvature belongs to one scale's objective: forget it."""
        del size
        self._forget()
        self.caution = 1.0

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
                    slope = float((g * self.direction).sum()) * self.length
                    return self._shorten(-0.5 * slope / max(loss - f - slope, 1e-30))
                # No descent along this direction at any sensible length: the curvature is wrong.
                self._forget()
                self.caution *= 0.5
            else:
                self._remember(picture - x, gradient - g)
                self.caution = min(1.0, self.caution * 2.0)
        self.losses.append(loss)
        self.base, self.shortened = (picture, loss, gradient), 0
        self.direction = self._direct(picture, gradient)
        return self._move()

    def _remember(self, s: Tensor, y: Tensor) -> None:
        curvature = float((s * y).sum())
        if curvature > 1e-8 * float(y.norm()) * float(s.norm()):
            self.pairs.append((s, y, 1.0 / curvature))

    def _direct(self, picture: Tensor, gradient: Tensor) -> Tensor:
        """−H g over the free pixels, scaled so that no pixel moves farther than the reach."""
        free = ~(((picture <= 0.0) & (gradient > 0.0)) | ((picture >= 1.0) & (gradient < 0.0)))
        q = gradient * free
        stack = []
        for s, y, rho in reversed(self.pairs):
            a = rho * (s * q).sum()
            q = q - a * y
            stack.append(a)
        if self.pairs:
            s, y, rho = self.pairs[-1]
            q = q / (rho * (y * y).sum())
        for (s, y, rho), a in zip(self.pairs, reversed(stack), strict=True):
            q = q + (a - rho * (y * q).sum()) * s
        d = -q * free
        # Pairs from a cliff (a loss that fell a thousandfold at once) say the ground is steep everywhere:
        # no pixel would move by as much as its own rounding, and the picture would stand still for good.
        moves = not self.pairs or float(d.abs().max()) > STILL
        if not moves or not math.isfinite(float(d.abs().sum())) or float((d * gradient).sum()) >= 0.0:
            self.pairs.clear()
            d = -gradient * free
        largest = float(d.abs().max())
        limit = self.reach * self.caution if self.pairs else self.first * self.caution
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
        return (self.base[0] + length * self.direction).clamp(0.0, 1.0)


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
        if self.mean is not None and self.square is not None:
            self.mean = resample_signed(self.mean.float(), size).to(self.dtype)
            self.square = resample_signed(self.square.float(), size).clamp_min(0.0).to(self.dtype)

    def retreat(self, picture: Tensor) -> Tensor | None:
        self.mean = self.square = None
        self.steps, self.rate, self.tries = 0, self.rate * 0.25, self.tries + 1
        return picture if self.tries <= 5 else None

    def propose(self, picture: Tensor, loss: float, gradient: Tensor) -> Tensor:
        if self.mean is None or self.square is None:
            dtype = gradient.dtype if self.dtype is torch.float32 else self.dtype
            self.mean, self.square = (torch.zeros_like(gradient, dtype=dtype) for _ in range(2))
        self.steps += 1
        b1, b2 = self.betas
        proposal = torch.empty_like(picture)
        # Relative to the gradient's own size, so that tiny weights move the picture as large ones do.
        tiny = 1e-8 * (float(gradient.abs().max()) + float(self.square.max()) ** 0.5) + 1e-38
        # Bands of rows: the intermediate results of a very large picture would outweigh the picture.
        for rows in torch.arange(picture.shape[-2]).split(max(1, 2**22 // picture.shape[-1])):
            band = (..., slice(int(rows[0]), int(rows[-1]) + 1), slice(None))
            g = gradient[band]
            mean = b1 * self.mean[band].to(g.dtype) + (1 - b1) * g
            square = b2 * self.square[band].to(g.dtype) + (1 - b2) * g * g
            self.mean[band], self.square[band] = mean, square
            scale = self.rate / (1 - b1**self.steps)
            move = scale * mean / ((square / (1 - b2**self.steps)).sqrt() + tiny)
            proposal[band] = (picture[band] - move).clamp(0.0, 1.0)
        return proposal


class Guarded:
    """Runs an optimiser so that a NaN, an explosion or a stuck search never ends a picture.

    A non-finite loss or gradient goes back to the best picture with a shorter step; after the optimiser
    has given up, Adam goes on from there, and after that the picture stays as it is.
    """

    def __init__(self, first: Optimiser, rate: float) -> None:
        self.rate = rate
        self.active: Optimiser | None = first
        self.fallen_back = False
        self.last_event: str | None = None

    @property
    def finished(self) -> bool:
        """Nothing more can be tried."""
        return self.active is None

    def carry(self, size: Size, heir: Optimiser | None = None) -> None:
        """The picture is resampled to ``size``; ``heir`` takes over there, unless state is worth keeping."""
        keeps = isinstance(self.active, Adam) and (
            self.fallen_back or (isinstance(heir, Adam) and heir.dtype == self.active.dtype)
        )
        if heir is not None and self.active is None:
            # What could not be done at one scale may well be possible at another.
            self.active, self.fallen_back = heir, False
        elif heir is not None and not keeps:
            self.active = heir
        elif self.active is not None:
            self.active.carry(size)

    def propose(self, picture: Tensor, loss: float, gradient: Tensor, best: Tensor) -> Tensor:
        """The next picture; ``best`` is the best one so far at this scale."""
        self.last_event = None
        if self.active is None:
            return best
        usable = math.isfinite(loss) and bool(torch.isfinite(gradient).all())
        proposal = (
            self.active.propose(picture, loss, gradient) if usable else self._step_back(best, "not finite")
        )
        if not bool(torch.isfinite(proposal).all()):
            proposal = self._step_back(best, "proposal not finite")
        return proposal

    def _step_back(self, best: Tensor, why: str) -> Tensor:
        self.last_event = f"{why}: back to the best picture"
        while self.active is not None:
            proposal = self.active.retreat(best)
            if proposal is not None and bool(torch.isfinite(proposal).all()):
                return proposal
            if proposal is None:
                self.last_event = f"{why}: Adam takes over" if not self.fallen_back else f"{why}: given up"
                self.active = None if self.fallen_back else Adam(self.rate * 0.1)
                self.fallen_back = True
                if self.active is not None:
                    return best
        return best


#: name → builder from a recipe.
OPTIMISERS: dict[str, Callable[[Recipe], Optimiser]] = {
    "lbfgs": lambda recipe: LBFGS(recipe.history),
    "adam": lambda recipe: Adam(recipe.learning_rate),
}
