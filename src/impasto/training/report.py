"""Evaluates a student: the teacher's features measure pictures that were painted with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.statistics import gram
from impasto.networks.encoder import OXFORD, Encoder, Features
from impasto.painting import engine
from impasto.pictures.geometry import fit, resample
from impasto.recipe import Recipe
from impasto.scene import Scene, Style
from impasto.training.teacher import STYLE_TARGETS, TARGETS, Teacher

__all__ = ["CONTENT_TARGET", "Score", "TeacherEncoder", "judge", "paint"]

CONTENT_TARGET = "relu3_2"


class TeacherEncoder(Encoder):
    """The teacher as an encoder, so that pictures can be painted against it too."""

    def __init__(self, teacher: Teacher, lower: dict[str, Tensor]) -> None:
        super().__init__(lower, OXFORD)
        self.teacher = teacher

    @property
    def layers(self) -> tuple[str, ...]:
        return TARGETS

    def forward(
        self, image: Tensor, layers: Iterable[str], *, padding: str | None = None, sparing: bool = False
    ) -> Features:
        del padding, sparing  # each of the teacher's networks pads as it was trained
        raw = self.teacher.raw(image, tuple(layers))
        return Features({layer: raw[layer] for layer in layers})


@dataclass(frozen=True)
class Score:
    """Distances of a picture to its content and style, by the teacher's features.

    Attributes:
        style_rel: per style level, ‖G(out) − G(style)‖² / ‖G(content) − G(style)‖²:
            1 for the content itself, 0 for an exact match.
        content: ‖F(out) − F(content)‖² / ‖F(content)‖² at relu3_2.
    """

    style_rel: tuple[float, ...]
    content: float

    @property
    def mean(self) -> float:
        """``style_rel`` averaged over the levels."""
        return sum(self.style_rel) / len(self.style_rel)


@torch.no_grad()
def judge(teacher: Teacher, out: Tensor, content: Tensor, style: Tensor) -> Score:
    """Score a painted picture.

    Args:
        out: (1, 3, H, W), the painted picture.
        content: is resampled to the size of ``out``.
        style: is reduced to the size of ``out`` if it is larger.
    """
    size = (out.shape[-2], out.shape[-1])
    content, style = resample(content, size).to(out.device), style.to(out.device)
    height, width = style.shape[-2:]
    style = resample(style, fit(height, width, min(max(height, width), max(size))))
    layers = (*STYLE_TARGETS, CONTENT_TARGET)
    features = [teacher.raw(picture, layers) for picture in (out, content, style)]
    relative = []
    for layer in STYLE_TARGETS:
        a, b, target = (gram(raw[layer].float()) for raw in features)
        relative.append(float((a - target).square().sum() / (b - target).square().sum()))
    a, b = features[0][CONTENT_TARGET].float(), features[1][CONTENT_TARGET].float()
    return Score(tuple(relative), float((a - b).square().sum() / b.square().sum()))


def paint(encoder: Encoder, pairs: Sequence[tuple[Tensor, Tensor]], recipe: Recipe) -> list[Tensor]:
    """Paint each (content, style) pair with ``encoder``; pictures (1, 3, H, W)."""
    outputs = []
    for content, style in pairs:
        for step in engine.steps(Scene(content, (Style(style),)), recipe, encoder):
            picture = step.picture
        outputs.append(picture)
    return outputs
