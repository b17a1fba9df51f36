"""The smaller commands: blend, mask, doctor, weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from impasto.cli.progress import Download, waiting
from impasto.errors import RecipeError
from impasto.recipe import Recipe

__all__ = ["register"]


def register(app: App) -> None:
    """Add the commands to ``app``."""
    app.command(blend)
    app.command(make_mask, name="mask")
    app.command(doctor)
    weights = App(name="weights", help="The encoders' weights: embedded, fetched or missing.")
    weights.command(weights_list, name="list")
    weights.command(weights_fetch, name="fetch")
    weights.command(weights_verify, name="verify")
    app.command(weights)


def blend(
    painted: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    strength: float,
    content: Path | None = None,
) -> int:
    """Weaken a finished picture towards its content, at once: nothing is painted again.

    Parameters
    ----------
    painted
        A finished picture, or the folder of a run (--save-run).
    output
        File to write.
    strength
        0: the content, 1: the picture as painted.
    content
        What it was painted from; a run's folder knows.
    """
    from impasto import pictures
    from impasto.pictures import blend

    inputs = [one for one in (painted, content) if one is not None]
    pictures.check_output(output, inputs=inputs)
    mixed = blend.blend(painted, strength, content)
    sources = [*inputs, *([mixed.source] if mixed.source else [])]
    print(pictures.save(output, mixed.pixels, alpha=mixed.alpha, inputs=sources))
    return 0


def make_mask(
    picture: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    box: str | None = None,
    faces: bool = False,
    model: Path | None = None,
    invert: bool = False,
) -> int:
    """Make a grey mask for --mask: what stands in a box, cut out, or the faces.

    Parameters
    ----------
    picture
        Photograph or painting.
    output
        File to write, best a .png.
    box
        The thing and a little around it: left,top,width,height in pixels.
    faces
        A soft ellipse around each face that OpenCV's detector YuNet finds.
    model
        The detector's file, face_detection_yunet_2023mar.onnx; default: the one in the folder of weights.
    invert
        Everything but that.
    """
    from impasto import pictures
    from impasto.masks import cutouts
    from impasto.masks import faces as detection

    if faces == (box is not None) or (model is not None and not faces):
        given = "--model without --faces" if faces == (box is None) else "both" if faces else "neither"
        raise RecipeError(f"--box and --faces: {given}", "--box or --faces, and --model with --faces alone")
    pictures.check_output(output, inputs=[picture])
    if box is not None:
        found = cutouts.cut_out(pictures.load(picture).pixels, _box(box))
    else:
        file = detection.model_file(model)
        seen = pictures.load(picture)
        found = detection.face_mask(seen.size, detection.find_faces(seen.pixels, file))
    found = 1.0 - found if invert else found
    print(pictures.save(output, found.expand(1, 3, -1, -1), inputs=[picture]))
    return 0


def _box(text: str) -> tuple[int, int, int, int]:
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise RecipeError(f"a box of {text!r}", "left,top,width,height, as 40,20,200,300") from None
    return left, top, width, height


def doctor() -> int:
    """Say what this machine offers and whether Impasto works on it."""
    with waiting("looking around", quiet=False):
        from impasto import api, samples
        from impasto.machine import choose_device, describe
        from impasto.networks import weights

        facts = describe(choose_device())
    versions = facts.pop("versions")
    for name, value in (facts | versions).items():
        print(f"{name:<16}{value}")
    for status in weights.status():
        print(f"{'weights':<16}{_weights_line(status)}")
    job = api.prepare(samples.photograph("chelsea"), samples.painting("wave", size=192), Recipe(size=192))
    end = time.perf_counter() + 3.0
    result = api.run(job, stop=lambda: time.perf_counter() > end)
    first, last = result.trace[0]["loss"], result.losses["total"]
    rate = len(result.trace) / result.seconds
    print(f"{'self-test':<16}{rate:.1f} evaluations a second up to 192 px, loss {first:.3g} → {last:.3g}")
    return 0


def _weights_line(status: Any) -> str:
    size = "" if status.bytes is None else f"{status.bytes / 1e6:.0f} MB"
    where = (
        str(status.path)
        if status.path
        else f"not here ({size} to fetch: impasto weights fetch {status.name})"
    )
    return f"{status.name:<16} {where}  [{status.licence}]"


def weights_list() -> int:
    """Which weights are here, and where."""
    from impasto.networks import weights

    for status in weights.status():
        print(_weights_line(status))
    return 0


def weights_fetch(name: str, *, force: bool = False) -> int:
    """Fetch an encoder's weights into the cache.

    Parameters
    ----------
    name
        vgg19 or vgg19-original.
    force
        Fetch again even if they are there.
    """
    from impasto.networks import weights

    with Download() as download:
        path = weights.fetch(name, progress=download, force=force)
    print(path)
    return 0


def weights_verify(name: str) -> int:
    """Check a cached file against its checksums.

    Parameters
    ----------
    name
        vgg19 or vgg19-original.
    """
    from impasto.networks import weights

    print(f"{weights.verify(name)} is intact")
    return 0
