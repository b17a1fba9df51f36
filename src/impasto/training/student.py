"""The network that is trained: VGG-19's architecture with few channels and a linear head at each target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.networks.layers import activation_of, block_of, convolution_of
from impasto.networks.operations import pool
from impasto.training.teacher import TARGETS, Teacher

__all__ = ["WIDTHS", "Student", "export", "fit_filters", "fit_to_teacher", "moments", "solve", "strongest"]

#: Channels of each convolution, multiples of 16 for the processor's matrix units. Layers with a head have
#: more. The first convolutions, which take most of the time because they run at full resolution, have few.
#: Channels of block 2 bring most for their cost (LOG.md, 2026-11-20).
WIDTHS: dict[str, int] = {
    "conv1_1": 16, "conv1_2": 32,
    "conv2_1": 64, "conv2_2": 64,
    "conv3_1": 96, "conv3_2": 96, "conv3_3": 64, "conv3_4": 64,
    "conv4_1": 80, "conv4_2": 80, "conv4_3": 64, "conv4_4": 128,
    "conv5_1": 112,
}  # fmt: skip


class Student(nn.Module):
    """Convolutions with trainable weights and a bias-free 1×1 head per target.

    There are no normalisation layers: each layer starts as a combination of the teacher's filters, scaled to
    unit RMS on data, as batch normalisation would do.

    The padding is the same as in painting with :class:`~impasto.networks.encoder.Encoder`, because in crops
    of 128 pixels most of the receptive fields of conv5_1 reach an edge.

    Args:
        channels: target → channels of the teacher.
        widths: convolution → channels of the student.
        pooling: ``max`` or ``average``.
    """

    padding = "reflect"
    activation: Callable[[Tensor], Tensor] = staticmethod(F.relu)

    def __init__(
        self, channels: Mapping[str, int], widths: Mapping[str, int] = WIDTHS, pooling: str = "max"
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.names = tuple(widths)
        inputs = (3, *widths.values())
        # Plain dicts, for typed access, beside the ModuleDicts that register the parameters.
        self.convs = {
            name: nn.Conv2d(before, width, 3)
            for before, (name, width) in zip(inputs, widths.items(), strict=False)
        }
        self.heads = {t: nn.Conv2d(widths[convolution_of(t)], channels[t], 1, bias=False) for t in TARGETS}
        self.conv, self.head = nn.ModuleDict(self.convs), nn.ModuleDict(self.heads)

    def features(self, image: Tensor, until: str = "conv5_1") -> dict[str, Tensor]:
        """Channels after each ReLU, in [0, ∞) and before the heads, of ``image`` (N, 3, H, W) in [0, 1]."""
        features: dict[str, Tensor] = {}
        x = (image * 2.0 - 1.0).contiguous(memory_format=torch.channels_last)
        for index, name in enumerate(self.names):
            if index and block_of(name) != block_of(self.names[index - 1]):
                x = pool(x, self.pooling)
            conv = self.convs[name]
            x = self.activation(F.conv2d(_padded(x, self.padding), conv.weight, conv.bias))
            features[activation_of(name)] = x
            if name == until:
                break
        return features


def _padded(x: Tensor, padding: str) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode=padding)


def moments(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """E[a aᵀ], E[b aᵀ], E[b bᵀ] in float64 of (N, C, H, W) features, over all positions."""
    x = a.double().permute(1, 0, 2, 3).flatten(1)
    y = b.double().permute(1, 0, 2, 3).flatten(1)
    n = x.shape[1]
    return x @ x.T / n, y @ x.T / n, y @ y.T / n


def solve(xx: Tensor, yx: Tensor, ridge: float = 1e-4) -> Tensor:
    """Least squares y ≈ D x with a small ridge for stability: D, (C_y, C_x)."""
    damp = ridge * xx.diagonal().mean() * torch.eye(len(xx), dtype=xx.dtype)
    solution: Tensor = torch.linalg.solve(xx + damp, yx.T)
    return solution.T


def _fit_targets(cov: Tensor, count: int) -> Tensor:
    """What a layer of ``count`` channels is fitted to: mixtures of the teacher's C channels, (count, C).

    Rows have length 1. They select the strongest channels; if there are fewer than ``count``, random mixtures
    follow. Channels that hardly ever respond are left out. Compressed teachers have many of them, and a
    filter that is fitted to one and scaled to unit RMS responds enormously to very few pictures.

    Args:
        cov: (C, C), second moments of the teacher's channels.
    """
    firing = (cov.diagonal() > 1e-4 * cov.diagonal().max()).nonzero()[:, 0]
    chosen = firing[strongest(cov[firing][:, firing], min(count, len(firing)))]
    targets = torch.zeros(count, len(cov), dtype=cov.dtype)
    targets[range(len(chosen)), chosen] = 1.0
    mixtures = torch.randn(count - len(chosen), len(firing), dtype=cov.dtype)
    targets[len(chosen) :, firing] = F.normalize(mixtures)
    return targets


def strongest(cov: Tensor, count: int) -> list[int]:
    """Channels that together explain the others best: forward selection on second moments (C, C)."""
    residual, chosen = cov.clone(), list[int]()
    for _ in range(count):
        gain = residual.square().sum(0) / residual.diagonal().clamp_min(1e-12 * float(cov.trace()))
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        column = residual[:, best]
        residual = residual - torch.outer(column, column) / column[best].clamp_min(1e-12)
    return chosen


@torch.no_grad()
def fit_to_teacher(student: Student, teacher: Teacher, crops: Tensor) -> dict[str, float]:
    """Start the student in closed form, layer by layer, as a pruned teacher.

    At each convolution the teacher's channels that together explain the others best are kept, and the
    student's filters are the least-squares fit of their pre-activations on the student's input (channel
    pruning by reconstruction, He et al. 2017). Every layer is then scaled to unit RMS, as batch
    normalisation would do, and the heads are fitted by least squares too.

    Args:
        crops: (N, 3, S, S); a few hundred, since the deepest fit has over a thousand unknowns per channel.

    Returns:
        The share of each target's variance explained at the start, on ``crops``.
    """
    chunks = crops.split(32)
    for name in student.names:
        conv = student.convs[name]
        assert conv.bias is not None
        features = F.relu(teacher.pre_activation(chunks[0], name))
        targets = _fit_targets(moments(features, features[:, :1])[0], len(conv.weight))
        weight, bias = fit_filters(student, teacher, chunks, name, targets)
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)
    return _fit_heads(student, teacher, chunks)


def fit_filters(
    student: Student, teacher: Teacher, chunks: Sequence[Tensor], name: str, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Fit the filters of one convolution by least squares, and scale them to unit RMS after the ReLU.

    Args:
        chunks: crops (N, 3, S, S); inputs of the convolution are the student's features of these.
        name: of the convolution.
        targets: (count, C), the mixtures of the teacher's C pre-activations that are fitted.

    Returns:
        Weights (count, in, 3, 3) and biases (count,). The factor that scales a channel is at most ten times
        the median factor.
    """
    index = student.names.index(name)
    previous = student.names[index - 1] if index else ""
    xx = yx = torch.zeros((), dtype=torch.float64)
    for chunk in chunks:
        pre_activations = teacher.pre_activation(chunk, name)
        patches = _patches(student, chunk, previous, name)
        rows, columns = _sample(
            patches, F.conv2d(pre_activations, targets.to(pre_activations)[:, :, None, None])
        )
        xx, yx = xx + rows.T @ rows, yx + columns.T @ rows
    solution = solve(xx, yx, ridge=1e-3).float()  # (count, in · 9 + 1)
    fitted = torch.einsum("oc,nchw->nohw", solution, _patches(student, chunks[0], previous, name))
    rms = student.activation(fitted).square().mean((0, 2, 3)).sqrt()
    rms = rms.clamp_min(0.1 * float(rms.median()))
    weight = solution[:, :-1].unflatten(1, (-1, 3, 3)) / rms[:, None, None, None]
    return weight, solution[:, -1] / rms


def _patches(student: Student, chunk: Tensor, previous: str, name: str) -> Tensor:
    """Input patches of a convolution with a row of ones for the bias: (N, in · 9 + 1, H, W)."""
    if not previous:
        x = chunk * 2.0 - 1.0
    else:
        x = student.features(chunk, until=previous)[activation_of(previous)]
        x = pool(x, student.pooling) if block_of(previous) != block_of(name) else x
    x = _padded(x, student.padding)
    height, width = x.shape[2] - 2, x.shape[3] - 2
    shifted = [x[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    stacked = torch.stack(shifted, 2).flatten(1, 2)  # channel-major, then row and column of the filter
    return torch.cat([stacked, torch.ones_like(stacked[:, :1])], 1)


def _sample(x: Tensor, y: Tensor, limit: int = 16384) -> tuple[Tensor, Tensor]:
    """About ``limit`` positions of two maps on the same grid, as rows: (P, C_x) and (P, C_y) in float64."""
    stride = max(1, (x.shape[0] * x.shape[2] * x.shape[3]) // limit)
    return tuple(t.permute(0, 2, 3, 1).flatten(0, 2)[::stride].double() for t in (x, y))  # type: ignore[return-value]


def _fit_heads(student: Student, teacher: Teacher, chunks: Sequence[Tensor]) -> dict[str, float]:
    """Fit all heads by least squares; returns the share of each target's variance that they explain."""
    sums: dict[str, list[Tensor]] = {}
    for chunk in chunks:
        features, target = student.features(chunk), teacher(chunk)
        for layer in TARGETS:
            t = target[layer]
            part = [*moments(features[layer], t), t.double().mean((0, 2, 3))]
            sums[layer] = [a + b for a, b in zip(sums[layer], part, strict=True)] if layer in sums else part
    explained = {}
    for layer, parts in sums.items():
        xx, yx, yy, mean = (part / len(chunks) for part in parts)
        head = solve(xx, yx)
        student.heads[layer].weight.copy_(head.float()[:, :, None, None])
        error = yy.trace() - 2 * (head * yx).sum() + (head @ xx * head).sum()
        explained[layer] = 1.0 - float(error / (yy.trace() - mean.square().sum()))
    return explained


@torch.no_grad()
def export(student: Student, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors of the embedded file, float16: the convolutions, and a square head R for each head W.

    RᵀR = WᵀW, so that distances and norms of Gram matrices are the same.

    Args:
        state: averaged parameters to use instead of the student's present ones.
    """
    params = dict(student.state_dict()) if state is None else dict(state)
    tensors = {}
    for name in student.names:
        for kind in ("weight", "bias"):
            tensors[f"{name}.{kind}"] = params[f"conv.{name}.{kind}"].half().contiguous()
    for layer in TARGETS:
        w = params[f"head.{layer}.weight"].double()[:, :, 0, 0]
        # The triangular factor of W equals that of WᵀW, without squaring the condition number.
        tensors[f"head.{layer}.weight"] = torch.linalg.qr(w, mode="r")[1].half().contiguous()
    return {name: value.cpu() for name, value in tensors.items()}
