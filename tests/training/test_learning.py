"""Learning one style: its decoder gets better at it, and goes with the saved style."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import impasto
from impasto import samples
from impasto.errors import WeightsError
from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork, StyledRegion
from impasto.feedforward.style import InstantStyle
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.pictures.geometry import resample
from impasto.training.instant import DecoderPlan
from impasto.training.learning import StyleLearner

PLAN = DecoderPlan(batch=2, size=64, style_size=96, lr=7e-4, recolour=0.0, rotate=0.0, identity_share=0.0)


@pytest.fixture(scope="module")
def painting() -> torch.Tensor:
    return samples.painting("glass", size=128)


@pytest.fixture(scope="module")
def learned(painting: torch.Tensor) -> InstantStyle:
    learner = StyleLearner([painting], [samples.photograph("coffee")], PLAN)
    # By number, because a busy machine makes few steps in a given time. At a higher rate the distance still
    # goes up and down after so few.
    for _ in range(12):
        learner.trainer.step(2e-4)
    return learner.style()


def distance(picture: torch.Tensor, style: torch.Tensor, encoder: Encoder) -> float:
    """Relative distance of the Gram matrices at relu3_1, in float64."""
    grams = []
    for x in (picture, style):
        f = encoder(x, ("relu3_1",))["relu3_1"].double()[0].flatten(1)
        grams.append(f @ f.T / f.shape[1])
    return float((grams[0] - grams[1]).square().sum() / grams[1].square().sum())


@pytest.mark.slow
def test_another_photograph_comes_nearer_to_the_style(learned: InstantStyle, painting: torch.Tensor):
    encoder = load_encoder()
    content = resample(samples.photograph("chelsea"), (85, 128))
    general = InstantNetwork(encoder, load_decoder())
    before = general.paint(content, [StyledRegion(general.remember(painting))])
    result = impasto.instant(content, learned, size=128, precision="float32")
    assert distance(result.pixels, painting, encoder) < 0.9 * distance(before, painting, encoder)


@pytest.mark.slow
def test_the_time_that_is_over_is_told(painting: torch.Tensor):
    learner = StyleLearner([painting], [painting], PLAN)
    shares = list(learner.run(0.4))
    assert shares == sorted(shares)
    assert shares[-1] > 0.5


@pytest.mark.slow
def test_the_file_paints_the_same(learned: InstantStyle, tmp_path: Path):
    learned.save(tmp_path / "mine.safetensors")
    content = resample(samples.photograph("chelsea"), (64, 96))
    options = {"size": 96, "precision": "float32"}
    expected = impasto.instant(content, learned, **options).pixels
    again = impasto.instant(content, str(tmp_path / "mine.safetensors"), **options).pixels
    torch.testing.assert_close(again, expected, atol=0.02, rtol=0)


@pytest.mark.slow
def test_a_mixture_has_the_mean_of_the_decoders(learned: InstantStyle):
    general = InstantStyle(learned.moments, learned.banks)
    mixed = InstantStyle.blend([learned, general], (3, 1)).decoder
    assert mixed is not None
    assert learned.decoder is not None
    name, weights = "picture.weight", load_decoder().state_dict()
    torch.testing.assert_close(mixed[name], 0.75 * learned.decoder[name] + 0.25 * weights[name])
    assert InstantStyle.blend([general, general]).decoder is None


@pytest.mark.slow
def test_a_decoder_of_another_form_is_refused(learned: InstantStyle, tmp_path: Path):
    assert learned.decoder is not None
    fewer = {name: value for name, value in learned.decoder.items() if name != "picture.bias"}
    InstantStyle(learned.moments, learned.banks, fewer).save(tmp_path / "old.safetensors")
    with pytest.raises(WeightsError, match="another version; learn it again"):
        InstantStyle.load(tmp_path / "old.safetensors")
