"""Makes the pictures of the front page and of the page of presets.

    python docs/pictures/make.py [first|presets]

From photographs of scikit-image and the project's own paintings alone, so that the pages may go anywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

import impasto
from impasto import pictures, samples
from impasto.pictures.geometry import resample

HERE = Path(__file__).parent
SIZE = 384
VARIANTS: tuple[dict[str, object], ...] = ({}, {"strength": 0.35}, {"preset": "fine"})
PAIRS = (
    ("chelsea", "wave"),
    ("coffee", "swirl"),
    ("rocket", "woodcut"),
    ("astronaut", "facets"),
    ("chelsea", "mosaic"),
    ("coffee", "garden"),
    ("rocket", "glass"),
    ("astronaut", "pointillist"),
)
PRESETS = ("instant", "draft", "fast", "fine", "classic")
ROW = 190


def beside(*images: Tensor, height: int | None = None) -> Tensor:
    """Pictures in a row, 8 pixels apart, scaled to one height."""
    height = height or images[0].shape[-2]
    scaled = [
        resample(image, (height, round(image.shape[-1] * height / image.shape[-2]))) for image in images
    ]
    gap = torch.ones(1, 3, height, 8)
    return torch.cat([part for image in scaled for part in (image, gap)][:-1], 3)


def first() -> None:
    """What to try first: three pictures of one pair."""
    content, style = samples.photograph("coffee"), samples.painting("swirl")
    painted = [impasto.stylize(content, style, size=SIZE, **variant).pixels for variant in VARIANTS]  # type: ignore[arg-type]
    pictures.save(HERE / "first.jpg", beside(*painted), quality=88)


def presets() -> None:
    """A row for each pair: content, style, presets at 512 pixels."""
    for photograph, painting in PAIRS:
        content, style = samples.photograph(photograph), samples.painting(painting, size=512)
        results = [impasto.stylize(content, style, preset=preset) for preset in PRESETS]
        row = beside(content, style, *(result.pixels for result in results), height=ROW)
        pictures.save(HERE / f"{photograph}-{painting}.jpg", row, quality=82)


if __name__ == "__main__":
    for name in sys.argv[1:] or ("first", "presets"):
        {"first": first, "presets": presets}[name]()
