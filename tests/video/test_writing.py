"""Frames to clips: odd sizes, colours, alpha, bit depth, sound, subtitles, the same bytes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from clips import copied, moving_square, packets, texture, write_clip
from impasto.errors import VideoError
from impasto.video.frames import open_clip, read
from impasto.video.writing import CODECS, require_container


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


@pytest.mark.parametrize(
    ("name", "codec"), [("out.mkv", "h264"), ("out.webm", "vp9"), ("out.mp4", "hevc"), ("out.mov", "prores")]
)
def test_the_same_frames_are_the_same_bytes(tmp_path: Path, name: str, codec: str) -> None:
    """Matroska and WebM would otherwise be given random numbers."""
    source = write_clip(tmp_path / "in.mkv", moving_square(6))
    first = copied(source, tmp_path / name, codec).read_bytes()
    assert copied(source, tmp_path / name, codec).read_bytes() == first
