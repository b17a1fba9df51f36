"""Makes the pictures of the front page, of the page of presets and of key frames.

    python docs/pictures/make.py [first|presets|keys]

From photographs of scikit-image and the project's own paintings alone, so that the pages may go anywhere.
"""

from __future__ import annotations

import sys
import tempfile
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


def keys() -> None:
    """A clip of nine frames above, and below it carried from its first and last frame, which are painted."""
    table, cat = samples.photograph("coffee")[..., 40:390, :], samples.photograph("chelsea")
    table, cat = resample(table, (192, 330)), resample(cat[..., 20:260, 110:350], (96, 96))
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    disc = (47.0 - torch.hypot(rows - 47.5, columns - 47.5)).clamp(0.0, 1.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "film").mkdir()
        for index in range(9):
            frame = table[..., 6 * index : 6 * index + 256].clone()
            place = frame[..., 60:156, 20 + 12 * index : 116 + 12 * index]
            place.copy_(torch.lerp(place, cat, disc))
            pictures.save(folder / "film" / f"{index:06d}.png", frame)
        painted = {index: folder / f"{index}.png" for index in (0, 8)}
        for index, file in painted.items():
            film = folder / "film" / f"{index:06d}.png"
            impasto.stylize(film, samples.painting("wave"), size=256, seed=0).save(file)
        impasto.propagate(folder / "film", painted, folder / "result")
        lines = [
            beside(*(pictures.load(folder / kind / f"{index:06d}.png").pixels for index in (0, 2, 4, 6, 8)))
            for kind in ("film", "result")
        ]
        pictures.save(
            HERE / "keys.jpg",
            torch.cat([lines[0], torch.ones_like(lines[0][..., :8, :]), lines[1]], 2),
            quality=88,
        )


if __name__ == "__main__":
    makers = {"first": first, "presets": presets, "keys": keys}
    for name in sys.argv[1:] or makers:
        makers[name]()
