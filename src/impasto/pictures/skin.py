"""Where a picture has the colour of skin."""

from __future__ import annotations

from torch import Tensor

from impasto.pictures.colour import luma

__all__ = ["skin_likelihood"]

#: Bounds of Cb − 128 and of Cr − 128, in levels of 8 bits, after Chai & Ngan 1999, "Face segmentation using
#: skin-color map": skin has much the same hue and chroma in all people, and differs in lightness.
BLUE_DIFFERENCE, RED_DIFFERENCE = (-51.0, -1.0), (6.0, 45.0)
#: Levels over which the likelihood rises from 0 to 1 at each bound.
SOFTNESS = 8.0
#: Levels of luma from which on colours count, and from which on fully: darker ones are noise.
DARK, LIT = 40.0, 70.0


def skin_likelihood(picture: Tensor) -> Tensor:
    """How well each pixel's colour agrees with that of skin.

    Fur, stone and wood may have it as well, skies, water and leaves hardly ever, and greys never.
    Differs from Chai & Ngan: the bounds are soft, Cr begins 1 level higher, and dark pixels do not count.

    Args:
        picture: (N, 3, H, W), sRGB, [0, 1].

    Returns:
        (N, 1, H, W) in [0, 1].
    """
    grey = luma(picture)
    # Cb and Cr of ITU-R BT.601, as in JPEG files.
    blue = 255.0 / 1.772 * (picture[:, 2:3] - grey)
    red = 255.0 / 1.402 * (picture[:, :1] - grey)
    lit = ((255.0 * grey - DARK) / (LIT - DARK)).clamp(0.0, 1.0)
    return lit * _within(blue, *BLUE_DIFFERENCE) * _within(red, *RED_DIFFERENCE)


def _within(values: Tensor, low: float, high: float) -> Tensor:
    """1 between two bounds, 0 outside, with soft edges."""
    above, below = ((values - low) / SOFTNESS + 0.5, (high - values) / SOFTNESS + 0.5)
    return above.clamp(0.0, 1.0) * below.clamp(0.0, 1.0)
