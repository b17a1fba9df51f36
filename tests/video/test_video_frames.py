"""Clips to frames and back: times, rotation, colours, odd sizes, alpha, sound, damage."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clips import moving_square, packets, rotate_mp4, texture, write_clip
from impasto.errors import VideoError
from impasto.video import hdr
from impasto.video.frames import open_clip, read
from impasto.video.writing import CODECS, choose_codec, require_container, write


def copied(source: Path, place: Path, codec: str | None = None, **options: object) -> Path:
    """Through our reader and writer, unpainted."""
    clip = open_clip(source)
    frames = ((frame.time, frame.pixels) for frame in read(clip))
    return write(place, frames, clip, choose_codec(place, codec), **options)  # type: ignore[arg-type]


def test_lossless_round_trip_at_odd_size(tmp_path: Path) -> None:
    frames = [texture(21, 33, seed) for seed in range(4)]
    source = write_clip(tmp_path / "in.mkv", frames)
    back = [f.pixels for f in read(open_clip(copied(source, tmp_path / "out.mkv", "ffv1")))]
    assert [b.shape for b in back] == [(21, 33, 3)] * 4
    assert all(np.array_equal(a, b) for a, b in zip(frames, back, strict=True))


def test_h264_pads_an_odd_size_without_shifting(tmp_path: Path) -> None:
    frames = [texture(41, 63, 3)] * 3
    source = write_clip(tmp_path / "in.mkv", frames)
    clip = open_clip(copied(source, tmp_path / "out.mp4", quality=4))
    assert (clip.height, clip.width) == (42, 64)
    back = next(read(clip)).pixels.astype(float)
    shifts = {
        (y, x): np.abs(back[4 + y : 36 + y, 4 + x : 58 + x] - frames[0][4:36, 4:58]).mean()
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
    }
    assert min(shifts, key=lambda shift: shifts[shift]) == (0, 0)


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


def test_result_says_its_colours(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", [texture(32, 48)] * 2)
    with av.open(str(copied(source, tmp_path / "out.mp4"))) as container:
        context = container.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p"
        assert (context.color_range, context.colorspace) == (1, 6)


def test_alpha_survives_where_it_can_and_lies_on_white_elsewhere(tmp_path: Path) -> None:
    picture = np.dstack([texture(32, 48), np.full((32, 48), 255, np.uint8)])
    picture[:, :24, 3] = 0
    source = write_clip(tmp_path / "in.mkv", [picture] * 2, pix_fmt="bgra")
    clip = open_clip(copied(source, tmp_path / "out.mkv", "ffv1"))
    assert clip.alpha
    assert np.array_equal(next(read(clip)).pixels, picture)
    flat = next(read(open_clip(copied(source, tmp_path / "out.mp4", quality=1)))).pixels
    assert flat[16, 8].min() > 245


def test_ten_bits_are_kept_for_editors(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], 32, 0).repeat(3, 2)
    source = write_clip(tmp_path / "in.mov", [ramp] * 2, codec="prores_ks", pix_fmt="yuv422p10le")
    clip = open_clip(copied(source, tmp_path / "out.mov", "prores"))
    assert clip.deep
    row = next(read(clip)).pixels[16, :, 1]
    assert row.dtype == np.uint16
    assert np.abs(row.astype(float) - ramp[16, :, 1]).mean() < 300  # of 65535: under two steps of ten bits


def test_audio_is_the_same_bytes_at_the_same_times(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "in.mp4", moving_square(20), codec="libx264", pix_fmt="yuv420p", audio=True
    )
    result = copied(source, tmp_path / "out.mp4")
    before, after = packets(source, "audio"), packets(result, "audio")
    assert [data for _, data in before] == [data for _, data in after]
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-4)
    assert next(t for t, _ in packets(result, "video")) == pytest.approx(0.0, abs=1e-6)


def test_subtitles_are_copied_or_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "in.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nA line of text\n\n")
    picture = write_clip(tmp_path / "plain.mkv", moving_square(12))
    source = tmp_path / "in.mkv"
    with (
        av.open(str(picture)) as video,
        av.open(str(tmp_path / "in.srt")) as text,
        av.open(str(source), "w") as out,
    ):
        streams = [out.add_stream_from_template(one.streams[0]) for one in (video, text)]
        for one, stream in zip((video, text), streams, strict=True):
            for packet in one.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    result = copied(source, tmp_path / "out.mkv")
    assert [data for _, data in packets(result, "subtitle")] == [b"A line of text"]
    with pytest.raises(VideoError, match=r"subtitle .*--copy audio"):
        require_container(tmp_path / "out.mp4", open_clip(source), CODECS["h264"], ("audio", "subtitle"), 16)
    assert not list(tmp_path.glob(".*")), "the trial is cleared away"


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


@pytest.mark.parametrize(
    ("name", "codec"), [("out.mkv", "h264"), ("out.webm", "vp9"), ("out.mp4", "hevc"), ("out.mov", "prores")]
)
def test_the_same_frames_are_the_same_bytes(tmp_path: Path, name: str, codec: str) -> None:
    """Matroska and WebM would otherwise be given random numbers."""
    source = write_clip(tmp_path / "in.mkv", moving_square(6))
    first = copied(source, tmp_path / name, codec).read_bytes()
    assert copied(source, tmp_path / name, codec).read_bytes() == first
