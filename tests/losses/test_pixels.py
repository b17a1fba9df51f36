"""The temporal term: a slow twin, its gradient, its place among the terms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clips import texture
from fakes import objective as make_objective
from fakes import tiny_encoder
from impasto.losses.functions import temporal_loss
from impasto.painting.engine import steps, style_statistics
from impasto.scene import Past, Scene
from impasto.video.store import from_pixels
from tiny_video import PICTURE, STYLES


def test_temporal_loss_against_numpy() -> None:
    random = np.random.RandomState(0)
    image, past, trust = random.rand(3, 5, 7), random.rand(3, 5, 7), random.rand(5, 7)
    slow = 0.0
    for c in range(3):
        for y in range(5):
            for x in range(7):
                slow += trust[y, x] * (image[c, y, x] - past[c, y, x]) ** 2
    found = temporal_loss(
        *(torch.from_numpy(one)[None] for one in (image, past)), torch.from_numpy(trust)[None, None]
    )
    assert float(found) == pytest.approx(slow / (3 * 5 * 7), rel=1e-12)


def test_temporal_gradient_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    image, past = (torch.rand(1, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    trust = torch.rand(1, 1, 4, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: temporal_loss(x, past, trust), image.requires_grad_(True))


@pytest.mark.slow
def test_gram_targets_handed_in_change_nothing() -> None:
    encoder, content = tiny_encoder(), from_pixels(texture(64, 96))
    fresh = Scene(content, STYLES)
    known = Scene(content, STYLES, style_statistics=style_statistics(fresh, PICTURE, encoder))
    ends = [list(steps(one, PICTURE, encoder))[-1] for one in (fresh, known)]
    assert torch.equal(ends[0].picture, ends[1].picture)
    assert ends[0].loss == ends[1].loss


def test_past_frames_are_a_named_term() -> None:
    content = from_pixels(texture(64, 96))
    past = Past(torch.zeros_like(content), torch.ones_like(content[:, :1]), 2.0)
    total, terms = make_objective(tiny_encoder(), PICTURE, content, STYLES, past=(past, past))(content)
    assert float(terms["temporal"]) == pytest.approx(4.0 * float(content.square().mean()), rel=1e-5)
    assert float(total) == pytest.approx(sum(float(v) for v in terms.values()), rel=1e-5)
