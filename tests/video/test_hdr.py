"""HDR clips as an ordinary screen shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clips import texture, write_clip
from impasto.video import hdr
from impasto.video.frames import open_clip, read


@pytest.mark.parametrize("transfer", [hdr.PQ, hdr.HLG])
def test_hdr_comes_as_an_ordinary_screen_shows_it(tmp_path: Path, transfer: int) -> None:
    """Paper white (203 cd/m²: code 0.58 of PQ, 0.75 of HLG) is nearly white, not the grey its value says."""
    white = {hdr.PQ: 0.5807, hdr.HLG: 0.75}[transfer]
    ramp = (np.linspace(0.0, 1.0, 64) * 65535).astype(np.uint16)
    picture = np.repeat(ramp[None, :, None], 32, 0).repeat(3, 2)
    source = write_clip(
        tmp_path / "in.mkv", [picture] * 2, codec="ffv1", pix_fmt="yuv420p10le", transfer=transfer
    )
    clip = open_clip(source)
    row = next(read(clip)).pixels[16].astype(float) / 65535
    assert clip.deep
    assert row[0].max() < 0.01
    assert row[round(63 * white)] == pytest.approx(0.936, abs=0.02)
    assert np.ptp(row, axis=1).max() < 0.02, "grey stays grey"
    assert np.diff(row[:, 1]).min() > -0.005


def test_what_is_not_hdr_is_left_alone() -> None:
    picture = texture(8, 8)
    assert hdr.to_standard(picture, 1) is picture
