"""What comes into view: colours of the painting, and detail without outlines."""

from __future__ import annotations

import pytest
import torch

from clips import texture
from impasto.scene import Past
from impasto.video.filling import fill_unknown, match_known_colours, soften_strong_detail
from impasto.video.store import from_pixels
from tiny_video import tiny_context


def test_new_parts_take_the_paintings_colours() -> None:
    filmed = from_pixels(texture(48, 64, 1))
    mixing = torch.tensor([[0.2, 0.5, 0.1], [0.3, 0.2, 0.2], [0.1, 0.1, 0.6]])
    painted = torch.einsum("ij,njhw->nihw", mixing, filmed) + 0.05
    known = torch.ones(1, 1, 48, 64)
    known[..., 40:] = 0.0
    found = match_known_colours(filmed, painted * known, known)
    assert (found - painted).abs().max() < 0.03


def test_an_outline_is_not_borrowed_as_a_stroke() -> None:
    strokes = 0.05 * torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    drawn = strokes.clone()
    drawn[..., 48] += 0.5
    even = soften_strong_detail(drawn)
    assert even[..., 48].abs().mean() < 0.2 * drawn[..., 48].abs().mean()
    apart = (slice(None), slice(None), slice(None), slice(0, 36))
    assert float(even[apart].std() / strokes[apart].std()) == pytest.approx(1.0, abs=0.1)
    assert soften_strong_detail(torch.zeros(1, 3, 8, 8)).abs().max() == 0.0
    # Where the past knows nothing, its line is not to be seen; that it has strokes is.
    known = torch.ones(1, 1, 64, 96)
    known[..., 36:60] = 0.0
    past = (Past((0.5 + drawn).clamp(0, 1), known, 1.0),)
    filled, _ = fill_unknown(torch.full((1, 3, 64, 96), 0.5), past, tiny_context(), None)
    line = (filled[..., 48] - (filled[..., 45] + filled[..., 51]) / 2).mean()
    assert abs(float(line)) < 0.1
    assert float(filled[..., 40:46].std()) > 0.01
