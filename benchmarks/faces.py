"""Fit what tells faces: ``python benchmarks/faces.py OUT --faces PICTURE… --others PICTURE…``.

The photographs of ``--faces`` show one large face in the middle, those of ``--others`` none. Places that have
the colour of skin are compared, with the features that :mod:`impasto.feedforward.faces` reads. Writes what it
loads, and prints how many places of photographs that were left out are told correctly.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from impasto.feedforward.faces import face_features
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.pictures import load
from impasto.pictures.geometry import fit, resample

#: Longer sides of the photographs of faces and of the others; one of the latter is drawn for each.
FACE_SIDES, OTHER_SIDES = (96, 144, 224, 320), (144, 224, 320)
#: The part of a photograph that the face is in: shares of its height and width around the middle.
MIDDLE = (0.84, 0.6)
#: Places of each photograph, at most, and every how many photographs are left out.
PLACES, LEFT_OUT = 60, 5
#: Exponents of the sRGB values and gains of red against blue, drawn anew for each photograph: light and dark
#: skin, in warm and cold light.
GAMMAS, WARMTHS = (0.7, 2.2), (0.9, 1.12)
RIDGE = 1e-3


def samples(
    encoder: Encoder, paths: Sequence[str], generator: torch.Generator, *, faces: bool
) -> Iterator[Tensor]:
    """Features (n, C) at places that have the colour of skin, photograph by photograph.

    Args:
        faces: whether the photographs show faces; then each is taken at all sizes, and its middle counts.
    """
    sides, count = (FACE_SIDES, len(FACE_SIDES)) if faces else (OTHER_SIDES, 1)
    for path in paths:
        pixels, rows = load(path).pixels, []
        for index in torch.randperm(len(sides), generator=generator)[:count].tolist():
            draws = torch.rand(2, generator=generator).tolist()
            gamma, warmth = (
                low * (high / low) ** draw for (low, high), draw in zip((GAMMAS, WARMTHS), draws, strict=True)
            )
            gains = torch.tensor([warmth, 1.0, 1.0 / warmth]).view(1, 3, 1, 1)
            size = fit(*pixels.shape[-2:], sides[index])
            changed = (resample(pixels, size).clamp(0.0, 1.0) ** gamma * gains).clamp(0.0, 1.0)
            with torch.no_grad():
                features, skin = face_features(changed, encoder)
            counts = skin[0, 0] > 0.5
            if faces:
                down, across = ((torch.arange(side) + 0.5) / side - 0.5 for side in counts.shape)
                counts &= (down.abs() < MIDDLE[0] / 2)[:, None] & (across.abs() < MIDDLE[1] / 2)
            places = counts.flatten().nonzero()[:, 0]
            places = places[torch.randperm(len(places), generator=generator)[:PLACES]]
            rows.append(features[0].flatten(1).T[places].double())
        yield torch.cat(rows)


def regression(faces: Tensor, others: Tensor) -> tuple[Tensor, float]:
    """Logistic regression with equal weight on both classes: weights (C,) and constant."""
    rows = torch.cat([faces, others])
    mean, spread = rows.mean(0), rows.std(0) + 1e-6
    known = torch.cat([torch.ones(len(faces)), torch.zeros(len(others))]).double()
    shares = torch.where(known > 0, 0.5 / len(faces), 0.5 / len(others))
    scaled = (rows - mean) / spread
    solution = torch.zeros(rows.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([solution], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        errors = F.binary_cross_entropy_with_logits(
            scaled @ solution[:-1] + solution[-1], known, weight=shares, reduction="sum"
        )
        total: Tensor = errors + RIDGE * solution[:-1].square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    weights = solution.detach()[:-1] / spread
    return weights, float(solution.detach()[-1] - weights @ mean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", nargs="+", required=True, metavar="PICTURE")
    parser.add_argument("--others", nargs="+", required=True, metavar="PICTURE")
    options = parser.parse_args()
    encoder, generator = load_encoder(), torch.Generator().manual_seed(0)
    fitted, judged = [], []
    for paths, faces in ((options.faces, True), (options.others, False)):
        if len(paths) < LEFT_OUT:
            raise SystemExit(f"{len(paths)} photographs, at least {LEFT_OUT} expected")
        found = list(samples(encoder, sorted(paths), generator, faces=faces))
        judged.append(torch.cat(found[::LEFT_OUT]))
        fitted.append(torch.cat([rows for index, rows in enumerate(found) if index % LEFT_OUT]))
        print(f"{len(paths)} photographs, {len(fitted[-1])} places and {len(judged[-1])} left out")
    weights, bias = regression(*fitted)
    right = [
        float((sign * (rows @ weights + bias) > 0).double().mean())
        for sign, rows in zip((1, -1), judged, strict=True)
    ]
    print(f"told correctly: {right[0]:.3f} of the places on faces, {right[1]:.3f} of the others")
    save_file({"weights": weights.float(), "bias": torch.tensor(bias)}, options.out)


if __name__ == "__main__":
    main()
