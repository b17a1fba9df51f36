"""OpenEXR pictures, written by FFmpeg, as frames of a clip."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from impasto.errors import VideoError
from impasto.video.exr import read_exr
from impasto.video.frames import open_clip, read


def write_exr(path: Path, light: np.ndarray) -> Path:
    """Write (H, W, 3 or 4) float32, linear light."""
    pixel_format = "gbrapf32le" if light.shape[2] == 4 else "gbrpf32le"
    codec = av.codec.CodecContext.create("exr", "w")
    codec.width, codec.height, codec.pix_fmt = light.shape[1], light.shape[0], pixel_format
    codec.time_base = 1
    frame = av.VideoFrame(light.shape[1], light.shape[0], pixel_format)
    for plane, channel in zip(frame.planes, [1, 2, 0, 3], strict=False):
        rows = np.zeros((plane.height, plane.line_size // 4), np.float32)
        rows[:, : light.shape[1]] = light[..., channel]
        plane.update(rows.tobytes())
    path.write_bytes(b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)]))
    return path


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


LIGHT = np.random.RandomState(3).uniform(0, 1, (18, 26, 3)).astype(np.float32)


def test_light_gets_the_curve_of_srgb_and_what_is_brighter_than_white_is_white(tmp_path: Path) -> None:
    light = LIGHT.copy()
    light[:4] = 7.5
    picture = read_exr(write_exr(tmp_path / "a.exr", light))
    found = picture.pixels[0].permute(1, 2, 0).numpy()
    assert np.abs(found - srgb(light.clip(0, 1))).max() < 1e-3  # FFmpeg may store halves
    assert np.allclose(found[:4], 1)
    assert picture.alpha is None


def test_colours_are_not_multiplied_by_alpha(tmp_path: Path) -> None:
    alpha = np.full((18, 26, 1), 0.5, np.float32)
    alpha[:5] = 0
    picture = read_exr(write_exr(tmp_path / "a.exr", np.concatenate([LIGHT * alpha, alpha], 2)))
    assert picture.alpha is not None
    assert np.allclose(picture.alpha[0, 0].numpy(), alpha[..., 0])
    found = picture.pixels[0].permute(1, 2, 0).numpy()
    assert np.abs(found - srgb(LIGHT))[5:].max() < 1e-3
    assert (found[:5] == 0).all()


def test_a_folder_of_exr_is_a_deep_clip(tmp_path: Path) -> None:
    for number in (10, 9):
        write_exr(tmp_path / f"shot.{number}.exr", LIGHT * number / 10)
    clip = open_clip(tmp_path)
    assert (clip.deep, clip.alpha, clip.width, clip.height) == (True, False, 26, 18)
    frames = [frame.pixels for frame in read(clip)]
    assert [frame.dtype for frame in frames] == [np.uint16, np.uint16]
    assert np.abs(frames[0] / 65535 - srgb(LIGHT * 0.9)).max() < 1e-3
    assert np.abs(frames[1] / 65535 - srgb(LIGHT)).max() < 1e-3


def test_a_damaged_one_is_refused_in_one_line(tmp_path: Path) -> None:
    whole = write_exr(tmp_path / "a.exr", LIGHT).read_bytes()
    (tmp_path / "b.exr").write_bytes(whole[:60])
    with pytest.raises(VideoError, match=r"b\.exr' cannot be read"):
        read_exr(tmp_path / "b.exr")
