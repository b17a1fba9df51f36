"""The saved state of a picture in progress, from which a worker resumes what an earlier one began."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from impasto.files import replacing
from impasto.painting import schedule
from impasto.pictures.geometry import Size
from impasto.recipe import Recipe

__all__ = ["SavedState", "remaining_recipe"]


@dataclass(frozen=True)
class SavedState:
    """How far a picture was painted.

    Attributes:
        scale: index, from 0, of the scale to continue with.
        iteration: evaluations already done at that scale.
        evaluations: evaluations done at all scales together.
        picture: (1, 3, H, W), the best so far.
    """

    scale: int
    iteration: int
    evaluations: int
    picture: Tensor

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        metadata = {name: str(getattr(self, name)) for name in ("scale", "iteration", "evaluations")}
        with replacing(path) as partial:
            save_file({"picture": self.picture.detach().cpu().contiguous()}, partial, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> SavedState | None:
        """The saved state; None if there is none that can be read."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
                scale, iteration, evaluations = (
                    int(metadata[name]) for name in ("scale", "iteration", "evaluations")
                )
                return cls(scale, iteration, evaluations, file.get_tensor("picture"))
        except (FileNotFoundError, SafetensorError, KeyError, ValueError):
            return None


def remaining_recipe(recipe: Recipe, sizes: list[Size], state: SavedState | None) -> tuple[int, Recipe]:
    """What is left to paint after ``state``.

    The memory of L-BFGS is not saved: it is rebuilt within a few evaluations.

    Args:
        sizes: of all scales of ``recipe``.

    Returns:
        The index, from 0, of the scale to begin with, and a recipe for that scale and those after it, which
        starts from the saved picture.
    """
    if state is None:
        return 0, recipe
    first = min(state.scale, len(sizes) - 1)
    counts = schedule.max_evaluations(recipe, sizes)[first:]
    finishing = schedule.finishing_steps(recipe, sizes)[first:]
    counts[0] = max(1, counts[0] - (state.iteration if first == state.scale else 0))
    rest = recipe.replace(coarsest=max(sizes[first]), iterations=tuple(counts), init="picture")
    coarse = schedule.coarse_scales(recipe, sizes)[first]
    if coarse and len(sizes) > 1:
        if recipe.content_until is not None:
            # The first scale of all is coarse whatever its size; one that begins with a picture, by its size.
            rest = rest.replace(content_until=max(recipe.content_until, *sizes[first]))
        return first, rest
    # No scale is coarse, unless it is the only one. A scale that was there twice is only to be finished.
    left = tuple(count if steps else 0 for count, steps in zip(counts, finishing, strict=True))
    rest = rest.replace(content_until=1, coarse_finishing=0, finishing=left)
    if recipe.content_until is not None and not coarse:
        return first, rest
    # All the same the content counts as at coarse scales.
    if len(left) == 1:
        return first, rest.replace(content_until=None)
    return first, rest.replace(fine_content=min(1.0, recipe.coarse_content))
