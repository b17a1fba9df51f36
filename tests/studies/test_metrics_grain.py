"""The measured artefact scores: finest detail against the style's, and where the content is smooth."""

from __future__ import annotations

import pytest
import torch

from fakes import checks, picture
from impasto.studies.metrics import grain, grain_where_smooth


def noise(amount: float, height: int = 64, width: int = 64) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return 0.5 + amount * torch.randn(1, 3, height, width, generator=g)


def test_grain_of_the_style_itself_is_one_and_noise_adds_to_it():
    style = picture(64, 64)
    assert grain(style, style) == pytest.approx(1.0)
    assert grain(style + (noise(0.1) - 0.5), style) > 5.0
    assert grain(torch.full((1, 3, 64, 64), 0.5), style) < 1e-9
    assert grain(checks(64, 64, 1), style) > grain(checks(64, 64, 8), style)


def test_a_large_style_is_looked_at_as_large_as_the_picture():
    fine = checks(256, 256, 1)  # its squares are gone at a quarter of the size
    assert grain(checks(64, 64, 1), fine) > 100.0


def test_only_the_smooth_part_of_the_content_counts():
    content = noise(0.2)
    content[..., 32:] = 0.5
    loud, quiet = content.clone(), content.clone()
    loud[..., 32:] = noise(0.1)[..., 32:]
    quiet[..., :28] = noise(0.3)[..., :28]
    assert grain_where_smooth(content, content) < 0.01
    assert grain_where_smooth(quiet, content) < 0.01
    assert 0.03 < grain_where_smooth(loud, content) < 0.1


def test_small_pictures_are_measured_too():
    assert grain_where_smooth(noise(0.1, 4, 5), noise(0.1, 4, 5)) > 0
    assert grain(noise(0.1, 2, 2), noise(0.1, 3, 3)) > 0
