"""Styles: saved, loaded, blended, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from impasto.errors import RecipeError, WeightsError
from impasto.feedforward.statistics import BANK_LAYERS, LEVELS
from impasto.feedforward.style import InstantStyle, remember


def style(seed: int) -> InstantStyle:
    generator = torch.Generator().manual_seed(seed)
    return remember({layer: torch.rand(1, 5, 40, 40, generator=generator) + seed for layer in LEVELS})


def test_a_saved_style_is_the_same(tmp_path: Path):
    before = style(1)
    before.save(tmp_path / "s.safetensors")
    after = InstantStyle.load(tmp_path / "s.safetensors")
    for layer in LEVELS:
        torch.testing.assert_close(after.moments[layer].second, before.moments[layer].second)
    for layer in BANK_LAYERS:
        torch.testing.assert_close(after.banks[layer], before.banks[layer], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"no style", None])
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "s.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"s\.safetensors"):
        InstantStyle.load(tmp_path / "s.safetensors")


def test_weights_of_a_network_are_no_style():
    import impasto

    with pytest.raises(WeightsError, match="not a saved style"):
        InstantStyle.load(Path(impasto.__file__).parent / "data" / "compact.safetensors")


def test_a_blend_has_the_mean_of_the_moments_and_shares_of_the_banks():
    first, second = style(0), style(10)
    blend = InstantStyle.blend([first, second], (3, 1))
    expected = 0.75 * first.moments["relu3_1"].mean + 0.25 * second.moments["relu3_1"].mean
    torch.testing.assert_close(blend.moments["relu3_1"].mean, expected)
    bank = blend.banks["relu3_1"]
    assert float((bank.mean(-1) > 5).float().mean()) == pytest.approx(0.25)
    assert InstantStyle.blend([first, second], (0, 1)) is second


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (1.0, -1.0)])
def test_weights_that_fit_no_blend_are_refused(weights: tuple[float, ...]):
    with pytest.raises(RecipeError, match="weights for 2 styles"):
        InstantStyle.blend([style(0), style(1)], weights)
