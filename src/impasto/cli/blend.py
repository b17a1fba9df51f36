"""``impasto blend``: change the strength of a finished picture."""

from __future__ import annotations

from pathlib import Path

from impasto.cli.checks import check_inputs, check_output
from impasto.cli.flags import Output
from impasto.cli.progress import working
from impasto.errors import RecipeError

__all__ = ["blend"]


def blend(
    painted: Path,
    *,
    output: Output,
    strength: float,
    content: Path | None = None,
) -> int:
    """Blend a finished picture with its content, at once and without painting it again.

    Parameters
    ----------
    painted
        A finished picture, or the folder of a run (--save-run).
    output
        File to write.
    strength
        Share of the painted picture, from 0 (the content) to 1 (the picture as painted).
    content
        Content picture. Not needed if PAINTED is the folder of a run, which names it.

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
        blended = blend_pictures(painted, strength, content)
    sources = [*inputs, *([blended.source] if blended.source else [])]
    print(pictures.save(output, blended.pixels, alpha=blended.alpha, inputs=sources))
    return 0
