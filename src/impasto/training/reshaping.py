"""Removes silent channels from a trained student and adds new ones, without changing its features.

New channels are fitted to what the student explains least. The next convolution's weights for them are zero
at first, so that its features do not change, and training continues from there (after Net2Net, Chen et al.
2016).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.networks.layers import activation_of, convolution_of
from impasto.training.student import Student, fit_filters, moments, solve, strongest
from impasto.training.teacher import Teacher

__all__ = ["rebuild", "widen", "without_silent"]

#: A channel with less than this share of the median RMS is silent.
_SILENT = 0.02
#: A filter with a norm above this multiple of the median norm is removed: it responds rarely, but enormously.
_STEEP = 40.0


def rebuild(like: Student, state: Mapping[str, Tensor]) -> Student:
    """A student of the class of ``like`` with these parameters and the number of channels they have."""
    widths = {name: len(state[f"conv.{name}.weight"]) for name in like.names}
    channels = {target: len(state[f"head.{target}.weight"]) for target in like.heads}
    student = type(like)(channels, widths, like.pooling)
    student.load_state_dict(state)
    return student


def _readers(student: Student, name: str, state: Mapping[str, Tensor]) -> Iterator[str]:
    """Keys of the weights that read a convolution's channels: its head's and the next convolution's."""
    after = dict(zip(student.names, student.names[1:], strict=False)).get(name)
    return (key for key in (f"head.{activation_of(name)}.weight", f"conv.{after}.weight") if key in state)


@torch.no_grad()
def without_silent(student: Student, crops: Tensor) -> Student:
    """``student`` without the channels that hardly respond to ``crops`` (N, 3, S, S), or only in spikes."""
    features = [student.features(chunk) for chunk in crops.split(32)]
    state = {key: value.clone() for key, value in student.state_dict().items()}
    for name in student.names:
        layer = activation_of(name)
        rms = torch.stack([f[layer].square().mean((0, 2, 3)) for f in features]).mean(0).sqrt()
        weight = state[f"conv.{name}.weight"]
        fires = rms > _SILENT * rms[rms > 0].median()
        norms = weight.flatten(1).norm(dim=1)
        keep = (fires & (norms < _STEEP * norms[fires].median())).nonzero()[:, 0]
        state[f"conv.{name}.weight"] = weight[keep]
        state[f"conv.{name}.bias"] = state[f"conv.{name}.bias"][keep]
        for reader in _readers(student, name, state):
            state[reader] = state[reader][:, keep]
    return rebuild(student, state)


@torch.no_grad()
def widen(student: Student, teacher: Teacher, crops: Tensor, name: str, count: int) -> Student:
    """``student`` with ``count`` more channels in convolution ``name``, fitted to what is explained least.

    Args:
        crops: (N, 3, S, S), what filters and head are fitted to.
    """
    layer, old, chunks = activation_of(name), len(student.convs[name].weight), crops.split(32)
    sums = [
        moments(student.features(c, until=name)[layer], F.relu(teacher.pre_activation(c, name)))
        for c in chunks
    ]
    xx, yx, yy = (torch.stack(part).mean(0) for part in zip(*sums, strict=True))
    fit = solve(xx, yx)
    unexplained = yy - fit @ yx.T - yx @ fit.T + fit @ xx @ fit.T
    targets = torch.eye(len(yy), dtype=yy.dtype)[strongest(unexplained, count)]
    weight, bias = fit_filters(student, teacher, chunks, name, targets)
    state = {key: value.clone() for key, value in student.state_dict().items()}
    state[f"conv.{name}.weight"] = torch.cat([state[f"conv.{name}.weight"], weight])
    state[f"conv.{name}.bias"] = torch.cat([state[f"conv.{name}.bias"], bias])
    for reader in _readers(student, name, state):
        weights = state[reader]
        state[reader] = torch.cat([weights, weights.new_zeros(len(weights), count, *weights.shape[2:])], 1)
    wider = rebuild(student, state)
    if layer in wider.heads:
        _fit_new_columns(wider, teacher, chunks, layer, old)
    return wider


def _fit_new_columns(
    student: Student, teacher: Teacher, chunks: tuple[Tensor, ...], layer: str, old: int
) -> None:
    """Fit the head's columns from ``old`` on to what the columns before them leave unexplained."""
    xx = yx = torch.zeros((), dtype=torch.float64)
    for chunk in chunks:
        features = student.features(chunk, until=convolution_of(layer))[layer]
        residual = teacher(chunk, (layer,))[layer] - student.heads[layer](features)
        a, b, _ = moments(features[:, old:], residual)
        xx, yx = xx + a, yx + b
    student.heads[layer].weight[:, old:] = solve(xx, yx).float()[:, :, None, None]
