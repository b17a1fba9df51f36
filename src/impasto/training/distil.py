"""The training loop of the compact encoder, which learns to predict the teacher's features.

A batch has crops of pictures and canvases (:mod:`impasto.training.policy`).
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from impasto.files import replacing
from impasto.machine import autocast
from impasto.training.checkpoint import read_checkpoint, write_checkpoint
from impasto.training.data import Crops
from impasto.training.policy import Canvases, folded_gram_distance, inner
from impasto.training.reshaping import rebuild, widen, without_silent
from impasto.training.student import WIDTHS, Student, export, fit_to_teacher
from impasto.training.teacher import STYLE_TARGETS, TARGETS, Teacher

__all__ = ["Trainer", "TrainingPlan"]


@dataclass(frozen=True)
class TrainingPlan:
    """The settings of a training run, stored in its checkpoint. The attributes are also flags with this help.

    Attributes:
        crops: Crops of pictures in a batch.
        canvases: Canvases in a batch.
        buffer: Canvases that are being stylised at a time.
        size: Side of crops and canvases in pixels.
        start: Crops that the student is fitted to in closed form before training.
        lr: Learning rate of Adam.
        gram_weight: Weight of the loss of Gram matrices; that of features has weight 1.
        gradient_weight: Weight of the loss of gradients at the canvases.
        pooling: Pooling of the student: max or average.
        average: Decay of the running mean of the parameters, which is exported.
        seed: Seed of everything random.
    """

    crops: int = 6
    canvases: int = 6
    buffer: int = 18
    size: int = 128
    start: int = 256
    lr: float = 1.5e-3
    gram_weight: float = 1.0
    gradient_weight: float = 0.0
    pooling: str = "average"
    average: float = 0.998
    seed: int = 0


class Trainer:
    """Holds student, teacher, data and optimiser; :meth:`run` yields one record per ``every`` steps.

    Args:
        teacher: supplies the targets.
        photos, paintings: crops that are trained on.
        held_out: crops (N, 3, S, S) that are never trained on, for :meth:`explained`.
        plan: settings of this run.
        widths: channels of each convolution.
        fit: start in closed form, on the CPU; False before :meth:`resume`.
        device: where the steps are computed.
        student: class of the network to train; it gets the teacher's channels, ``widths`` and the pooling.
    """

    def __init__(
        self,
        teacher: Teacher,
        photos: Crops,
        paintings: Crops,
        held_out: Tensor,
        plan: TrainingPlan,
        widths: Mapping[str, int] = WIDTHS,
        *,
        fit: bool = True,
        device: torch.device | str = "cpu",
        student: type[Student] = Student,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.teacher = plan, teacher
        self.photos, self.paintings, self.held_out = photos, paintings, held_out
        self.rng = np.random.default_rng(plan.seed)
        self.student = student(teacher.channels, widths, plan.pooling)
        if fit:
            start = self.draw_crops(plan.start)
            teacher.calibrate(start[:: max(1, plan.start // 32)])
            fit_to_teacher(self.student, teacher, start)
        self.device = torch.device(device)
        self.teacher.to(self.device)
        self._train_student(self.student)
        self.canvases = Canvases(photos, paintings, plan.buffer, plan.size, plan.seed + 1, self.device)
        self.steps, self.seconds = 0, 0.0

    def _train_student(self, student: Student) -> None:
        """Make this the network that is trained, with a new optimiser and running mean."""
        self.student = student.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(student.parameters(), lr=self.plan.lr, betas=(0.9, 0.99))
        self.mean_state = {k: v.clone() for k, v in student.state_dict().items()}

    def reshape(self, added: Mapping[str, int]) -> None:
        """Continue with the averaged student, without its silent channels and with new ones.

        The new network is computed on the CPU; see :mod:`impasto.training.reshaping`.

        Args:
            added: convolution → number of new channels.
        """
        self.student.load_state_dict(self.mean_state)
        self.teacher.cpu()
        crops = self.draw_crops(self.plan.start)
        student = without_silent(self.student.cpu(), crops)
        for name, count in added.items():
            student = widen(student, self.teacher, crops, name, count)
        self.teacher.to(self.device)
        self._train_student(student)

    def draw_crops(self, count: int) -> Tensor:
        """Crops (count, 3, S, S) for training, half photographs and half paintings."""
        half = count // 2
        photos = self.photos.draw(half, self.plan.size, self.rng)
        return torch.cat([photos, self.paintings.draw(count - half, self.plan.size, self.rng)])

    def run(self, seconds: float, *, final: float = 0.3, every: int = 50) -> Iterator[dict[str, float]]:
        """Train for ``seconds`` of wall time.

        Args:
            final: last share of the time, over which the learning rate falls to zero.
            every: steps between two records.

        Yields:
            Number of steps, seconds, learning rate, and what :meth:`step` returns.
        """
        begin, base = time.perf_counter(), self.seconds
        while (spent := time.perf_counter() - begin) < seconds:
            left = 1.0 - spent / seconds
            warm = min(1.0, (self.steps + 1) / 100)
            rate = self.plan.lr * warm * (min(1.0, left / final) if final > 0 else 1.0)
            record = self.step(rate)
            self.seconds = base + time.perf_counter() - begin
            if self.steps % every == 0:
                yield {"steps": self.steps, "seconds": self.seconds, "lr": rate} | record

    def step(self, rate: float) -> dict[str, float]:
        """Make one step at this learning rate.

        Returns:
            ``loss``, and each layer's relative errors: ``crop_relu3_1``, ``canvas_gram_relu3_1`` and so on.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        index, canvases = self.canvases.take(self.plan.canvases)
        batch = torch.cat([self.draw_crops(self.plan.crops).to(self.device), canvases])
        batch = batch.contiguous(memory_format=torch.channels_last).requires_grad_(True)
        with torch.no_grad(), autocast(self.device):
            targets = self.teacher.raw(batch)
        with autocast(self.device):
            features = self.student.features(batch)
            loss, record = self.loss(features, targets)
        on_canvases = {k: v[self.plan.crops :] for k, v in features.items()}
        (gradient,) = torch.autograd.grad(
            self.canvases.loss(self.student, on_canvases, index),
            batch,
            retain_graph=True,
            create_graph=self.plan.gradient_weight > 0,
        )
        if self.plan.gradient_weight > 0:
            target = self.canvases.teacher_gradient(self.teacher, canvases, index)
            cosine = F.cosine_similarity(gradient[self.plan.crops :].flatten(1), target.flatten(1))
            loss = loss + self.plan.gradient_weight * (1 - cosine).mean()
            record["cosine"] = float(cosine.detach().mean())
            gradient = gradient.detach()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.student.parameters()))
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        if math.isfinite(float(norm)):
            self.optimiser.step()
        self.canvases.step(index, gradient[self.plan.crops :])
        self.steps += 1
        decay = min(self.plan.average, self.steps / (self.steps + 10))
        with torch.no_grad():
            for key, value in self.student.state_dict().items():
                self.mean_state[key].lerp_(value, 1 - decay)
        return record

    def loss(
        self, features: dict[str, Tensor], targets: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, float]]:
        """Relative error of the features at every target, and of Gram matrices at the style targets.

        Both are expanded so that no feature map with the teacher's many channels is computed or read in
        float32, which would cost more than the student itself. For the student's features s, its head W, the
        teacher's features t, P positions, G = s sᵀ / P, K = s tᵀ / P, A = t tᵀ / P and M = WᵀW,
        ‖W s − t‖² / P = tr(M G) − 2 tr(W K) + tr A and ‖W G Wᵀ − A‖² = tr(MGMG) − 2 tr(G WᵀAW) + ‖A‖².

        Args:
            features: layer → (N, C, h, w) of the student, before the heads; crops first, then canvases.
            targets: layer → (N, K, h, w) of the teacher, unscaled.

        Returns:
            The loss, and the record of :meth:`step`.
        """
        total, record = torch.zeros((), device=self.device), dict[str, float]()
        for layer in TARGETS:
            weight = 1.0 / len(TARGETS)
            s, t = self._thinned(features[layer], targets[layer])
            scale = self.teacher.rms[layer]
            w = self.student.heads[layer].weight.flatten(1).float()
            with torch.autocast(self.device.type, enabled=False):
                gram = inner(s.float(), s.float())
                metric, cross = w.T @ w, inner(s, t) / scale
                energy = torch.linalg.vector_norm(t.flatten(1), dim=1, dtype=torch.float32).square()
                energy = energy / (t.shape[2] * t.shape[3] * scale**2)
                error = (metric * gram).sum((1, 2)) - 2 * (w.T * cross).sum((1, 2)) + energy
                relative = error / (energy + 0.1 * energy.mean())
                total = total + weight * relative.mean()
                self._record(record, layer, relative)
                if layer in STYLE_TARGETS:
                    target_gram = inner(t, t) / scale**2
                    size = target_gram.square().sum((1, 2))
                    distance = folded_gram_distance(metric, gram) + size
                    distance = distance - 2 * ((w.T @ target_gram @ w) * gram).sum((1, 2))
                    relative = distance / (size + 0.1 * size.mean())
                    total = total + self.plan.gram_weight * relative.mean() / len(STYLE_TARGETS)
                    self._record(record, f"gram_{layer}", relative)
        record["loss"] = float(total.detach())
        return total, record

    def _thinned(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Every second row and column of large maps, at a random offset: a quarter of the work."""
        if s.shape[2] < self.plan.size // 2:
            return s, t
        i, j = (int(k) for k in self.rng.integers(2, size=2))
        return s[:, :, i::2, j::2], t[:, :, i::2, j::2]

    def _record(self, record: dict[str, float], name: str, value: Tensor) -> None:
        """Add the means of a value (N,) over the crops and over the canvases of the batch."""
        crops, canvases = value.detach().tensor_split([self.plan.crops])
        record[f"crop_{name}"], record[f"canvas_{name}"] = float(crops.mean()), float(canvases.mean())

    @torch.no_grad()
    def explained(self) -> dict[str, float]:
        """Share of each target's variance that the averaged student explains on the held-out crops."""
        student = copy.deepcopy(self.student)
        student.load_state_dict(self.mean_state)
        error, total = dict.fromkeys(TARGETS, 0.0), dict.fromkeys(TARGETS, 0.0)
        for chunk in self.held_out.split(16):
            chunk = chunk.to(self.device)
            features, targets = student.features(chunk), self.teacher(chunk)
            for layer in TARGETS:
                t = targets[layer]
                error[layer] += float((student.heads[layer](features[layer]) - t).square().sum())
                total[layer] += float((t - t.mean((0, 2, 3), keepdim=True)).square().sum())
        return {layer: 1.0 - error[layer] / total[layer] for layer in TARGETS}

    def save(self, folder: Path) -> None:
        """Write ``checkpoint.pt``, to resume from, and ``compact.safetensors``, to paint with."""
        state = {
            "student": self.student.state_dict(),
            "mean": self.mean_state,
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
            "rms": self.teacher.rms,
            "plan": asdict(self.plan),
        }
        write_checkpoint(folder, state)
        meta = {"plan": json.dumps(asdict(self.plan)), "steps": str(self.steps), "pooling": self.plan.pooling}
        with replacing(folder / "compact.safetensors") as partial:
            save_file(export(self.student, self.mean_state), partial, metadata=meta)

    def resume(self, folder: Path) -> None:
        """Continue from the checkpoint of :meth:`save`, with new canvases and crops.

        Raises:
            WeightsError: there is none, or it is damaged.
        """
        keys = ("student", "mean", "optimiser", "steps", "seconds", "rms")
        state = read_checkpoint(folder, keys, self.device)
        self._train_student(rebuild(self.student, state["student"]))
        self.mean_state = state["mean"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps, self.seconds = state["steps"], state["seconds"]
        self.teacher.rms = state["rms"]
        self.rng = np.random.default_rng((self.plan.seed, self.steps))
        self.canvases.rng = np.random.default_rng((self.plan.seed + 1, self.steps))
