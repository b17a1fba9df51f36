"""Patches of key frames under guides: which piece of a key each pixel of a frame is painted with.

After EbSynth's paper (Jamriška et al. 2019, "Stylizing Video by Example"), whose guides are position,
appearance and edges and whose use of patches is bounded, and PatchMatch (Barnes et al. 2009): every pixel has
a position in a key; good positions spread to neighbours, others are tried at random, and the patches that
overlap at a pixel vote for its colour, coarse to fine. Differs from both: all pixels are searched at once;
patches are compared by their principal components; positions start from the optical flow and keep its
fractions of a pixel, so that what is followed well is sampled where it was; one search covers all keys; and
after the vote detail is raised to the energy that it has in the patches, because a mean of them is softer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.pictures.geometry import Size, resample
from impasto.video.flow import Flow, flow_targets, resize_flow

__all__ = ["FrameGuides", "PatchSource", "paint_with_patches", "patch_sources"]

#: Patches have 2 R + 1 pixels a side, of which the last vote uses only the inner three.
RADIUS, LAST_RADIUS = 2, 1
SIDE = 2 * RADIUS + 1
#: Principal components that a patch of the film, and one of the painting, are compared by.
COMPONENTS = 12
#: The coarsest level is at most a quarter of the size, its short side at least so many pixels.
SCALES, LEAST_SIDE = 3, 16
#: Searches, each followed by a vote, at every level.
ROUNDS = 2
#: Weights beside the mean square difference of the films: their edges (as a factor on the values), the
#: difference of the paintings, a pixel away from where the flow leads (squared, up to 20 pixels), and each
#: use of a patch beyond ``FREE_USE`` times the average.
EDGE_FACTOR, PAINTING_WEIGHT, POSITION_WEIGHT, USE_WEIGHT = 2.0, 0.3, 1e-3, 2e-3
FREE_USE, FARTHEST = 1.5, 20.0
#: Root mean square difference of the films at which a patch fits to 1/e.
TOLERANCE = 0.1
#: Standard deviation in pixels below which something is detail that a vote softens, and the largest factor
#: that raises it again.
DETAIL_SIGMA, MAX_GAIN = 2.0, 2.0


@dataclass(frozen=True)
class PatchSource:
    """The key frames at one scale, one below the other, each with ``RADIUS`` mirrored pixels around it.

    A place is the index of a pixel in this.

    Attributes:
        size: (height, width) of a key.
        samples: (K (H + 2 R), W + 2 R, 4), the paintings and the energy of their detail.
        film_basis, painting_basis: (``COMPONENTS``, C, side, side), principal components of the patches.
        films, paintings: (places, ``COMPONENTS``), the patches by these.
    """

    size: Size
    samples: Any
    film_basis: Tensor
    painting_basis: Tensor
    films: Tensor
    paintings: Tensor

    def places(self, positions: Tensor, keys: Tensor) -> Tensor:
        """The places of positions (N, 2), x and y in the keys (N,)."""
        columns, rows = positions.round().long().add(RADIUS).unbind(1)
        return (keys * (self.size[0] + 2 * RADIUS) + rows) * (self.size[1] + 2 * RADIUS) + columns


@dataclass(frozen=True)
class FrameGuides:
    """What is known of a frame before it is painted.

    Attributes:
        film: (1, 3, H, W).
        flows: from the frame to each key, (H, W, 2).
        trusts: how far each of them is right, (1, 1, H, W) in [0, 1].
        guess: (1, 3, H, W), what it may look like.
        known: (1, 1, H, W) in [0, 1], how far the guess counts in the first search.
    """

    film: Tensor
    flows: Sequence[Flow]
    trusts: Sequence[Tensor]
    guess: Tensor
    known: Tensor

    def at(self, size: Size) -> FrameGuides:
        """The same at another size, (height, width)."""
        return FrameGuides(
            resample(self.film, size),
            [resize_flow(flow, size) for flow in self.flows],
            [resample(trust, size) for trust in self.trusts],
            resample(self.guess, size),
            resample(self.known, size),
        )

    def followed(self) -> tuple[Tensor, Tensor]:
        """Where each pixel lies in each key, (K, H W, 2), and how far that is right, (K, H W)."""
        targets = [np.stack(flow_targets(flow), -1).reshape(-1, 2) for flow in self.flows]
        trusts = torch.stack([trust.flatten() for trust in self.trusts])
        return torch.from_numpy(np.stack(targets)), trusts


# -- sources -------------------------------------------------------------------------------------------------


def patch_sources(films: Sequence[Tensor], paintings: Sequence[Tensor]) -> list[PatchSource]:
    """Key frames as sources of patches, from coarse to fine; each (1, 3, H, W)."""
    height, width = films[0].shape[-2:]
    factors = [2**scale for scale in reversed(range(SCALES))]
    sizes = [(round(height / factor), round(width / factor)) for factor in factors]
    return [
        _source([resample(film, size) for film in films], [resample(each, size) for each in paintings], size)
        for size in sizes
        if min(size) >= LEAST_SIDE or size == sizes[-1]
    ]


def _source(films: Sequence[Tensor], paintings: Sequence[Tensor], size: Size) -> PatchSource:
    guides = [_guide(film) for film in films]
    film_basis, painting_basis = _principal_components(guides), _principal_components(paintings)
    with_energy = [torch.cat([each, _detail_energy(each)], 1) for each in paintings]
    samples = torch.cat([F.pad(each, (RADIUS,) * 4, mode="reflect") for each in with_energy], 2)
    return PatchSource(
        size,
        np.ascontiguousarray(samples[0].permute(1, 2, 0).numpy()),
        film_basis,
        painting_basis,
        torch.cat([_patches(guide, film_basis, border=True) for guide in guides]),
        torch.cat([_patches(each, painting_basis, border=True) for each in paintings]),
    )


def _guide(film: Tensor) -> Tensor:
    """The film and its edges, (1, 4, H, W)."""
    luma = film.mean(1, keepdim=True)
    return torch.cat([film, EDGE_FACTOR * (luma - _blur(luma))], 1)


def _blur(picture: Tensor) -> Tensor:
    """Gaussian blur of (1, C, H, W)."""
    channels = [
        cv2.GaussianBlur(channel.numpy(), (0, 0), DETAIL_SIGMA, borderType=cv2.BORDER_REFLECT_101)
        for channel in picture[0]
    ]
    return torch.from_numpy(np.stack(channels))[None]


def _detail_energy(picture: Tensor) -> Tensor:
    """The local mean square of what a blur takes away, (1, 1, H, W)."""
    return _blur((picture - _blur(picture)).square().mean(1, keepdim=True))


def _principal_components(pictures: Sequence[Tensor]) -> Tensor:
    """Filters (``COMPONENTS``, C, side, side), scaled so that squared differences are means over a patch."""
    patches = torch.cat([F.unfold(picture, SIDE)[0].T for picture in pictures]).double()
    patches = patches - patches.mean(0)
    vectors = torch.linalg.eigh(patches.T @ patches).eigenvectors[:, -COMPONENTS:]
    filters: Tensor = (vectors.T / patches.shape[1] ** 0.5).float()
    return filters.reshape(COMPONENTS, -1, SIDE, SIDE)


def _patches(picture: Tensor, basis: Tensor, *, border: bool = False) -> Tensor:
    """The patch around each pixel by its components, (H W, ``COMPONENTS``); ``border``: of a source."""
    found = F.conv2d(F.pad(picture, (RADIUS,) * 4, mode="reflect"), basis)
    if border:
        found = F.pad(found, (RADIUS,) * 4, mode="replicate")
    return found[0].flatten(1).T.contiguous()


# -- search --------------------------------------------------------------------------------------------------


class _Search:
    """The search for the positions of some pixels of a frame at one level.

    Attributes:
        positions, keys: (H W, 2) and (H W,) of all pixels; those of the others stay.
        cost: (N,) of the pixels that are searched.
    """

    def __init__(
        self,
        source: PatchSource,
        frame: FrameGuides,
        pixels: Tensor,
        start: tuple[Tensor, Tensor],
        reach: Tensor,
        random: torch.Generator,
    ) -> None:
        self.source, self.pixels, self.reach, self.random = source, pixels, reach[pixels], random
        self.positions, self.keys = start
        self.homes, self.trusts = (each[:, pixels] for each in frame.followed())
        self.film = _patches(_guide(frame.film), source.film_basis)[pixels]
        self.known = frame.known.flatten()[pixels]
        self.use = self.painting = self.cost = torch.empty(0)

    def run(self, guess: Tensor) -> None:
        """Improve the positions, given what the frame may look like, (1, 3, H, W)."""
        self.painting = _patches(guess, self.source.painting_basis)[self.pixels]
        self.use = self._use()
        self.cost = self._cost(self.positions[self.pixels], self.keys[self.pixels])
        for key, home in enumerate(self.homes):
            self._try(home, torch.full_like(self.pixels, key))
        for step in (4, 2, 1):
            self._spread(step)
        self._scatter()
        for step in (2, 1):
            self._spread(step)

    def misfit(self) -> Tensor:
        """The mean square difference of the films, (N,)."""
        places = self.source.places(self.positions[self.pixels], self.keys[self.pixels])
        return (self.film - self.source.films[places]).square().sum(1)

    def _use(self) -> Tensor:
        """The cost of using the patch at each place again."""
        width = self.source.size[1]
        places = self.source.places(self.inside(self.positions), self.keys)
        count = torch.bincount(places, minlength=len(self.source.films)).float()
        mean = F.avg_pool2d(
            count.view(1, 1, -1, width + 2 * RADIUS), SIDE, stride=1, padding=RADIUS
        ).flatten()
        return USE_WEIGHT * (mean - FREE_USE).clamp(0.0, 10.0)

    def inside(self, positions: Tensor) -> Tensor:
        """The nearest positions (N, 2) in a key."""
        height, width = self.source.size
        return torch.stack(
            [positions[:, 0].clamp(0.0, width - 1.0), positions[:, 1].clamp(0.0, height - 1.0)], 1
        )

    def _cost(self, positions: Tensor, keys: Tensor) -> Tensor:
        places, each = self.source.places(positions, keys), torch.arange(len(keys))
        cost = (self.film - self.source.films[places]).square().sum(1)
        strokes = (self.painting - self.source.paintings[places]).square().sum(1)
        away = (positions - self.homes[keys, each]).square().sum(1).clamp_max(FARTHEST**2)
        cost += PAINTING_WEIGHT * self.known * strokes
        cost += POSITION_WEIGHT * self.trusts[keys, each] * away
        return cost + self.use[places]

    def _try(self, positions: Tensor, keys: Tensor) -> None:
        positions = self.inside(positions)
        cost = self._cost(positions, keys)
        better = cost < self.cost
        pixels = self.pixels[better]
        self.positions[pixels], self.keys[pixels] = positions[better], keys[better]
        self.cost = torch.where(better, cost, self.cost)

    def beside(self, dx: int, dy: int) -> Tensor:
        """The pixels so far to the right of and below those that are searched."""
        height, width = self.source.size
        columns, rows = self.pixels % width + dx, self.pixels // width + dy
        return rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)

    def _spread(self, step: int) -> None:
        for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step)):
            there = self.beside(dx, dy)
            self._try(self.positions[there] - torch.tensor([dx, dy]), self.keys[there])

    def _scatter(self) -> None:
        reach = self.reach
        while float(reach.max()) >= 1.0:
            away = (2.0 * torch.rand(len(self.pixels), 2, generator=self.random) - 1.0) * reach[:, None]
            self._try(self.positions[self.pixels] + away.round(), self.keys[self.pixels])
            reach = reach / 4.0

    def vote(self, onto: Tensor, radius: int) -> Tensor:
        """``onto`` (1, 3, H, W) with the pixels that were searched as their patches show them."""
        total, weights = torch.zeros(len(self.pixels), 4), 0.0
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                there = self.beside(dx, dy)
                weight = float(np.exp(-(dx * dx + dy * dy) / 2.0))
                total += weight * self._sample(
                    self.positions[there] - torch.tensor([dx, dy]), self.keys[there]
                )
                weights += weight
        voted = (total / weights).T  # (4, N)
        picture = onto.flatten(2).clone()
        picture[0, :, self.pixels] = voted[:3].clamp(0.0, 1.0)
        picture = picture.view_as(onto)
        energy = _detail_energy(picture)
        wanted = energy.flatten().clone()
        wanted[self.pixels] = voted[3].clamp_min(0.0)
        gain = (wanted.view_as(energy) / energy.clamp_min(1e-6)).sqrt().clamp(1.0, MAX_GAIN)
        return (picture + (gain - 1.0) * (picture - _blur(picture))).clamp(0.0, 1.0)

    def _sample(self, positions: Tensor, keys: Tensor) -> Tensor:
        """The samples (N, 4) at positions up to ``RADIUS`` pixels outside of a key."""
        height, width = self.source.size
        columns = positions[:, 0].clamp(-RADIUS, width - 1 + RADIUS) + RADIUS
        rows = positions[:, 1].clamp(-RADIUS, height - 1 + RADIUS) + RADIUS + keys * (height + 2 * RADIUS)
        # As lines of 256, because OpenCV takes no picture with 32768 rows or more.
        xs, ys = (F.pad(each, (0, -len(each) % 256)).view(-1, 256).numpy() for each in (columns, rows))
        found = cv2.remap(self.source.samples, xs, ys, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
        return torch.from_numpy(found).view(-1, 4)[: len(keys)]


def paint_with_patches(
    sources: Sequence[PatchSource], frame: FrameGuides, wanted: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Paint a part of a frame with patches of the key frames.

    Args:
        sources: of :func:`patch_sources`.
        wanted: (1, 1, H, W) bool, the part; elsewhere the result is the guess.
        seed: of the positions that are tried at random.

    Returns:
        The picture (1, 3, H, W), and how well the films fit there, (1, 1, H, W) in [0, 1]; 1 elsewhere.
    """
    fit = torch.ones_like(frame.known)
    if not bool(wanted.any()):
        return frame.guess, fit
    random = torch.Generator().manual_seed(seed)
    picture, coarse = frame.guess, None
    for source in sources:
        here = frame.at(source.size)
        pixels = (F.adaptive_max_pool2d(wanted.float(), source.size).flatten() > 0.0).nonzero()[:, 0]
        search = _begin(source, here, pixels, coarse, random)
        guess = here.guess
        if coarse is not None:
            guess = torch.lerp(resample(picture, source.size), guess, here.known)
        for number in range(ROUNDS):
            search.run(guess)
            search.known.fill_(1.0)  # from now on the guess is made of patches
            last = source is sources[-1] and number == ROUNDS - 1
            guess = search.vote(here.guess, LAST_RADIUS if last else RADIUS)
        picture, coarse = guess, search
    fit.view(-1)[search.pixels] = torch.exp(-search.misfit() / TOLERANCE**2)
    return picture, fit


def _begin(
    source: PatchSource, frame: FrameGuides, pixels: Tensor, coarse: _Search | None, random: torch.Generator
) -> _Search:
    """A search that begins where the flow leads, or where the one at the coarser level ended."""
    homes, trusts = frame.followed()
    keys = trusts.argmax(0)
    positions = homes[keys, torch.arange(len(keys))]
    reach = (1.0 - trusts.amax(0)) * max(source.size) / (2.0 if coarse is None else 8.0) + 1.0
    if coarse is not None:
        finer, finer_keys = _finer(coarse, source.size)
        positions[pixels], keys[pixels] = finer[pixels], finer_keys[pixels]
    search = _Search(source, frame, pixels, (positions, keys), reach, random)
    search.positions[pixels] = search.inside(search.positions[pixels])
    if coarse is not None:
        search.known.fill_(1.0)
    return search


def _finer(search: _Search, size: Size) -> tuple[Tensor, Tensor]:
    """The positions and keys of a search for the pixels of the next finer level."""
    (height, width), (rows, columns) = size, search.source.size
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    down, right = height / rows, width / columns
    coarse_ys, coarse_xs = (ys / down).long().clamp_max(rows - 1), (xs / right).long().clamp_max(columns - 1)
    there = (coarse_ys * columns + coarse_xs).flatten()
    within = torch.stack([xs - coarse_xs * right, ys - coarse_ys * down], -1).reshape(-1, 2)
    return search.positions[there] * torch.tensor([right, down]) + within, search.keys[there]
