"""Converts HDR to the standard range of ordinary screens: PQ and HLG (ITU-R BT.2100, BT.2020) to BT.709.

Without this a clip from a phone's HDR camera would look grey and pale, because its values are coded
otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["HLG", "PQ", "to_standard"]

#: FFmpeg's AVColorTransferCharacteristic.
PQ, HLG = 16, 18
#: Light of paper white and of the brightest white of HLG's reference display, cd/m² (BT.2408).
PAPER_WHITE, HLG_PEAK = 203.0, 1000.0
#: Light up to this share of paper white is kept; above it, light is compressed.
KNEE = 0.6
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)


def to_standard(pixels: npt.NDArray[Any], transfer: int) -> npt.NDArray[Any]:
    """HDR pixels as values of the same type for an ordinary screen.

    Paper white becomes 0.94. What is brighter keeps its hue and is compressed towards 1.

    Args:
        pixels: (H, W, 3 or 4) uint8 or uint16, full range RGB; alpha is kept.
        transfer: ``PQ`` or ``HLG``; pixels with any other transfer are returned as they are.
    """
    if transfer not in (PQ, HLG):
        return pixels
    top = int(np.iinfo(pixels.dtype).max)
    codes = np.linspace(0.0, 1.0, top + 1)
    table = (_pq(codes) if transfer == PQ else _hlg(codes)).astype(np.float32)
    light = table[pixels[..., :3]]
    if transfer == HLG:  # the curve of the display, which depends on the luminance of the pixel
        light *= HLG_PEAK / PAPER_WHITE * (light @ BT2020_LUMA)[..., None] ** 0.2
    light = np.maximum(light @ BT2020_TO_BT709.T, 0.0)
    brightest = light.max(-1, keepdims=True)
    over = np.maximum(brightest - KNEE, 0.0) / (1.0 - KNEE)
    rolled = np.where(over > 0.0, 1.0 - (1.0 - KNEE) * np.exp(-over), brightest)
    shown = (light * (rolled / np.maximum(brightest, 1e-6))) ** (1.0 / 2.4)  # BT.1886
    colours = (np.minimum(shown, 1.0) * top).round().astype(pixels.dtype)
    return np.concatenate([colours, pixels[..., 3:]], axis=-1)


def _pq(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Light as a multiple of paper white (SMPTE ST 2084)."""
    root = code ** (32 / 2523)
    linear = np.maximum(root - 3424 / 4096, 0.0) / (2413 / 128 - 2392 / 128 * root)
    return np.asarray(linear ** (8192 / 1305) * 10_000.0 / PAPER_WHITE)


def _hlg(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Light of the scene, 0 to 1 (ARIB STD-B67)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3.0, (np.exp((code - c) / a) + b) / 12.0)
