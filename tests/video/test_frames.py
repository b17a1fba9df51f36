"""Clips to frames: times, rotation, colours, alpha, damage, folders, HDR."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from PIL import Image

from clips import copied, rotate_mp4, texture, write_clip
from impasto.errors import VideoError
from impasto.video.frames import open_clip, read


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_variable_frame_rate_keeps_every_time(tmp_path: Path, name: str) -> None:
    times = [0, 40, 50, 130, 131, 400]
    source = write_clip(
        tmp_path / "in.mkv", [texture(32, 48, k) for k in range(6)], times=times, time_base=Fraction(1, 1000)
    )
    clip = open_clip(copied(source, tmp_path / name))
    found = [float(frame.time * clip.time_base) for frame in read(clip)]
    assert found == pytest.approx([t / 1000 for t in times], abs=1e-3)


def test_rotated_phone_clip_comes_upright(tmp_path: Path) -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :16] = (250, 10, 10)  # left side red
    source = write_clip(
        tmp_path / "in.mp4", [picture] * 2, codec="libx264", pix_fmt="yuv420p", options={"crf": "1"}
    )
    rotate_mp4(source)
    with av.open(str(source)) as container:
        turned = next(container.decode(video=0)).rotation
    assert abs(turned) == 90
    clip = open_clip(source)
    frame = next(read(clip)).pixels
    assert frame.shape[:2] == (64, 32) == (clip.height, clip.width)
    # The matrix (0 1 / −1 0) turns clockwise: what was left is on top.
    assert frame[4, 16, 0] > 200
    assert frame[-4, 16, 0] < 60


@pytest.mark.parametrize(("pix_fmt", "full"), [("yuv420p", 1), ("yuvj420p", 2), ("yuv444p", 2)])
@pytest.mark.parametrize("matrix", [1, 5])
def test_range_and_matrix_are_read(tmp_path: Path, pix_fmt: str, full: int, matrix: int) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (255, 255, 255), (0, 0, 0), (128, 128, 128)]
    picture = np.zeros((32, 96, 3), np.uint8)
    for k, colour in enumerate(colours):
        picture[:, 16 * k : 16 * k + 16] = colour
    source = write_clip(
        tmp_path / "in.mkv", [picture] * 2, codec="libx264", pix_fmt=pix_fmt, options={"crf": "1"},
        color_range=full, colorspace=matrix,
    )  # fmt: skip
    for path in (source, copied(source, tmp_path / "out.mp4", quality=1)):
        found = next(read(open_clip(path))).pixels
        for k, colour in enumerate(colours):
            assert found[16, 16 * k + 8].astype(float) == pytest.approx(colour, abs=5), path


def damaged(tmp_path: Path, which: int, count: int = 8) -> tuple[Path, list[np.ndarray]]:
    """A clip of independent frames, one of which is overwritten with zeros; and the frames before that."""
    source = [texture(48, 64, seed) for seed in range(count)]
    path = write_clip(tmp_path / "in.mkv", source, codec="mjpeg", pix_fmt="yuvj420p")
    frames = [frame.pixels for frame in read(open_clip(path))]
    data = path.read_bytes()
    with av.open(str(path)) as container:
        body = [bytes(p) for p in container.demux(video=0) if p.size][which]
    assert data.count(body) == 1
    path.write_bytes(data.replace(body, b"\0" * len(body)))
    return path, frames


@pytest.mark.parametrize(("which", "neighbour"), [(0, 1), (4, 3), (7, 6)])
def test_a_corrupt_frame_repeats_its_neighbour(tmp_path: Path, which: int, neighbour: int) -> None:
    path, frames = damaged(tmp_path, which)
    found = list(read(open_clip(path)))
    assert [frame.index for frame in found] == list(range(8))
    assert [frame.corrupt for frame in found] == [k == which for k in range(8)]
    assert np.array_equal(found[which].pixels, frames[neighbour])


def test_a_corrupt_frame_stops_where_that_is_asked(tmp_path: Path) -> None:
    path, _ = damaged(tmp_path, 4)
    with pytest.raises(VideoError, match=r"frame 5 of .* cannot be decoded"):
        list(read(open_clip(path), on_corrupt="stop"))


def test_a_truncated_file_gives_what_there_is(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mkv", [texture(48, 64, k) for k in range(8)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 5 // 8])
    assert 4 <= len(list(read(open_clip(path)))) <= 6


@pytest.mark.parametrize("suffix", [".png", ".ppm"])
def test_a_folder_comes_in_natural_order(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2, 10):
        Image.new("RGB", (16, 8), (number, 0, 0)).save(folder / f"frame{number}{suffix}")
    clip = open_clip(folder, rate=12)
    found = list(read(clip))
    assert [frame.pixels[0, 0, 0] for frame in found] == [1, 2, 10]
    assert found[-1].time * clip.time_base == Fraction(2, 12)


@pytest.mark.parametrize("kind", ["text", "missing", "sound", "empty folder"])
def test_what_is_no_clip_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in.mp4"
    if kind == "text":
        path.write_text("this is no clip")
    elif kind == "sound":
        path = tmp_path / "in.wav"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
            frame.sample_rate = 16000
            out.mux(stream.encode(frame))
    elif kind == "empty folder":
        path.mkdir()
    with pytest.raises(VideoError) as caught:
        open_clip(path)
    assert "\n" not in str(caught.value)


# -- folders of deep pictures --------------------------------------------------------------------------------


def deep_pictures(count: int = 2) -> list[np.ndarray]:
    return [np.random.RandomState(k).randint(0, 65536, (8, 12, 3)).astype(np.uint16) for k in range(count)]


def test_a_folder_of_deep_tiffs_keeps_its_sixteen_bits(tmp_path: Path) -> None:
    for number, pixels in enumerate(deep_pictures()):
        tifffile.imwrite(tmp_path / f"{number}.tif", pixels, photometric="rgb")
    clip = open_clip(tmp_path)
    assert (clip.deep, clip.alpha) == (True, False)
    for frame, pixels in zip(read(clip), deep_pictures(), strict=True):
        assert np.array_equal(frame.pixels, pixels)


@pytest.mark.parametrize("first", ["deep", "eight"])
def test_pictures_of_both_depths_in_a_folder_get_that_of_the_first(tmp_path: Path, first: str) -> None:
    deep, eight = deep_pictures(1)[0], texture(8, 12)
    names = ("0.tif", "1.tif") if first == "deep" else ("1.tif", "0.tif")
    tifffile.imwrite(tmp_path / names[0], deep, photometric="rgb")
    tifffile.imwrite(tmp_path / names[1], eight, photometric="rgb")
    frames = [frame.pixels for frame in read(open_clip(tmp_path))]
    if first == "deep":
        assert np.array_equal(frames[0], deep)
        assert np.array_equal(frames[1], eight * np.uint16(257))
    else:
        assert np.array_equal(frames[0], eight)
        assert np.array_equal(frames[1], (deep / 257).round().astype(np.uint8))


def test_a_folder_of_ppm(tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(texture(8, 12, number)).save(tmp_path / f"{number}.ppm")
    clip = open_clip(tmp_path)
    assert not clip.deep
    for number, frame in enumerate(read(clip)):
        assert np.array_equal(frame.pixels, texture(8, 12, number))
