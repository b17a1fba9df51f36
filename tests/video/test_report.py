"""The measurements: warp errors that are known, and the verdict in words."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import moving_square, texture, write_clip
from impasto.errors import VideoError
from impasto.video import report
from impasto.video.report import ClipSteadiness, SteadinessReport
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


@pytest.mark.slow
def test_a_flickering_clip_is_worse_than_the_film(tmp_path: Path) -> None:
    frames = moving_square(5)
    film = write_clip(tmp_path / "film.mkv", frames)
    random = np.random.RandomState(0)
    noisy = [(frame + random.randint(0, 60, frame.shape)).clip(0, 255).astype(np.uint8) for frame in frames]
    flickering = write_clip(tmp_path / "flickering.mkv", noisy)
    steadiness = report.measure(film, film, [flickering])
    first, same, worse = steadiness.clips
    assert same.errors == first.errors
    assert worse.error > 5 * first.error
    assert len(steadiness.occluded) == 4
    lines = report.summary(steadiness)
    assert "1.00 × the film's" in lines[1]
    assert lines[-1].startswith("Steady: ")
    assert report.verdict(report.measure(film, flickering)).startswith("Flickers: ")


def test_exact_errors_are_those_of_a_clip_that_follows_the_motion(tmp_path: Path) -> None:
    """A texture that moves by half a pixel a frame: the error of the film is that of the sampling alone."""
    wide = texture(64, 256, 3).astype(float)
    halves = [wide[:, k // 2 : k // 2 + 96] if k % 2 == 0 else _half(wide, k)[:, :96] for k in range(4)]
    film = write_clip(tmp_path / "film.mkv", [frame.round().astype(np.uint8) for frame in halves])
    clip = report.measure(film, film).film
    assert clip.exact_error == pytest.approx(clip.error, rel=0.5)
    assert clip.exact_error > 0.0


def _half(wide: np.ndarray, k: int) -> np.ndarray:
    left = k // 2
    return (wide[:, left : left + 96] + wide[:, left + 1 : left + 97]) / 2


def _report(film: float, result: float, exact: float) -> SteadinessReport:
    """With these differences in grey levels."""

    def clip(name: str, flicker: float, exact: float) -> ClipSteadiness:
        errors = (((flicker / 255) ** 2,), ((exact / 255) ** 2,))
        return ClipSteadiness(name, Path(name), *errors, (0.5, 0.5), (0.1, 0.1))

    clips = (clip("film", film, 0.0), clip("result", result, exact))
    return SteadinessReport(clips, (64, 96), (0.0,), "dis", Fraction(25), None)


@pytest.mark.parametrize(
    ("film", "result", "exact", "words"),
    [
        (1.8, 5.6, 5.0, ("Steady: ", "5.6 grey levels", "5.0", "smoother than strokes")),
        (8.8, 12.0, 6.6, ("Steady: ", "the film itself measures 8.8.")),
        (0.0, 0.3, 0.0, ("Steady: ", "0.3 grey levels")),
        (0.0, 0.0, 0.0, ("Steady: ",)),
        (1.8, 17.2, 1.6, ("Flickers: ",)),
        (0.0, 9.0, 0.0, ("Flickers: ",)),
        (5.0, 9.0, 3.0, ("Flickers a little: ",)),
    ],
)
def test_the_verdict_knows_what_strokes_on_exact_motion_would_measure(
    film: float, result: float, exact: float, words: tuple[str, ...]
) -> None:
    verdict = report.verdict(_report(film, result, exact))
    assert all(word in verdict for word in words), verdict
    if not verdict.startswith("Steady"):
        assert "smoother" not in verdict, "no excuse"


def test_baselines_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(write_clip(tmp_path / folder / "same.mkv", moving_square(2)))
    names = [clip.name for clip in report.measure(paths[0], paths[1], paths).clips]
    assert names == ["film", "result", "same", "same #2"]


def test_nothing_to_measure_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(VideoError):
        report.measure(tmp_path / "no.mp4", tmp_path / "no.mp4")
