"""The pictures of the demo: photographs that come with scikit-image, and style pictures painted by code.

>>> cat, night = photograph("chelsea"), painting("swirl", size=512)

Both are (1, 3, H, W) float32 sRGB in [0, 1]. A painting is drawn by code from a seed alone, and nobody
else has rights in it; the same name, size and seed give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data

from impasto.errors import PictureError
from impasto.samples.brush import Array
from impasto.samples.facets import facets
from impasto.samples.garden import garden
from impasto.samples.glass import glass
from impasto.samples.mosaic import mosaic
from impasto.samples.pointillist import pointillist
from impasto.samples.swirl import swirl
from impasto.samples.wave import wave
from impasto.samples.woodcut import woodcut

__all__ = ["PAINTINGS", "PHOTOGRAPHS", "painting", "photograph"]

Builder = TypeVar("Builder", bound=Callable[..., Any])
Painter = Callable[[int, np.random.Generator], Array]

PAINTINGS: dict[str, Painter] = {
    "wave": wave,  # colour woodblock
    "swirl": swirl,  # impasto in a flow
    "mosaic": mosaic,  # tesserae along contours
    "facets": facets,  # analytic cubism
    "pointillist": pointillist,  # divided colour
    "garden": garden,  # spirals and rosettes on gold
    "glass": glass,  # leaded window
    "woodcut": woodcut,  # carved black lines
}

PHOTOGRAPHS: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "chelsea": data.chelsea,  # a cat, 300 x 451
    "astronaut": data.astronaut,  # Eileen Collins, 512 x 512
    "coffee": data.coffee,  # a cup on a wooden table, 400 x 600
    "rocket": data.rocket,  # a launch pad at dawn, 427 x 640
    "hubble": data.hubble_deep_field,  # galaxies, 872 x 1000
}

MIN_SIZE, MAX_SIZE = 32, 8192


def painting(name: str, *, size: int = 768, seed: int = 0) -> torch.Tensor:
    """Paint a style picture.

    Args:
        name: a key of `PAINTINGS`.
        size: long side in pixels, 32 to 8192; composition and strokes scale with it.
        seed: of everything random in it, 0 or more.

    Returns:
        (1, 3, H, W) float32 sRGB in [0, 1].

    Raises:
        PictureError: the painting is unknown, or the size or seed is out of range.
    """
    paint = _builder(PAINTINGS, name, "painting")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise PictureError(
            f"a painting {size!r} pixels wide was asked for",
            f"the long side must be {MIN_SIZE} to {MAX_SIZE} pixels",
            "pass size=768 or another number in that range",
        )
    if seed < 0:
        raise PictureError(f"seed {seed!r} was given", "a seed is 0 or more", "pass seed=0")
    return _as_tensor(paint(size, np.random.default_rng(seed)))


def photograph(name: str) -> torch.Tensor:
    """Load a photograph that scikit-image carries in its wheel, at its own size and without network.

    Args:
        name: a key of `PHOTOGRAPHS`.

    Returns:
        (1, 3, H, W) float32 sRGB in [0, 1].

    Raises:
        PictureError: the photograph is unknown.
    """
    return _as_tensor(np.asarray(_builder(PHOTOGRAPHS, name, "photograph")(), np.float32) / 255)


def _builder(registry: Mapping[str, Builder], name: str, kind: str) -> Builder:
    """The builder of that name; ``PictureError`` with the possible names where there is none."""
    if name not in registry:
        raise PictureError(
            f"there is no {kind} {name!r}",
            f"possible: {', '.join(sorted(registry))}",
            "choose one of these names",
        )
    return registry[name]


def _as_tensor(picture: Array) -> torch.Tensor:
    """(H, W, 3) array to a contiguous (1, 3, H, W) tensor that shares no memory with it."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
