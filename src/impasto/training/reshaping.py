"""A trained student with fewer or more channels, painting as before: silent ones go, fitted ones come.

What is added is fitted to what the student explains least, and the layers after it do not listen to it yet:
so nothing is lost at the start, and training goes on from there (after Net2Net, Chen et al. 2016).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.training.student import Student, fit_filters, moments, solve, strongest
from impasto.training.teacher import Teacher

__all__ = ["rebuilt", "widened", "without_silent"]

_SILENT = 0.02  # of the median RMS
_STEEP = 40.0  # times the median norm: a filter that answers to next to nothing, and to that enormously


def rebuilt(like: Student, state: Mapping[str, Tensor]) -> Student:
    """A student of the kind of ``like`` with these parameters, as wide as they are."""
    widths = {name: len(state[f"conv.{name}.weight"]) for name in like.names}
    channels = {target: len(state[f"head.{target}.weight"]) for target in like.heads}
    made = type(like)(channels, widths, like.pooling)
    made.load_state_dict(state)
    return made


def _readers(student: Student, name: str, state: Mapping[str, Tensor]) -> Iterator[str]:
    """The weights that a convolution's channels go into: its head's and those of the next one."""
    after = dict(zip(student.names, student.names[1:], strict=False)).get(name)
    return (key for key in (f"head.relu{name[4:]}.weight", f"conv.{after}.weight") if key in state)


@torch.no_grad()
def without_silent(student: Student, crops: Tensor) -> Student:
    """``student`` without the channels that do not fire on ``crops`` (N, 3, S, S), or only in spikes."""
    found = [student.features(chunk) for chunk in crops.split(32)]
    state = {key: value.clone() for key, value in student.state_dict().items()}
    for name in student.names:
        layer = f"relu{name[4:]}"
        rms = torch.stack([one[layer].square().mean((0, 2, 3)) for one in found]).mean(0).sqrt()
        weight = state[f"conv.{name}.weight"]
        fires = rms > _SILENT * rms[rms > 0].median()
        norms = weight.flatten(1).norm(dim=1)
        keep = (fires & (norms < _STEEP * norms[fires].median())).nonzero()[:, 0]
        state[f"conv.{name}.weight"] = weight[keep]
        state[f"conv.{name}.bias"] = state[f"conv.{name}.bias"][keep]
        for reader in _readers(student, name, state):
            state[reader] = state[reader][:, keep]
    return rebuilt(student, state)


@torch.no_grad()
def widened(student: Student, teacher: Teacher, crops: Tensor, name: str, count: int) -> Student:
    """``student`` with ``count`` more channels in convolution ``name``, for what its head explains least.

    Args:
        crops: (N, 3, S, S), what filters and head are fitted to.
    """
    layer, old, chunks = f"relu{name[4:]}", len(student.convs[name].weight), crops.split(32)
    sums = [
        moments(student.features(c, until=name)[layer], F.relu(teacher.pre_activation(c, name)))
        for c in chunks
    ]
    xx, yx, yy = (torch.stack(part).mean(0) for part in zip(*sums, strict=True))
    best = solve(xx, yx)
    unexplained = yy - best @ yx.T - yx @ best.T + best @ xx @ best.T
    wanted = torch.eye(len(yy), dtype=yy.dtype)[strongest(unexplained, count)]
    weight, bias = fit_filters(student, teacher, chunks, name, wanted)
    state = {key: value.clone() for key, value in student.state_dict().items()}
    state[f"conv.{name}.weight"] = torch.cat([state[f"conv.{name}.weight"], weight])
    state[f"conv.{name}.bias"] = torch.cat([state[f"conv.{name}.bias"], bias])
    for reader in _readers(student, name, state):
        read = state[reader]
        state[reader] = torch.cat([read, read.new_zeros(len(read), count, *read.shape[2:])], 1)
    made = rebuilt(student, state)
    if layer in made.heads:
        _listen(made, teacher, chunks, layer, old)
    return made


def _listen(student: Student, teacher: Teacher, chunks: tuple[Tensor, ...], layer: str, old: int) -> None:
    """Fit the head's columns from ``old`` on to what the ones before leave."""
    xx = yx = torch.zeros((), dtype=torch.float64)
    for chunk in chunks:
        own = student.features(chunk, until=f"conv{layer[4:]}")[layer]
        left = teacher(chunk, (layer,))[layer] - student.heads[layer](own)
        a, b, _ = moments(own[:, old:], left)
        xx, yx = xx + a, yx + b
    student.heads[layer].weight[:, old:] = solve(xx, yx).float()[:, :, None, None]
