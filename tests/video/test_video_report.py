"""The report: numbers of clips whose warp error is known, and a page that stands alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import moving_square, texture, write_clip
from impasto.errors import VideoError
from impasto.video import report
from impasto.video.store import from_pixels


def test_warp_error_by_hand() -> None:
    before = torch.full((1, 3, 8, 10), 0.2)
    after = torch.full((1, 3, 8, 10), 0.5)
    after[..., :5] = 0.2
    covered = np.zeros((8, 10), dtype=bool)
    covered[:, 8:] = True
    flow = np.zeros((8, 10, 2), np.float32)
    assert report.warp_error(before, after, flow, covered) == pytest.approx(0.09 * 3 / 8)
    assert report.warp_error(before, after, flow, ~np.zeros((8, 10), dtype=bool)) == 0.0


def test_what_moves_with_the_film_has_no_error() -> None:
    big = texture(64, 96, 3)
    before, after = from_pixels(big[:, 8:88]), from_pixels(big[:, 5:85])
    flow = np.zeros((64, 80, 2), np.float32)
    flow[..., 0] = 3
    covered = np.zeros((64, 80), dtype=bool)
    covered[:, -3:] = True
    assert report.warp_error(before, after, flow, covered) < 1e-8


def test_a_flickering_result_is_worse_than_the_film(tmp_path: Path) -> None:
    frames = moving_square(5)
    film = write_clip(tmp_path / "film.mkv", frames)
    random = np.random.RandomState(0)
    noisy = [(frame + random.randint(0, 60, frame.shape)).clip(0, 255).astype(np.uint8) for frame in frames]
    flickering = write_clip(tmp_path / "flickering.mkv", noisy)
    found = report.measure(film, film, [flickering])
    first, same, worse = found.tracks
    assert same.errors == first.errors
    assert worse.error > 5 * first.error
    assert len(found.occluded) == 4
    lines = report.summary(found)
    assert "1.00 × the film's" in lines[1]
    page = report.write_page(found, tmp_path / "report")
    text = page.read_text()
    assert text.count("<video") == 3
    assert text.count("data:video/mp4;base64,") == 3
    assert "http" not in text.replace("http-equiv", "")
    assert json.loads((tmp_path / "report" / "report.json").read_text())["film"]["error"] == first.error


def test_a_strip_has_a_line_for_each_frame(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mkv", moving_square(5))
    strip = report.flicker_strip(film, 25, 0.9, None)
    assert strip.shape == (64, 5, 3)
    assert np.array_equal(strip[:, 0], strip[:, 4]), "that column stands still"


def test_nothing_to_measure_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(VideoError):
        report.measure(tmp_path / "no.mp4", tmp_path / "no.mp4")
