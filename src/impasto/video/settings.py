"""``VideoRecipe``: the settings of a video beyond those of a picture (:class:`~impasto.recipe.Recipe`).

The flags of ``impasto video`` come from both. A recipe is frozen and serialisable.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from impasto.errors import RecipeError
from impasto.recipe import Recipe
from impasto.validation import Validated, add_ranges_to_descriptions

__all__ = ["OLD_NAMES", "VideoRecipe", "VideoSettings"]

#: A setting's name in version 0.1 → its name now. The old ones are accepted for one version.
OLD_NAMES = {"evaluations": "following_iterations", "fill_evaluations": "fill_iterations"}

#: The settings of a video that apply with ``method="instant"``.
INSTANT_SETTINGS = ("independent", "flow", "cut_threshold", "on_corrupt")

Settings = TypeVar("Settings", bound="VideoSettings")


class VideoSettings(Validated):
    """The settings that only a video has. Unknown names and values out of range raise ``RecipeError``."""

    remedy = "see `impasto video --help`"

    # -- how a frame follows the previous ones --------------------------------------------------------
    temporal_weight: float = Field(
        1.0,
        ge=0.0,
        le=1e12,
        allow_inf_nan=False,
        description="Weight of the difference to the previous frames, warped along the motion.",
    )
    long_term: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (1, 2, 4),
        min_length=1,
        description="Earlier frames that a frame is held to, as distances in frames (Ruder's J); the larger "
        "ones bring back what was covered for a while.",
    )
    passes: int = Field(1, ge=1, le=50, description="Passes over each shot, forward and backward in turn.")
    pass_blend: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="From the second pass on: share of the neighbouring frame in the start of a frame; the "
        "rest comes from the previous pass.",
    )
    following_iterations: int = Field(
        24,
        ge=1,
        le=100_000,
        description="Iterations at full size for a frame that follows another; fewer where little is new. "
        "With finishing, one step for five of them.",
    )
    fill_iterations: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = Field(
        (32, 12),
        min_length=1,
        max_length=2,
        description="Iterations at a quarter and at half the size, where something new has come into view.",
    )
    independent: bool = Field(
        False, description="Paint each frame as a picture of its own; this flickers and is for comparison."
    )

    # -- motion -------------------------------------------------------------------------------------------
    flow: Literal["dis", "farneback", "raft"] = Field(
        "dis", description="Method of the optical flow; raft needs torchvision."
    )
    flow_size: int = Field(
        640,
        ge=32,
        le=8192,
        description="Long side in pixels at which the optical flow is computed, at most that of the frame.",
    )
    cut_threshold: float = Field(
        15.0,
        gt=0.0,
        le=255.0,
        description="Change between two frames (HSV, 0 to 255) above which a cut is possible.",
    )

    # -- key frames that somebody has painted ---------------------------------------------------------------
    key_filling: Literal["patches", "engine"] = Field(
        "patches",
        description="What no key frame shows along the motion (impasto propagate): patches of them where any "
        "fit the film, the engine for the rest; or the engine alone.",
    )

    # -- what must not move -------------------------------------------------------------------------------
    still_tolerance: float = Field(
        0.02,
        ge=0.0,
        le=1.0,
        description="Where the film changes by less than this, the painted frame is copied; 0: never.",
    )
    drift: Literal["hold", "free"] = Field(
        "hold", description="hold: keep the mean and contrast of the first frame of a shot; free: do not."
    )
    on_corrupt: Literal["repeat", "stop"] = Field(
        "repeat", description="For a frame that cannot be decoded: repeat its neighbour, or stop."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        return {OLD_NAMES.get(name, name): value for name, value in settings.items()}

    @field_validator("long_term", "fill_iterations", mode="before")
    @classmethod
    def _split_lists(cls, value: Any) -> Any:
        """A list may be written with commas, and a single value without brackets."""
        items = [value] if isinstance(value, (str, int)) else value
        if not isinstance(items, (list, tuple)):
            return value
        return tuple(
            part for item in items for part in (item.split(",") if isinstance(item, str) else [item])
        )

    @field_validator("long_term")
    @classmethod
    def _sorted_with_previous_frame(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        """Nearest first, each once, and always with 1, because a frame starts from the previous one."""
        return tuple(sorted({1, *value}))

    def replace(self: Settings, **settings: Any) -> Settings:
        """A copy with some settings changed, validated anew."""
        return type(self)(**(self.model_dump(exclude_unset=True) | settings))


add_ranges_to_descriptions(VideoSettings)


class VideoRecipe(VideoSettings):
    """All settings of a video: those of every frame as a picture in ``picture``, the others beside it."""

    picture: Recipe = Field(default_factory=Recipe, description="Settings of every frame as a picture.")

    @model_validator(mode="after")
    def _check_method(self) -> VideoRecipe:
        """Refuse settings of the optimiser with the network."""
        if self.picture.method == "instant":
            fields = VideoSettings.model_fields
            changed = [name for name in fields if getattr(self, name) != fields[name].default]
            if inapplicable := [name for name in changed if name not in INSTANT_SETTINGS]:
                raise RecipeError(
                    f"{', '.join(inapplicable)} with method 'instant'",
                    f"of the settings of a video, only {', '.join(INSTANT_SETTINGS)} apply",
                    "leave it out, or choose another preset",
                )
        return self

    def to_json(self) -> str:
        """The recipe as JSON, settings in their order here."""
        return self.model_dump_json(indent=2)
