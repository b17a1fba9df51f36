"""Makes the pictures of ``docs/control.md``: ``python docs/control/make.py [name …]``.

From photographs of scikit-image and the project's own paintings alone, so that the pages may go anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from impasto import api, pictures, samples
from impasto.masks import cutouts
from impasto.pictures import blend
from impasto.pictures.geometry import fit, resample

HERE = Path(__file__).parent
SIDE = 200


def small(picture: Tensor) -> Tensor:
    """(1, 3, SIDE, W): one height for a row."""
    height, width = picture.shape[-2:]
    return resample(picture, fit(height, width, round(SIDE * max(1.0, width / height))))


def row(name: str, *images: Tensor) -> None:
    """Pictures beside each other, as one JPEG."""
    pictures.save(HERE / f"{name}.jpg", torch.cat([small(image) for image in images], 3), quality=80)


def paint(content: Tensor, style: Tensor | list[Tensor], **settings: object) -> Tensor:
    """A quick look, small and without finishing: enough to see what a setting does."""
    plain = {"preset": "classic", "size": 320, "iterations": (80, 50)}
    return api.stylize(content, style, **{**plain, **settings}).pixels


def colours() -> None:
    cat, garden = samples.photograph("coffee"), samples.painting("swirl", size=512)
    kinds = ("style", "content", "match", "only")
    row("colours", garden, *(paint(cat, garden, colours=kind) for kind in kinds))


def losses() -> None:
    rocket, glass = samples.photograph("rocket"), samples.painting("glass", size=512)
    names = ("gram", "wasserstein", "sliced", "remd", "nearest")
    row("losses", glass, *(paint(rocket, glass, style_loss=name) for name in names))


def band(height: int, width: int, start: float, stop: float) -> Tensor:
    """A grey mask, white between two heights."""
    mask = torch.zeros(1, 3, height, width)
    mask[..., round(start * height) : round(stop * height), :] = 1.0
    return mask


def parts() -> None:
    content, wave, wood = (
        samples.photograph("rocket"),
        *(samples.painting(n, size=512) for n in ("wave", "woodcut")),
    )
    height, width = content.shape[-2:]
    masks = [band(height, width, 0.0, 0.6), band(height, width, 0.6, 1.0)]
    one = paint(content, wave, mask=masks[1:], style_loss="nearest")
    two = paint(content, [wave, wood], mask=masks, style_loss="nearest", feather=0.04)
    row("regions", content, masks[1], one, two)


def labelled(picture: Tensor, horizon: float) -> Tensor:
    """A picture of labels: red for the sky, blue for what lies below the horizon."""
    height, width = picture.shape[-2:]
    below = band(height, width, horizon, 1.0)[:, :1]
    return torch.cat([1.0 - below, torch.zeros_like(below), below], 1)


def semantic() -> None:
    content, style = samples.photograph("rocket"), samples.painting("swirl", size=512)
    labels = [labelled(content, 0.8), labelled(style, 0.66)]
    row(
        "semantic",
        content,
        labels[0],
        style,
        labels[1],
        paint(content, style, style_loss="gram,nearest"),
        paint(content, style, style_loss="gram,nearest", mask=labels[0], style_mask=labels[1]),
    )


def strength() -> None:
    cat, style = samples.photograph("chelsea"), samples.painting("mosaic", size=512)
    painted = [paint(cat, style, strength=one) for one in (0.25, 0.5, 0.75, 1.0)]
    row("strength", cat, *painted)
    row("blend", *(blend.blend(painted[2], one, cat).pixels for one in (0.0, 0.25, 0.5, 0.75, 1.0)))


def strokes() -> None:
    cat, wave, garden = (
        samples.photograph("coffee"),
        *(samples.painting(n, size=512) for n in ("woodcut", "garden")),
    )
    row(
        "strokes",
        wave,
        paint(cat, wave, style_scale=0.6),
        paint(cat, wave, style_scale=1.6),
        paint(cat, wave, style_rotation=90),
        paint(cat, [garden, wave], style_order="coarse-to-fine", coarsest=80, iterations=(80, 60, 40)),
    )


def details() -> None:
    person, glass = samples.photograph("astronaut"), samples.painting("glass", size=512)
    kinds: list[dict[str, object]] = [
        {"preset": "classic"},
        {"preset": "fast", "keep_details": 0.0, "clean_chroma": None},
        {"preset": "fast"},
    ]
    painted = [api.stylize(person, glass, size=512, **kind).pixels for kind in kinds]
    row("details", glass, *painted)


def cut() -> None:
    person, style = samples.photograph("astronaut"), samples.painting("pointillist", size=512)
    mask = cutouts.cut_out(person, (20, 10, 420, 500)).expand(1, 3, -1, -1)
    row("cut", person, mask, paint(person, style, mask=1.0 - mask), paint(person, style, mask=mask))


PAGES: dict[str, Callable[[], None]] = {
    "colours": colours,
    "losses": losses,
    "regions": parts,
    "semantic": semantic,
    "cut": cut,
    "strokes": strokes,
    "strength": strength,
    "details": details,
}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or PAGES:
        PAGES[chosen]()
