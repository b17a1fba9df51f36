"""Makes first.jpg, what to try first: three pictures of one pair. ``python docs/pictures/make.py``."""

from __future__ import annotations

from pathlib import Path

import torch

import impasto
from impasto import pictures, samples

SIZE = 384
VARIANTS: tuple[dict[str, object], ...] = ({}, {"strength": 0.35}, {"preset": "fine"})


def main() -> None:
    content, style = samples.photograph("coffee"), samples.painting("swirl")
    painted = [impasto.stylize(content, style, size=SIZE, **variant).pixels for variant in VARIANTS]  # type: ignore[arg-type]
    gap = torch.ones(1, 3, painted[0].shape[-2], 8)
    sheet = torch.cat([painted[0], gap, painted[1], gap, painted[2]], 3)
    pictures.save(Path(__file__).parent / "first.jpg", sheet, quality=88)


if __name__ == "__main__":
    main()
