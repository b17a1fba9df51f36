"""The whole network: tiles, masks, strength, and what the decoder must not draw."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from impasto.feedforward.decoder import Decoder, load_decoder
from impasto.feedforward.network import InstantNetwork, StyledRegion
from impasto.networks.layers import geometry
from impasto.networks.registry import load_encoder

#: Strongest spectral peak over its neighbourhood in an even sky. Measured at step 12,000 of the training,
#: four styles: 3.5 to 5.6; noise alone gives 1.4, a regular grid of two grey levels in it 22.
GRID_BOUND = 8.0


@pytest.fixture(scope="module")
def network() -> InstantNetwork:
    return InstantNetwork(load_encoder(), load_decoder())


def picture(height: int, width: int, seed: int = 0, cells: int = 9) -> torch.Tensor:
    coarse = torch.rand(1, 3, cells, cells, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def painted_style(network: InstantNetwork):
    return network.remember(picture(96, 128, 5, cells=30))


@pytest.mark.slow
@settings(max_examples=2, deadline=None)
@example(height=131, width=211, tile=64)
@given(height=st.integers(20, 150), width=st.integers(200, 250), tile=st.sampled_from([64, 96, 130]))
def test_tiles_make_the_same_picture(network, painted_style, height, width, tile):
    content = picture(height, width)
    mask = (picture(height, width, 3)[:, :1] > 0.5).float()
    regions = [StyledRegion(painted_style, mask), StyledRegion(painted_style, 1 - mask)]
    whole = network.paint(content, regions, tile=None)
    assert whole.shape == content.shape
    torch.testing.assert_close(network.paint(content, regions, tile=tile), whole, atol=1e-4, rtol=0)


def test_a_style_seen_in_tiles_is_the_same(network):
    pixels, mask = picture(210, 170, 1), picture(210, 170, 2)[:, :1]
    whole, parts = network.remember(pixels, mask, tile=None), network.remember(pixels, mask, tile=64)
    for layer, moments in whole.moments.items():
        torch.testing.assert_close(parts.moments[layer].second, moments.second, rtol=1e-4, atol=1e-5)
    for layer, bank in whole.banks.items():
        torch.testing.assert_close(parts.banks[layer], bank, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_too_small_a_halo_would_be_seen(network, painted_style, monkeypatch):
    monkeypatch.setattr("impasto.feedforward.network.REACH", geometry("relu4_1").radius - 20)
    content = picture(130, 200)
    regions = [StyledRegion(painted_style)]
    gap = network.paint(content, regions, tile=64) - network.paint(content, regions, tile=None)
    assert float(gap.abs().max()) > 1e-3


def test_strength_moves_from_the_content_to_the_style(network, painted_style):
    content = picture(120, 160)
    strengths = (0.0, 0.5, 1.0)
    gaps = [
        float((network.paint(content, [StyledRegion(painted_style)], strength=s) - content).abs().mean())
        for s in strengths
    ]
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[0] < 0.08


def test_outside_of_the_regions_nothing_changes(network, painted_style):
    content, mask = picture(64, 64), torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1
    result = network.paint(content, [StyledRegion(painted_style, mask)])
    assert torch.equal(result[..., 32:], content[..., 32:])
    assert float((result - content)[..., :32].abs().mean()) > 0.01
    assert torch.equal(network.paint(content, [StyledRegion(painted_style, 0 * mask)]), content)


def test_the_seed_changes_the_noise_alone(network, painted_style):
    content = picture(64, 64)
    first, again, other = (
        network.paint(content, [StyledRegion(painted_style)], seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("size", [(1, 1), (9, 30), (17, 16)])
def test_any_size_is_painted(network, painted_style, size):
    result = network.paint(picture(*size), [StyledRegion(painted_style)])
    assert result.shape[-2:] == size
    assert bool(result.isfinite().all())


def grid_strength(image: torch.Tensor, window: int = 32) -> float:
    """Strongest peak of the mean power spectrum over its neighbourhood, beyond 5 periods a window."""
    grey = image.mean(1)[0]
    parts = grey.unfold(0, window, window).unfold(1, window, window).reshape(-1, window, window)
    hann = torch.hann_window(window)[:, None] * torch.hann_window(window)
    parts = (parts - parts.mean((1, 2), keepdim=True)) * hann
    power = torch.fft.fftshift(torch.fft.fft2(parts).abs().square().sum(0))[None, None]
    around = F.avg_pool2d(F.pad(power, (3, 3, 3, 3), mode="circular"), 7, 1)
    place = torch.arange(window) - window // 2
    beyond = place[:, None].square() + place.square() > 25
    return float((power / around)[0, 0][beyond].max())


def even_sky() -> torch.Tensor:
    line = torch.linspace(0.55, 0.8, 256).view(1, 1, 256, 1).expand(1, 3, 256, 256)
    return line * torch.tensor([0.6, 0.8, 1.0]).view(1, 3, 1, 1)


@pytest.mark.slow
def test_no_grid_over_an_even_sky(network):
    style = network.remember(picture(256, 256, 5, cells=60))
    assert grid_strength(network.paint(even_sky(), [StyledRegion(style)])) < GRID_BOUND


def test_a_faint_grid_would_be_found():
    noise = 0.003 * torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    grid = torch.sin(2 * torch.pi * (x + y) / 4) / 255 * 2
    assert grid_strength(even_sky() + noise) < GRID_BOUND / 2
    assert grid_strength(even_sky() + noise + grid) > GRID_BOUND


def test_untrained_and_constant_weights_do_not_paint(network, painted_style):
    """The trained decoder is nearer to the style's palette than others: colours come from the weights."""
    content = picture(96, 96)
    target = picture(96, 128, 5, cells=30).mean((2, 3))

    def gap(decoder: Decoder) -> float:
        result = InstantNetwork(network.encoder, decoder).paint(content, [StyledRegion(painted_style)])
        return float((result.mean((2, 3)) - target).abs().mean() + abs(result.std() - content.std()))

    torch.manual_seed(0)
    constant = Decoder()
    for parameter in constant.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    trained = gap(network.decoder)
    assert trained < 0.15
    assert gap(Decoder()) > 1.2 * trained
    assert gap(constant) > 1.2 * trained
