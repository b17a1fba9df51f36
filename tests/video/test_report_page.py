"""The page of the report: it needs no other file, and shows all clips at one size."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clips import moving_square, texture, write_clip
from impasto.video import report, report_page


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "film.mkv", moving_square(4, 128, 192))


@pytest.mark.slow
def test_the_page_stands_alone(tmp_path: Path, film: Path) -> None:
    steadiness = report.measure(film, film, [film])
    page = report_page.write_page(steadiness, tmp_path / "report")
    text = page.read_text()
    assert text.count("<video") == 3
    assert text.count("data:video/mp4;base64,") == 3
    assert text.count("<svg") == 1
    assert "http" not in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert report.verdict(steadiness) in text
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert numbers["film"]["error"] == steadiness.film.error
    assert set(numbers) == {"film", "result", "film #2"}


@pytest.mark.slow
def test_all_strips_have_the_height_of_the_result(tmp_path: Path, film: Path) -> None:
    result = write_clip(tmp_path / "result.mkv", [texture(40, 60, k) for k in range(4)])
    report_page.write_page(report.measure(film, result), tmp_path / "report")
    for name in ("strip_0_film.png", "strip_1_result.png"):
        with Image.open(tmp_path / "report" / name) as strip:
            assert strip.size == (320, 40)


def test_a_strip_has_a_line_for_each_frame(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mkv", moving_square(5))
    strip = report_page.column_strip(film, 25, (64, 96), 0.9, None)
    assert strip.shape == (64, 5, 3)
    assert np.array_equal(strip[:, 0], strip[:, 4]), "that column stands still"


def test_colours_of_a_flow_are_its_directions() -> None:
    flow = np.zeros((4, 6, 2), np.float32)
    flow[:, 3:, 0] = 2.0
    colours = report_page.flow_colours(flow)
    assert (colours[:, :3] == 255).all(), "no motion is white"
    assert (colours[:, 3:] == (255, 0, 0)).all(), "to the right is red"


def test_a_single_frame_has_a_page_too(tmp_path: Path) -> None:
    still = write_clip(tmp_path / "still.mkv", moving_square(1))
    page = report_page.write_page(report.measure(still, still), tmp_path / "report")
    assert "Steady" in page.read_text()
