"""``impasto blend``: strength after the fact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.checks import check_inputs, check_output
from impasto.cli.progress import working
from impasto.errors import RecipeError

__all__ = ["blend"]


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
        0: the content; 1: the picture as painted.
    content
        The content picture. It may be left out where PAINTED is a run's folder, which names it.

    Examples
    --------
    impasto blend run -o weaker.png --strength 0.6
    impasto blend painted.png --content photo.jpg -o weaker.png --strength 0.6
    """
    inputs = [path for path in (painted, content) if path is not None]
    if not 0.0 <= strength <= 1.0:
        raise RecipeError(f"strength {strength:g}", "0 (the content) to 1 (the picture as painted)")
    check_inputs(inputs)
    check_output(output, inputs)
    with working("loading", quiet=False):
        from impasto import pictures
        from impasto.pictures.blend import blend as blend_pictures

        pictures.check_output(output, inputs=inputs)
        mixed = blend_pictures(painted, strength, content)
    sources = [*inputs, *([mixed.source] if mixed.source else [])]
    print(pictures.save(output, mixed.pixels, alpha=mixed.alpha, inputs=sources))
    return 0
