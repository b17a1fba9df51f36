"""The built-in style paintings and photographs as files, rendered when first needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from impasto import pictures, samples
from impasto.pictures import Picture
from impasto.studio.sandbox.images import write_thumbnail

__all__ = ["EXAMPLE_PHOTOGRAPHS", "render_sample", "render_samples"]

EXAMPLE_PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
_PAINTING_SIZE = 768  # long side in pixels


def render_sample(folder: Path, name: str) -> str:
    """Write a painting or photograph to ``<name>.png``, ``<name>.jpg`` and a thumbnail ``<name>.webp``.

    Returns:
        The name of the PNG, which is written last: where it exists, the others do too.
    """
    path = folder / f"{name}.png"
    if path.exists():
        return path.name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        if not path.exists():
            is_painting = name in samples.PAINTINGS
            pixels = samples.painting(name, size=_PAINTING_SIZE) if is_painting else samples.photograph(name)
            write_thumbnail(path.with_suffix(".webp"), Picture(pixels))
            pictures.save(path.with_suffix(".jpg"), pixels, quality=95)
            pictures.save(path, pixels)
    return path.name


def render_samples(folder: Path, names: Sequence[str]) -> None:
    """Render several at low priority, so that jobs do not have to wait for them."""
    os.nice(10)
    for name in names:
        render_sample(folder, name)
