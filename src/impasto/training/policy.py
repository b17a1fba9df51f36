"""On-policy training pictures: canvases that are being stylised with the student in its present state.

Optimisation leads to pictures whose loss under the student is small even where its features are wrong. Such
pictures do not occur among photographs and paintings. So a part of every batch are canvases, with the
teacher's features as their targets (on-policy distillation, after DAgger: Ross et al. 2011).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from impasto.machine import autocast
from impasto.networks.layers import convolution_of
from impasto.training.data import Crops
from impasto.training.student import Student
from impasto.training.teacher import STYLE_TARGETS, Teacher

__all__ = ["Canvases", "folded_gram_distance", "grams", "inner"]

CONTENT = "relu3_2"


def grams(features: Mapping[str, Tensor], layers: Iterable[str] = STYLE_TARGETS) -> dict[str, Tensor]:
    """Per-picture Gram matrices (N, C, C), F Fᵀ / M, float32, multiplied in the precision of the features."""
    return {layer: inner(features[layer], features[layer]) for layer in layers}


def inner(a: Tensor, b: Tensor) -> Tensor:
    """A Bᵀ / M per picture for features (N, C, H, W) and (N, K, H, W): (N, C, K), float32."""
    with torch.autocast(a.device.type, enabled=False):
        # (N, M, C) is the layout of channels_last in memory, so that nothing is copied.
        left, right = (x.permute(0, 2, 3, 1).flatten(1, 2) for x in (a, b.to(a.dtype)))
        return (left.transpose(1, 2) @ right).float() / left.shape[1]


def folded_gram_distance(metric: Tensor, difference: Tensor) -> Tensor:
    """‖W D Wᵀ‖² per picture, (N,), from M = WᵀW (C, C) and D (N, C, C), computed as tr(M D M D)."""
    md = metric @ difference
    return (md * md.transpose(1, 2)).sum((1, 2))


@dataclass
class _Slot:
    """Pictures and settings that one canvas is painted with.

    Attributes:
        style, content: (1, 3, S, S).
        content_weight: of the content loss; the style loss has weight 1.
        lr: learning rate of Adam.
        remaining: steps until the canvas is replaced.
    """

    style: Tensor
    content: Tensor
    content_weight: float
    lr: float
    remaining: int


class Canvases:
    """A buffer of pictures that are being stylised; each makes one step of Adam whenever it is in a batch.

    Args:
        photos, paintings: where contents and styles come from.
        count: canvases in the buffer.
        size: pixels a side.
        seed: of everything random here.
        device: where the canvases are kept.
    """

    def __init__(
        self,
        photos: Crops,
        paintings: Crops,
        count: int,
        size: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.photos, self.paintings, self.size, self.device = photos, paintings, size, torch.device(device)
        self.rng = np.random.default_rng(seed)
        self.images = torch.zeros(count, 3, size, size, device=self.device)
        self.first, self.second = torch.zeros_like(self.images), torch.zeros_like(self.images)
        self.age = torch.zeros(count)
        self.slots: list[_Slot] = [self._new_slot(i) for i in range(count)]
        self.next_index = 0

    def _new_slot(self, i: int) -> _Slot:
        """Start canvas ``i`` for a new pair of pictures, from the content, from noise or from a mixture."""
        rng = self.rng
        content = self.photos.draw(1, self.size, rng)
        style = (self.paintings if rng.random() < 0.85 else self.photos).draw(1, self.size, rng)
        noise = torch.from_numpy(rng.normal(0.5, 0.25, content.shape).astype(np.float32))
        share = {"content": 0.0, "noise": 1.0, "mixed": float(rng.uniform(0, 1))}[
            str(rng.choice(["content", "noise", "mixed"], p=[0.55, 0.2, 0.25]))
        ]
        self.images[i] = ((1 - share) * content + share * noise)[0].clamp(0, 1).to(self.device)
        self.first[i], self.second[i], self.age[i] = 0.0, 0.0, 0.0
        weight = 0.0 if rng.random() < 0.2 else float(10 ** rng.uniform(-3.5, -0.5))
        steps = round(20 * 8 ** float(rng.random()))
        style, content = style.to(self.device), content.to(self.device)
        return _Slot(style, content, weight, float(10 ** rng.uniform(-2.0, -1.3)), steps)

    def take(self, count: int) -> tuple[list[int], Tensor]:
        """The next ``count`` canvases: their indices and a batch (count, 3, size, size)."""
        index = [(self.next_index + k) % len(self.slots) for k in range(count)]
        self.next_index = (self.next_index + count) % len(self.slots)
        return index, self.images[index].clone()

    def loss(self, student: Student, features: dict[str, Tensor], index: list[int]) -> Tensor:
        """The loss that the canvases ``index`` are optimised for, summed, from the student's features.

        Args:
            features: layer → (N, C, h, w) of these canvases, before the heads.
        """
        style, content, weight = self._targets(index)
        with torch.no_grad(), autocast(self.device):
            styles = grams(student.features(style))
            contents = student.features(content, until=convolution_of(CONTENT))[CONTENT]
        total = torch.zeros(len(index), device=self.device)
        for layer, gram in grams(features).items():
            w = student.heads[layer].weight.flatten(1)
            metric = w.T @ w
            scale = folded_gram_distance(metric, styles[layer]).clamp_min(1e-8)
            total = total + folded_gram_distance(metric, gram - styles[layer]) / scale / len(STYLE_TARGETS)
        w = student.heads[CONTENT].weight.flatten(1)
        metric = w.T @ w
        target = contents.float()
        difference = features[CONTENT].float() - target
        error = torch.einsum("nchw,cd,ndhw->n", difference, metric, difference)
        energy = torch.einsum("nchw,cd,ndhw->n", target, metric, target).clamp_min(1e-8)
        return (total + weight * error / energy).sum()

    def _targets(self, index: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Styles, contents (N, 3, S, S) and content weights (N,) of these canvases."""
        slots = [self.slots[i] for i in index]
        weights = torch.tensor([slot.content_weight for slot in slots], device=self.device)
        return torch.cat([slot.style for slot in slots]), torch.cat([slot.content for slot in slots]), weights

    def teacher_gradient(self, teacher: Teacher, images: Tensor, index: list[int]) -> Tensor:
        """Gradient at ``images`` (N, 3, S, S) of the same loss, computed from the teacher's features."""
        images = images.detach().requires_grad_(True)
        style, content, weight = self._targets(index)
        layers = (*STYLE_TARGETS, CONTENT)
        # Not under autocast: the backward pass of an encoder runs in one precision.
        features = teacher.raw(images, layers)
        with torch.no_grad():
            styles = grams(teacher.raw(style, STYLE_TARGETS))
            contents = teacher.raw(content, (CONTENT,))[CONTENT]
        total = torch.zeros(len(index), device=self.device)
        for layer, gram in grams(features).items():
            scale = styles[layer].square().sum((1, 2))
            total = total + (gram - styles[layer]).square().sum((1, 2)) / scale / len(STYLE_TARGETS)
        energy = contents.float().square().sum((1, 2, 3))
        error = (features[CONTENT].float() - contents.float()).square().sum((1, 2, 3))
        (gradient,) = torch.autograd.grad((total + weight * error / energy).sum(), images)
        return gradient

    def step(self, index: list[int], gradient: Tensor) -> None:
        """Make one Adam step on each of these canvases; replace one that is finished or not finite."""
        gradient = torch.nan_to_num(gradient)
        self.age[index] += 1
        self.first[index] = 0.9 * self.first[index] + 0.1 * gradient
        self.second[index] = 0.99 * self.second[index] + 0.01 * gradient * gradient
        for row, i in enumerate(index):
            slot, t = self.slots[i], float(self.age[i])
            mean, var = self.first[i] / (1 - 0.9**t), self.second[i] / (1 - 0.99**t)
            updated = self.images[i] - slot.lr * mean / (var.sqrt() + 1e-12)
            self.images[i] = updated.clamp(0, 1)
            slot.remaining -= 1
            if slot.remaining <= 0 or not torch.isfinite(gradient[row]).all():
                self.slots[i] = self._new_slot(i)
