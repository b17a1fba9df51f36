"""Video painting with the tiny encoder: quick recipes, a context, and a few frames painted in a row."""

from __future__ import annotations

import torch

from clips import texture
from fakes import tiny_encoder
from impasto.recipe import Recipe
from impasto.scene import Style
from impasto.video.clip_context import ClipContext, build_clip_context
from impasto.video.frame_painting import PaintedFrame, paint_following_frame, paint_frame
from impasto.video.settings import VideoRecipe
from impasto.video.store import from_pixels
from impasto.video.warped_past import EarlierFrame

PICTURE = Recipe(size="original", coarsest=48, iterations=(12, 8, 6))
QUICK = VideoRecipe(picture=PICTURE, following_iterations=3, fill_iterations=(4, 3))
STYLES = (Style(from_pixels(texture(64, 64, 7))),)


def tiny_context(
    recipe: VideoRecipe = QUICK, height: int = 64, width: int = 96, styles: tuple[Style, ...] = STYLES
) -> ClipContext:
    """The context of a clip of ``height`` × ``width`` pixels."""
    return build_clip_context(styles, recipe, tiny_encoder(), height, width)


def paint_in_order(frames: list[torch.Tensor], context: ClipContext) -> list[PaintedFrame]:
    """The frames of one shot, each following the earlier ones."""
    painted = [paint_frame(frames[0], context)]
    for index in range(1, len(frames)):
        earlier = [
            EarlierFrame(frames[index - back], painted[index - back].pixels)
            for back in context.recipe.long_term
            if index - back >= 0
        ]
        painted.append(
            paint_following_frame(
                frames[index], earlier, painted[-1].reference, context, first=painted[0].pixels
            )
        )
    return painted
