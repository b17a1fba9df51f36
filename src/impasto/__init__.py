"""Impasto: neural style transfer that works offline at once, in seconds on a CPU.

>>> import impasto
>>> result = impasto.stylize("cat.jpg", "wave.jpg")  # doctest: +SKIP
>>> result.save("cat-wave.png")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.api import Result, instant, steps, stylize
    from impasto.errors import ImpastoError, PictureError, RecipeError, WeightsError
    from impasto.feedforward.style import InstantStyle
    from impasto.losses.build import terms_of
    from impasto.losses.style import StyleLoss
    from impasto.losses.terms import Term
    from impasto.losses.tiled import Part
    from impasto.painting.engine import Step
    from impasto.recipe import Recipe
    from impasto.scene import Scene
    from impasto.video.api import propagate

__all__ = [
    "ImpastoError",
    "InstantStyle",
    "Part",
    "PictureError",
    "Recipe",
    "RecipeError",
    "Result",
    "Scene",
    "Step",
    "StyleLoss",
    "Term",
    "WeightsError",
    "__version__",
    "instant",
    "propagate",
    "steps",
    "stylize",
    "terms_of",
]

__version__ = "0.1.0"

_HOME = {
    "ImpastoError": "errors",
    "PictureError": "errors",
    "RecipeError": "errors",
    "WeightsError": "errors",
    "InstantStyle": "feedforward.style",
    "Part": "losses.tiled",
    "Recipe": "recipe",
    "Result": "api",
    "Scene": "scene",
    "Step": "painting.engine",
    "StyleLoss": "losses.style",
    "Term": "losses.terms",
    "instant": "api",
    "propagate": "video.api",
    "steps": "api",
    "stylize": "api",
    "terms_of": "losses.build",
}


def __getattr__(name: str) -> Any:
    """Load on first use: `import impasto` alone does not wait for PyTorch."""
    if name not in _HOME:
        raise AttributeError(f"module 'impasto' has no attribute {name!r}")
    return getattr(import_module(f"impasto.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
