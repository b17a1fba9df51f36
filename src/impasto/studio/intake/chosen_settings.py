"""The settings of a new job, merged from preset, request and earlier job, and checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from impasto.errors import ImpastoError, RecipeError
from impasto.networks import weights
from impasto.recipe import CLIP_PRESET, DEFAULT_PRESET, PRESETS, Recipe, overridden
from impasto.studio.errors import RefusedError
from impasto.studio.intake.request import JobRequest
from impasto.studio.queue.jobs import StudioJob
from impasto.studio.sandbox.headers import detect_format
from impasto.studio.settings import StudioSettings
from impasto.video.settings import VideoSettings

__all__ = [
    "ChosenSettings", "choose_settings", "refusal_about_setting", "usable_encoders", "usable_presets",
]  # fmt: skip


@dataclass(frozen=True)
class ChosenSettings:
    """The settings of a new job; ``video`` is used for clips only."""

    preset: str
    recipe: Recipe
    video: VideoSettings

    @property
    def recipe_json(self) -> str:
        """The picture settings without defaults, as the queue stores them."""
        return self.recipe.model_dump_json(exclude_unset=True)


def usable_encoders() -> list[str]:
    """The encoders whose weights are on this machine: a request must not start a download."""
    return [status.name for status in weights.status() if status.path is not None]


def usable_presets() -> dict[str, tuple[str, dict[str, Any]]]:
    """The entries of ``PRESETS`` whose encoder is on this machine."""
    encoders = usable_encoders()
    default = Recipe.model_fields["encoder"].default
    return {
        name: (purpose, settings)
        for name, (purpose, settings) in PRESETS.items()
        if settings.get("encoder", default) in encoders
    }


def default_preset(request: JobRequest) -> str:
    """The preset of a request that names none: by its content, a picture or a clip."""
    detected = None if request.content is None else detect_format(request.content)
    return CLIP_PRESET if detected is not None and detected[0] == "video" else DEFAULT_PRESET


def choose_settings(request: JobRequest, earlier: StudioJob | None, limits: StudioSettings) -> ChosenSettings:
    """The settings of a new job.

    Args:
        earlier: the job whose settings apply where the request has none. If the request names a preset, the
            preset's settings apply instead.

    Raises:
        RefusedError: settings that are invalid, or not available on this server.
    """
    preset = request.preset or (earlier.preset if earlier is not None else default_preset(request))
    if preset not in usable_presets():
        possible = f"possible are {', '.join(usable_presets())}"
        raise RefusedError(f"unknown preset {preset[:40]!r}", possible, field="preset")
    picture_base, video_base = dict(PRESETS[preset][1]), {}
    if earlier is not None and request.preset is None:
        picture_base, video_base = json.loads(earlier.recipe), json.loads(earlier.video or "{}")
    try:
        recipe = Recipe(**overridden(picture_base, request.recipe))
    except RecipeError as error:
        raise refusal_about_setting(error) from None
    try:
        video = VideoSettings(**(video_base | (request.video or {})))
    except RecipeError as error:
        raise refusal_about_setting(error, prefix="video.") from None
    _check_available(recipe, video, limits)
    return ChosenSettings(preset, recipe, video)


def _check_available(recipe: Recipe, video: VideoSettings, limits: StudioSettings) -> None:
    encoders = usable_encoders()
    side = recipe.size if isinstance(recipe.size, int) else 0
    checks = [
        (recipe.weights is not None, "weights", "'weights' cannot be set by a client", "leave it out"),
        (recipe.init == "picture", "init", "init 'picture' needs a picture file", "another init"),
        (
            recipe.encoder not in encoders,
            "encoder", f"encoder {recipe.encoder!r} is not here", f"possible are {', '.join(encoders)}",
        ),
        (side > limits.result_side, "size", f"size {side}", f"at most {limits.result_side} here"),
        (
            video.flow == "raft" and find_spec("torchvision") is None,
            "video.flow", "flow 'raft' needs torchvision, which is not here", "dis or farneback",
        ),
    ]  # fmt: skip
    for refused, field, got, expected in checks:
        if refused:
            raise RefusedError(got, expected, field=field)


def refusal_about_setting(error: ImpastoError, *, prefix: str = "") -> RefusedError:
    """The same message as a refusal that names the setting, so that the page can show it beside its field.

    Args:
        prefix: ``video.`` for settings of a clip.
    """
    status, field = 422, None
    if isinstance(error, RefusedError):
        status, field = error.status, error.field
    match = re.match(r"(?:setting|unknown setting) '?(\w+)'?", error.got)
    if field is None and match is not None:
        field = prefix + match[1]
    if field is None and not prefix:
        field = _setting_in_message(error)
    return RefusedError.from_error(error, field, status)


def _setting_in_message(error: ImpastoError) -> str | None:
    """The first picture setting that a message names, as a flag or as a word with an underscore."""
    flags = re.findall(r"--([a-z-]+)", f"{error.expected} {error.remedy}")
    words = [name for name in Recipe.model_fields if "_" in name and name in error.got]
    names = [*(flag.replace("-", "_") for flag in flags), *words]
    return next((name for name in names if name in Recipe.model_fields), None)
