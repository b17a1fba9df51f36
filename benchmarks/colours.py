"""Fit how light and colour are read from features: ``python benchmarks/colours.py OUT PICTURE...``.

Writes what :mod:`impasto.feedforward.colours` loads, and prints the share of the variance that is read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from impasto.feedforward.statistics import LEVELS
from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.networks.registry import load_encoder
from impasto.pictures import load
from impasto.pictures.geometry import fit, resample
from impasto.training.student import solve

#: Positions of each picture and layer.
COUNT = 600
#: Of the mean variance of a channel, added to the diagonal.
RIDGE = 1e-3


@torch.no_grad()
def samples(
    encoder: Encoder, picture: Tensor, generator: torch.Generator
) -> dict[str, tuple[Tensor, Tensor]]:
    """Features (M, C) and the mean colours (M, 3) below them at random positions, by layer, float64."""
    found = {}
    for layer, f in encoder(picture, LEVELS).raw.items():
        colours = F.avg_pool2d(picture, geometry(layer).stride)
        rows = [x[0].double().flatten(1).T for x in (f, colours)]
        chosen = torch.randperm(len(rows[0]), generator=generator)[:COUNT]
        found[layer] = (rows[0][chosen], rows[1][chosen])
    return found


def read_out(features: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression: the matrix (3, C), and the share of each colour's variance that it gives."""
    f, c = features - features.mean(0), colours - colours.mean(0)
    matrix = solve(f.T @ f / len(f), c.T @ f / len(f), RIDGE)
    return matrix, 1 - (c - f @ matrix.T).square().sum(0) / c.square().sum(0)


def main(out: str, paths: Sequence[str]) -> None:
    encoder, generator = load_encoder(), torch.Generator().manual_seed(0)
    found = []
    for path in paths:
        picture = load(path).pixels
        size = fit(*picture.shape[-2:], 512)
        picture = resample(picture, (size[0] // 8 * 8, size[1] // 8 * 8))
        found.append(samples(encoder, picture, generator))
    matrices = {}
    for layer in LEVELS:
        f, c = (torch.cat([sample[layer][k] for sample in found]) for k in (0, 1))
        matrix, share = read_out(f, c)
        matrices[layer] = matrix.float().contiguous()
        print(layer, " ".join(f"{value:.3f}" for value in share.tolist()))
    save_file(matrices, Path(out))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
