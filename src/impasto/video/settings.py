"""``VideoRecipe``: what a video needs beyond a picture's :class:`~impasto.recipe.Recipe`.

The flags of ``impasto video`` come from both; a recipe is frozen and serialisable.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator

from impasto.recipe import Recipe
from impasto.validation import Validated

__all__ = ["VideoRecipe", "VideoSettings"]

Self = TypeVar("Self", bound="VideoSettings")


class VideoSettings(Validated):
    """The settings that only a video has. Unknown names and values out of range raise ``RecipeError``."""

    remedy = "see `impasto video --help`"

    # -- how a frame follows the one before -----------------------------------------------------------
    temporal_weight: float = Field(
        1.0,
        ge=0.0,
        le=1e12,
        allow_inf_nan=False,
        description="Weight of staying with the warped previous frame, in the units of [0, 1] (≥ 0).",
    )
    long_term: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (1, 2, 4),
        min_length=1,
        description="Frames back that a frame is held to (Ruder's J): what was covered comes back as it was.",
    )
    passes: int = Field(
        1, ge=1, le=50, description="Passes over each shot, forward and backward in turn (≥ 1, ≤ 50)."
    )
    pass_blend: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="Share of the neighbour, against the last pass, in a later pass' start (≥ 0, ≤ 1).",
    )
    evaluations: int = Field(
        24,
        ge=1,
        le=100_000,
        description="Evaluations at full size for a frame that follows another; fewer where little is new.",
    )
    fill_evaluations: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = Field(
        (32, 12),
        min_length=1,
        max_length=2,
        description="Evaluations at a quarter and at half the size where something new came in sight (≥ 1).",
    )
    independent: bool = Field(
        False, description="Each frame by itself as a picture: the baseline, which flickers."
    )

    # -- motion -------------------------------------------------------------------------------------------
    flow: Literal["dis", "farneback", "raft"] = Field(
        "dis", description="How motion is found; raft needs torchvision."
    )
    flow_size: int = Field(
        640, ge=32, le=8192, description="Long side at which motion is found, in pixels; at most the frame's."
    )
    cut_threshold: float = Field(
        15.0,
        gt=0.0,
        le=255.0,
        description="Change of a frame (HSV, 0–255) above which a cut is possible (> 0, ≤ 255).",
    )

    # -- what must not move -------------------------------------------------------------------------------
    still_tolerance: float = Field(
        0.02,
        ge=0.0,
        le=1.0,
        description="What changed less than this (of 1) is copied, not painted again; 0: never (≥ 0, ≤ 1).",
    )
    drift: Literal["hold", "free"] = Field(
        "hold", description="Mean and contrast: held to those of a shot's first frame, or left free."
    )
    on_corrupt: Literal["repeat", "stop"] = Field(
        "repeat", description="A frame that cannot be decoded: its neighbour again, or stop."
    )

    @field_validator("long_term", "fill_evaluations", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        """A list may be written with commas, and a single value without brackets."""
        items = [value] if isinstance(value, (str, int)) else value
        if not isinstance(items, (list, tuple)):
            return value
        return tuple(
            part for item in items for part in (item.split(",") if isinstance(item, str) else [item])
        )

    @field_validator("long_term")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        """Nearest first, each once, and always the frame before: the start is warped from it."""
        return tuple(sorted({1, *value}))

    def replace(self: Self, **settings: Any) -> Self:
        """A copy with some settings changed, validated anew."""
        return type(self)(**(self.model_dump() | settings))


class VideoRecipe(VideoSettings):
    """All settings of a video: the picture's in ``picture``, the rest beside it."""

    picture: Recipe = Field(default_factory=Recipe, description="Settings of every frame as a picture.")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)

    def to_json(self) -> str:
        """The recipe as JSON, settings in their order here."""
        return self.model_dump_json(indent=2)
