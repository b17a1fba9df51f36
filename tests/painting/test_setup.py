"""The encoder that a recipe asks for."""

from __future__ import annotations

import pytest
import torch

from fakes import picture, tiny_encoder, tiny_state
from impasto.errors import RecipeError, WeightsError
from impasto.networks import registry
from impasto.networks.encoder import CENTRED, Encoder
from impasto.networks.registry import load_encoder
from impasto.painting.setup import encoder_for
from impasto.recipe import Recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_default_is_the_embedded_network_in_the_recipes_precision(precision, dtype):
    encoder = encoder_for(Recipe(precision=precision), CPU)
    assert encoder.compute_dtype is dtype
    expected = load_encoder("compact", dtype=dtype)(picture(), ("relu2_1",))["relu2_1"]
    assert torch.equal(encoder(picture(), ("relu2_1",))["relu2_1"], expected)


def test_weights_pooling_and_padding_reach_the_network(monkeypatch, tmp_path):
    asked = []

    def build(path, pooling):
        asked.append((path, pooling))
        return Encoder(tiny_state(), CENTRED, pooling=pooling)

    monkeypatch.setitem(registry.ENCODERS, "vgg19", build)
    weights = tmp_path / "weights.pth"
    recipe = Recipe(encoder="vgg19", weights=weights, pooling="l2", padding="zeros", precision="float32")
    encoder = encoder_for(recipe, CPU)
    assert asked == [(weights, "l2")]
    assert (encoder.pooling, encoder.padding, encoder.training) == ("l2", "zeros", False)
    expected = tiny_encoder(pooling="l2", padding="zeros")(picture(), ("relu3_1",))["relu3_1"]
    assert torch.equal(encoder(picture(), ("relu3_1",))["relu3_1"], expected)


def test_what_the_network_cannot_do_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="pooling 'max' was asked for with the compact encoder"):
        encoder_for(Recipe(pooling="max"), CPU)
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        encoder_for(Recipe(weights=tmp_path / "missing.safetensors"), CPU)
