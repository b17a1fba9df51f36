"""What all frames of a clip share, and the recipes of single frames, derived from that of the clip."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.networks.encoder import Encoder
from impasto.networks.layers import geometry
from impasto.painting import engine
from impasto.painting.engine import Step
from impasto.pictures.geometry import Size
from impasto.recipe import PAINTING, Recipe
from impasto.scene import Past, Scene, Style
from impasto.video.settings import VideoRecipe

__all__ = [
    "FINISHING_HOLD",
    "ClipContext",
    "build_clip_context",
    "fill_recipe",
    "following_recipe",
    "following_recipes",
    "frame_recipe",
    "optimise",
    "unfinished",
]

#: Frames with more pixels are computed in tiles, and the optimiser's memory is limited. These limits are
#: fixed instead of taken from the free memory, because a run resumed elsewhere must end in the same bytes.
MAX_UNTILED_PIXELS = 1920 * 1200
TILED_LIMITS = engine.MemoryLimits(tile=1280, optimiser_bytes=2_000_000_000)


@dataclass(frozen=True)
class ClipContext:
    """What all frames of a clip share.

    Attributes:
        style_statistics: size → name → statistics of the styles, for every size that is painted.
        levels: frames are rounded to multiples of 1/levels, 255 or 65535.
    """

    styles: tuple[Style, ...]
    recipe: VideoRecipe
    encoder: Encoder
    style_statistics: Mapping[Size, Mapping[str, Tensor]]
    levels: int = 255

    def scene(
        self, filmed: Tensor, mask: Tensor | None, past: tuple[Past, ...], start: Tensor | None = None
    ) -> Scene:
        """The scene that a frame is painted from.

        Args:
            filmed: (1, 3, H, W), the frame of the film.
            mask: (1, 1, H, W), where the frame counts; None: everywhere.
            past: earlier frames, warped, that the frame is held to.
            start: (1, 3, H, W), the picture that painting starts from; None: chosen by the recipe.
        """
        return Scene(
            filmed,
            self.styles,
            content_mask=mask,
            start=start,
            past=past,
            style_statistics=self.style_statistics,
        )


def build_clip_context(
    styles: Sequence[Style],
    recipe: VideoRecipe,
    encoder: Encoder,
    height: int,
    width: int,
    levels: int = 255,
) -> ClipContext:
    """Compute the style statistics for all sizes at which frames of ``height`` × ``width`` are painted."""
    black = torch.zeros(1, 3, height, width)
    scene = Scene(black, tuple(styles), start=black)
    statistics: dict[Size, Mapping[str, Tensor]] = {}
    for picture in (frame_recipe(recipe), *following_recipes(recipe, height, width)):
        for size, by_name in engine.style_statistics(scene, picture, encoder).items():
            statistics[size] = {**statistics.get(size, {}), **by_name}
    return ClipContext(tuple(styles), recipe, encoder, statistics, levels)


# -- recipes of single frames ------------------------------------------------------------------------------


#: Settings of the finishing pass, and of painting larger.
FINISHES = ("paint_size", "content_until", "coarse_finishing", "finishing")
#: A following frame is finished by one step instead of so many iterations: most of it is finished already.
ITERATIONS_PER_STEP = 5
#: Factor of the temporal weight with finishing, whose steps move every pixel by about as much, however small
#: its slope. With a third of it a clip is a third less steady (LOG.md, 2026-11-28).
FINISHING_HOLD = 30.0


def frame_recipe(recipe: VideoRecipe) -> Recipe:
    """The recipe of a frame that is painted as a picture of its own.

    It is not painted larger and reduced, because the frames that follow are painted at their size. Without
    finishing the content counts in full at every scale.
    """
    picture = recipe.picture.replace(size="original", paint_size=None)
    return picture if any(picture.finishing) else picture.replace(content_until=None)


def unfinished(picture: Recipe) -> Recipe:
    """The recipe without finishing; what a preset sets to prepare for it takes its default."""
    if not any(picture.finishing):
        return picture
    fields = Recipe.model_fields
    prepares = [name for name in PAINTING if getattr(picture, name) == PAINTING[name]]
    return picture.replace(**{name: fields[name].default for name in (*prepares, *FINISHES)})


def following_recipe(
    recipe: VideoRecipe, height: int, width: int, effort: float = 1.0, *, new: bool = False
) -> Recipe:
    """The recipe of a frame that follows another: few iterations at full size.

    With finishing these are steps of it: a warped stroke is near to the features of the style that it was
    pulled to before. The content counts, because over many frames strokes would spread over what moves. What
    has come into view is painted first, as in a picture: at a quarter and at half the size, and its broad
    strokes at half. Colours are neither held nor cleaned again.

    It keeps the picture's margin: without one the style loss is a third lower, but the edge shows as a line.

    Args:
        effort: share of the recipe's iterations, in (0, 1].
        new: whether something has come into view. Without finishing, :func:`fill_recipe` is for that.
    """
    longest, iterations = max(height, width), effort * recipe.following_iterations
    following = frame_recipe(recipe).replace(
        init="picture", coarsest=longest, iterations=(math.ceil(iterations),)
    )
    if not any(following.finishing):
        return following
    steps = 1 + math.ceil(iterations / ITERATIONS_PER_STEP)  # after the last evaluation nothing is changed
    following = following.replace(
        content_until=max(1, longest // 2), coarse_finishing=min(steps, following.coarse_finishing),
        finishing=(steps,), fine_content=1.0, keep_colours=0.0, clean_chroma=None,
    )  # fmt: skip
    if not new:
        return following
    return following.replace(coarsest=max(1, longest // 4), iterations=recipe.fill_iterations)


def fill_recipe(recipe: VideoRecipe, height: int, width: int) -> Recipe:
    """The recipe for what has come into view, without finishing: at a quarter and at half the size."""
    half = max(height, width) // 2
    deepest_stride = max((geometry(layer).stride for layer in recipe.picture.active_layers()), default=1)
    if min(height, width) // 2 < deepest_stride:
        half = max(height, width)  # the deepest layer would see nothing at half the size
    return frame_recipe(recipe).replace(
        size=half, init="picture", coarsest=max(1, half // 2), iterations=recipe.fill_iterations
    )


def following_recipes(recipe: VideoRecipe, height: int, width: int) -> tuple[Recipe, ...]:
    """All that a frame is painted by that follows another and shows something new."""
    if any(recipe.picture.finishing):
        return (following_recipe(recipe, height, width, new=True),)
    return fill_recipe(recipe, height, width), following_recipe(recipe, height, width)


def limits_for(size: Size) -> engine.MemoryLimits | None:
    """The limits of memory for frames of (height, width); None: they are computed whole."""
    return TILED_LIMITS if size[0] * size[1] > MAX_UNTILED_PIXELS else None


def optimise(scene: Scene, recipe: Recipe, context: ClipContext) -> tuple[Step, float]:
    """Run the engine to its end.

    Returns:
        The last step, and the cost in iterations at that step's size.
    """
    area = 0
    for step in engine.steps(scene, recipe, context.encoder, limits=limits_for(scene.size)):
        last = step  # there is always at least one step
        area += step.size[0] * step.size[1]
    return last, area / (last.size[0] * last.size[1])
