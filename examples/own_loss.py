"""A loss of one's own: python examples/own_loss.py CONTENT STYLE OUT.

Brush strokes have directions. This term compares how strong the edges of the picture are in each of eight
directions with how strong they are in the style. What it gathers is a sum over pixels: exact in tiles.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import impasto
from impasto.losses.tiled import TiledEncoder

DIRECTIONS, SHARPNESS = 8, 4.0


@dataclass(frozen=True, kw_only=True)
class Orientations(impasto.Term):
    """Squared distance between the histograms of local orientations of picture and style."""

    name: str = "orientations"

    def prepare(self, scene: impasto.Scene, encoder: TiledEncoder) -> Tensor:
        """The style's histogram, (DIRECTIONS,), which sums to 1."""
        parts = encoder.style_parts(scene.regions[0].styles[0].pixels, ())
        total = torch.stack([self.gather(part, None) for part in parts]).sum(0)
        return total / total.sum()

    def gather(self, part: impasto.Part, memory: object) -> Tensor:
        """Edge strength by direction, summed over the part's own pixels: (DIRECTIONS,)."""
        # The halo knows the neighbours beyond the part, so that no edge between two parts is lost.
        grey = F.pad(part.image.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        dx, dy = grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2], grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]
        dx, dy = part.without_halo(dx), part.without_halo(dy)
        angle, strength = torch.atan2(dy, dx + 1e-6), (dx.square() + dy.square() + 1e-8).sqrt()
        bins = torch.arange(DIRECTIONS, device=grey.device) * (torch.pi / DIRECTIONS)
        membership = (SHARPNESS * torch.cos(2.0 * (angle[..., None] - bins))).softmax(-1)
        return (strength[..., None] * membership).sum((0, 1, 2, 3))

    def judge(self, gathered: Tensor, memory: Tensor) -> Tensor:
        return (gathered / gathered.sum() - memory).square().sum() / memory.square().sum()


def main(content: str, style: str, out: str, size: int = 384) -> None:
    terms = [*impasto.terms_of(impasto.Recipe()), Orientations(weight=0.2)]
    result = impasto.stylize(content, style, size=size, terms=terms, tile=size // 2)
    print({name: round(loss, 4) for name, loss in result.losses.items()}, result.save(out))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/own_loss.py CONTENT STYLE OUT")
    main(*sys.argv[1:])
