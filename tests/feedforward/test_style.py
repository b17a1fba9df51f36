"""Styles: saved, loaded, blended, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from impasto.errors import RecipeError, WeightsError
from impasto.feedforward.decoder import CHANNELS, load_decoder
from impasto.feedforward.statistics import BANK_LAYERS, LEVELS
from impasto.feedforward.style import InstantStyle, is_saved_style, remember, saved_styles


def style(seed: int) -> InstantStyle:
    generator = torch.Generator().manual_seed(seed)
    return remember({k: torch.rand(1, CHANNELS[k], 40, 40, generator=generator) + seed for k in LEVELS})


def learned(seed: int) -> InstantStyle:
    return dataclasses.replace(style(seed), decoder=load_decoder().state_dict())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "s.safetensors"
    learned(1).save(path)
    return path


def rewrite(path: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors of a saved style; None: leave one out."""
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    tensors = {**load_file(path), **changes}
    save_file({k: v for k, v in tensors.items() if v is not None}, path, metadata=facts)


def test_a_saved_style_is_the_same(tmp_path: Path):
    before = style(1)
    before.save(tmp_path / "s.safetensors")
    after = InstantStyle.load(tmp_path / "s.safetensors")
    for layer in LEVELS:
        torch.testing.assert_close(after.moments[layer].second, before.moments[layer].second)
    for layer in BANK_LAYERS:
        torch.testing.assert_close(after.banks[layer], before.banks[layer], rtol=1e-3, atol=1e-3)


def test_equal_styles_have_equal_digests(saved: Path):
    assert InstantStyle.load(saved).digest == InstantStyle.load(saved).digest == learned(1).digest
    assert len({style(1).digest, style(2).digest, learned(1).digest}) == 3


FULL = torch.zeros(1, 96)
DAMAGES: dict[str, dict[str, torch.Tensor | None]] = {
    "nothing of a layer": {"relu3_1.mean": None},
    "a further tensor": {"relu9_1.mean": torch.zeros(1, 4)},
    "another shape": {"relu3_1.mean": torch.zeros(1, 95)},
    "one axis less": {"relu3_1.bank": torch.zeros(1024, 96)},
    "an empty bank": {"relu3_1.bank": torch.zeros(1, 0, 96)},
    "too large a bank": {"relu3_1.bank": torch.zeros(1, 1025, 96)},
    "numbers of another format": {"relu3_1.mean": FULL.to(torch.float8_e4m3fn)},
    "whole numbers": {"relu3_1.mean": FULL.long()},
    "no number": {"relu3_1.mean": FULL * float("nan")},
    "infinity": {"decoder.picture.bias": torch.full((3,), float("inf"))},
    "another decoder": {"decoder.picture.bias": torch.zeros(4)},
    "half a decoder": {"decoder.picture.bias": None},
}


@pytest.mark.parametrize("changes", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_style_is_refused_in_one_line(saved: Path, changes: dict[str, torch.Tensor | None]):
    rewrite(saved, **changes)
    with pytest.raises(WeightsError, match=r"s\.safetensors' (is damaged|was learned by another)") as error:
        InstantStyle.load(saved)
    assert "\n" not in str(error.value)


def test_what_is_too_large_is_not_read(tmp_path: Path):
    path = tmp_path / "s.safetensors"
    with path.open("wb") as file:
        file.truncate(9_000_000)
    with pytest.raises(WeightsError, match="not a saved style"):
        InstantStyle.load(path)


def test_saved_styles_are_told_from_pictures_and_not_mixed_with_them(saved: Path):
    assert is_saved_style(saved)
    assert is_saved_style("A.SAFETENSORS")
    assert not is_saved_style("a.png")
    assert not is_saved_style(torch.zeros(1))
    assert saved_styles(["a.png", torch.zeros(1)], "instant") == ()
    assert [each.digest for each in saved_styles([saved, learned(1)], "instant")] == 2 * [learned(1).digest]
    for sources, method in (([saved, "a.png"], "instant"), ([saved], "optimise")):
        with pytest.raises(RecipeError, match="saved style"):
            saved_styles(sources, method)


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


@pytest.mark.parametrize("count", range(2, 17))
def test_a_blend_of_any_number_can_be_saved_and_has_all_of_them(tmp_path: Path, count: int):
    """Also one of a blend, whose bank has one style after the other."""
    first = InstantStyle.blend([style(10 * k) for k in range(count)])
    again = InstantStyle.blend([first, style(-10)])
    again.save(tmp_path / "s.safetensors")
    bank = InstantStyle.load(tmp_path / "s.safetensors").banks["relu3_1"]
    kinds = (bank.mean(-1)[0] / 10).round().long()
    assert set(kinds.tolist()) == {-1, *range(count)}
    assert float((kinds == 0).float().mean()) == pytest.approx(0.5 / count, rel=0.1)


def test_numbers_of_half_precision_paint_as_well(saved: Path):
    rewrite(saved, **{"relu3_1.mean": InstantStyle.load(saved).moments["relu3_1"].mean.half()})
    assert {m.mean.dtype for m in InstantStyle.load(saved).moments.values()} == {torch.float64}


def test_a_style_that_cannot_be_written_is_one_line(tmp_path: Path):
    with pytest.raises(WeightsError, match="cannot be written"):
        style(0).save(tmp_path / "nowhere" / "s.safetensors")


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (1.0, -1.0)])
def test_weights_that_fit_no_blend_are_refused(weights: tuple[float, ...]):
    with pytest.raises(RecipeError, match="weights for 2 styles"):
        InstantStyle.blend([style(0), style(1)], weights)
