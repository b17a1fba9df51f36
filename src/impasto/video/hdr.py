"""HDR to what an ordinary screen shows: PQ and HLG (ITU-R BT.2100) in BT.2020 colours to BT.709.

Without this a clip from a phone's HDR camera comes out grey and pale: its values mean other amounts of light.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["HLG", "PQ", "to_standard"]

#: AVColorTransferCharacteristic.
PQ, HLG = 16, 18
#: Light of paper white and of HLG's reference display, cd/m² (BT.2408).
_WHITE, _PEAK = 203.0, 1000.0
#: Up to this share of white light is kept; above it is compressed.
_KNEE = 0.6
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)


def to_standard(pixels: npt.NDArray[Any], transfer: int) -> npt.NDArray[Any]:
    """Pixels (H, W, 3 or 4) uint8 or uint16, full range RGB, of the same type for an ordinary screen.

    White paper comes out at 0.94; what is brighter keeps its hue and rolls off towards 1.

    Args:
        transfer: ``PQ`` or ``HLG``; anything else is given back as it is.
    """
    if transfer not in (PQ, HLG):
        return pixels
    top = int(np.iinfo(pixels.dtype).max)
    codes = np.linspace(0.0, 1.0, top + 1)
    table = (_pq(codes) if transfer == PQ else _hlg(codes)).astype(np.float32)
    light = table[pixels[..., :3]]
    if transfer == HLG:  # the display's own curve, which depends on the pixel's luminance
        light *= _PEAK / _WHITE * (light @ _LUMA)[..., None] ** 0.2
    light = np.maximum(light @ _BT2020_TO_BT709.T, 0.0)
    brightest = light.max(-1, keepdims=True)
    over = np.maximum(brightest - _KNEE, 0.0) / (1.0 - _KNEE)
    rolled = np.where(over > 0.0, 1.0 - (1.0 - _KNEE) * np.exp(-over), brightest)
    shown = (light * (rolled / np.maximum(brightest, 1e-6))) ** (1.0 / 2.4)  # BT.1886
    found = (np.minimum(shown, 1.0) * top).round().astype(pixels.dtype)
    return np.concatenate([found, pixels[..., 3:]], axis=-1)


def _pq(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Light against paper white (SMPTE ST 2084)."""
    root = code ** (32 / 2523)
    linear = np.maximum(root - 3424 / 4096, 0.0) / (2413 / 128 - 2392 / 128 * root)
    return np.asarray(linear ** (8192 / 1305) * 10_000.0 / _WHITE)


def _hlg(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scene light, 0–1 (ARIB STD-B67)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3.0, (np.exp((code - c) / a) + b) / 12.0)
