"""A picture's saved state: what a worker goes on from when the one before it was killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from impasto.painting import schedule
from impasto.pictures.geometry import Size
from impasto.recipe import Recipe

__all__ = ["State", "plan_from"]


@dataclass(frozen=True)
class State:
    """Where a painting stood.

    Attributes:
        scale: index, from 0, of the scale to go on with.
        iteration: evaluations already done at it.
        evaluations: over all scales.
        picture: (1, 3, H, W), the best so far.
    """

    scale: int
    iteration: int
    evaluations: int
    picture: Tensor

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        facts = {name: str(getattr(self, name)) for name in ("scale", "iteration", "evaluations")}
        save_file({"picture": self.picture.detach().cpu().contiguous()}, partial, metadata=facts)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> State | None:
        """None where there is none."""
        try:
            with safe_open(path, "pt") as file:
                facts = file.metadata()
                scale, iteration, evaluations = (
                    int(facts[name]) for name in ("scale", "iteration", "evaluations")
                )
                return cls(scale, iteration, evaluations, file.get_tensor("picture"))
        except (FileNotFoundError, SafetensorError, KeyError, ValueError):
            return None


def plan_from(recipe: Recipe, plan: list[Size], state: State | None) -> tuple[int, Recipe]:
    """The scale to begin with (from 0), and the recipe of what is left, which starts from a picture.

    What L-BFGS remembered is not kept: it finds it again within a few evaluations.
    """
    if state is None:
        return 0, recipe
    first = min(state.scale, len(plan) - 1)
    budgets = [schedule.max_evaluations(recipe, scale) for scale in range(first, len(plan))]
    budgets[0] = max(1, budgets[0] - (state.iteration if first == state.scale else 0))
    left = recipe.replace(coarsest=max(plan[first]), iterations=tuple(budgets), init="picture")
    return first, left
