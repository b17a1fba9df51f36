"""Sizes, resampling, margins and tiles."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import checks, picture
from impasto.pictures.geometry import fit, resample, resample_signed, resample_wrapped, schedule, tiles


def test_sizes_of_well_known_schedules():
    assert schedule(384, 512, 128, 16) == [(96, 128), (192, 256), (384, 512)]
    assert schedule(512, 512, 512, 16) == [(512, 512)]
    assert schedule(341, 512, 128, 16) == [(85, 128), (170, 256), (341, 512)]
    assert schedule(100, 100, 128, 16) == [(100, 100)]
    assert schedule(1024, 128, 128, 16) == [(128, 16), (256, 32), (512, 64), (1024, 128)]
    assert schedule(1024, 100, 128, 16) == [(256, 25), (512, 50), (1024, 100)]  # half of 25 is too narrow


@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(1, 2000), st.integers(1, 16))
def test_every_schedule_ends_at_the_picture_and_doubles(height, width, coarsest, shortest):
    sizes = schedule(height, width, coarsest, shortest)
    assert sizes[-1] == (height, width)
    longs = [max(size) for size in sizes]
    for before, after in pairwise(longs):
        assert 2 * before - 1 <= after <= 2 * before + 1
    for size in sizes[:-1]:
        assert min(size) >= shortest
        assert size == fit(height, width, max(size))
        assert max(size) >= coarsest / 2**0.5 - 0.5
    coarse_enough = longs[0] <= coarsest * 2**0.5 + 1
    assert coarse_enough or min(fit(height, width, max(1, round(longs[0] / 2)))) <= shortest


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_the_aspect_ratio_is_as_exact_as_whole_pixels_allow(height, width, long_side):
    size = fit(height, width, long_side)
    assert max(size) == long_side
    short = min(height, width) * long_side / max(height, width)
    assert abs(min(size) - max(1.0, short)) <= 0.5 + 1e-9
    assert (size[0] >= size[1]) == (height >= width) or size[0] == size[1]


def test_resampling_keeps_range_mean_and_what_fits():
    image = picture(64, 48)
    assert resample(image, (64, 48)) is image
    small = resample(image, (20, 15))
    assert small.shape == (1, 3, 20, 15)
    assert float(small.min()) >= 0.0
    assert float(small.max()) <= 1.0
    torch.testing.assert_close(small.mean((2, 3)), image.mean((2, 3)), atol=5e-3, rtol=0)
    # Antialiased: a checkerboard of single pixels becomes grey, not moiré.
    stripes = checks(64, 64, 1)
    assert float(resample(stripes, (15, 27))[..., 2:-2, 2:-2].std((2, 3)).max()) < 0.05
    moments = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    enlarged = resample_signed(moments, (16, 16))
    assert float(enlarged.abs().max()) <= float(moments.abs().max())
    assert float(enlarged.min()) < 0


def test_a_wrapped_resize_knows_what_lies_beyond_the_edge() -> None:
    waves = torch.arange(32) / 32 * 2 * torch.pi
    image = (0.5 + 0.4 * torch.sin(waves)).expand(1, 3, 32, 32).contiguous()
    exact = 0.5 + 0.4 * torch.sin((torch.arange(64) + 0.5) / 64 * 2 * torch.pi - torch.pi / 32)
    wrapped, plain = resample_wrapped(image, (64, 64))[0, 0, 0], resample(image, (64, 64))[0, 0, 0]
    assert float((wrapped - exact).abs().max()) < 2e-3
    assert float((plain - exact).abs().max()) > 5e-3


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 120), st.integers(1, 120), st.integers(4, 90), st.sampled_from([1, 2, 16]), st.booleans()
)
def test_tiles_cover_each_pixel_once(height: int, width: int, side: int, stride: int, wrap: bool) -> None:
    covered = torch.zeros(height, width, dtype=torch.int)
    for tile in tiles((height, width), side, stride, 20, wrap=wrap):
        covered[slice(*tile.rows), slice(*tile.columns)] += 1
        assert tile.rows[0] % stride == tile.columns[0] % stride == 0
        image = torch.arange(height * width).view(1, 1, height, width)
        rows, columns = tile.inner(1)
        without_halo = tile.cut(image)[0, 0, rows, columns]
        assert torch.equal(without_halo, image[0, 0, slice(*tile.rows), slice(*tile.columns)])
    assert bool((covered == 1).all())
