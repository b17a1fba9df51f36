"""The decoder's losses of pixels: zero where nothing is lost, more where the pictures are worse."""

from __future__ import annotations

import numpy as np
import torch

from impasto.pictures.colour import LUMA
from impasto.training.pixel_losses import (
    FORM_SCALES,
    FORM_WINDOW,
    chroma_excess,
    grid_pattern,
    lost_forms,
    variation,
)


def picture(seed: int, side: int = 64, cells: int = 8) -> torch.Tensor:
    """Smooth random colours."""
    cells_of = torch.rand(1, 3, cells, cells, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(cells_of, (side, side), mode="bicubic").clamp(0, 1)


def test_forms_do_not_depend_on_contrast_and_brightness():
    content = picture(0)
    assert float(lost_forms(content, content)) < 0.01
    assert float(lost_forms(0.6 * content + 0.3, content)) < 0.03
    assert 0.5 < float(lost_forms(picture(1), content)) < 1.5
    assert float(lost_forms(1 - content, content)) > 1.9


def test_forms_are_what_a_loop_over_windows_finds():
    painted, content = picture(2), picture(3)
    expected = []
    for scale in FORM_SCALES:
        planes = []
        for x in (painted, content):
            grey = np.einsum("c,chw->hw", np.array(LUMA), x[0].double().numpy())
            side = grey.shape[0] // scale
            small = grey.reshape(side, scale, side, scale).mean((1, 3))
            planes.append(np.pad(small, FORM_WINDOW // 2, mode="edge"))
        total = weights = 0.0
        for y in range(side):
            for x in range(side):
                a, b = (p[y : y + FORM_WINDOW, x : x + FORM_WINDOW].ravel() for p in planes)
                deviations = np.sqrt(a.var() + 1e-4), np.sqrt(b.var() + 1e-4)
                lost = 1 - np.mean((a - a.mean()) * (b - b.mean())) / np.prod(deviations)
                total, weights = total + deviations[1] * lost, weights + deviations[1]
        expected.append(total / weights)
    assert abs(float(lost_forms(painted, content)) - np.mean(expected)) < 1e-3


def test_only_chroma_beyond_the_styles_is_punished():
    style = picture(4)
    noise = 0.2 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    assert float(chroma_excess(style, style)) == 0.0
    assert float(chroma_excess(style + noise.mean(1, keepdim=True), style)) < 0.01  # in lightness alone
    assert float(chroma_excess(style + noise, style)) > 1.0


def test_patterns_in_flat_areas_are_punished():
    flat = torch.full((1, 3, 64, 64), 0.5)
    dots = flat.clone()
    dots[..., ::4, ::4] += 0.1
    for loss in (variation, grid_pattern):
        assert float(loss(flat, flat)) < 1e-3
        assert float(loss(dots, flat)) > 5e-3
        assert float(loss(dots, dots * 4 - 1.5)) < 0.5 * float(
            loss(dots, flat)
        )  # where the content has texture
