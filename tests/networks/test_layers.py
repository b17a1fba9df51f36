"""Layers' names in three vocabularies, and how their grids lie on the picture."""

from __future__ import annotations

import pytest

from impasto.errors import RecipeError
from impasto.networks.layers import (
    CONVS,
    LAYERS,
    activation_of,
    block_of,
    canonical_layer,
    canonical_layers,
    convolution_of,
    geometry,
)

#: VGG-19 as its paper's table has it: written out here, counted nowhere.
SIXTEEN = [
    "conv1_1",
    "conv1_2",
    "conv2_1",
    "conv2_2",
    "conv3_1",
    "conv3_2",
    "conv3_3",
    "conv3_4",
    "conv4_1",
    "conv4_2",
    "conv4_3",
    "conv4_4",
    "conv5_1",
    "conv5_2",
    "conv5_3",
    "conv5_4",
]


@pytest.mark.parametrize(("index", "conv"), list(enumerate(SIXTEEN, 1)))
def test_each_layer_in_every_vocabulary(index, conv):
    block, number = conv[4], conv[6]
    relu = f"relu{block}_{number}"
    assert canonical_layer(conv) == conv
    assert canonical_layer(relu) == relu
    assert canonical_layer(f"block{block}_conv{number}") == relu  # Keras gives a layer after its activation
    assert canonical_layer(f"conv_{index}") == conv
    assert canonical_layer(f"relu_{index}") == relu
    assert canonical_layer(f"  {relu.upper()} ") == relu


def test_the_examples_of_the_manual():
    assert [canonical_layer(n) for n in ("relu3_2", "conv3_2", "block3_conv2", "conv_5")] == [
        "relu3_2", "conv3_2", "relu3_2", "conv3_1",
    ]  # fmt: skip
    assert tuple(SIXTEEN) == CONVS
    assert len(LAYERS) == 32


@pytest.mark.parametrize(
    "name",
    ["", "relu", "relu6_1", "relu0_1", "relu1_3", "conv2_3", "conv3_5", "relu3_0", "block6_conv1",
     "block1_conv3", "conv_0", "conv_17",
     "conv_-1", "relu3-2", "relu3_2 ,", "fc6", "pool1", "relu٣_٢", "conv3_2\nconv3_3"],
)  # fmt: skip
def test_an_unknown_layer_is_refused_by_name(name):
    with pytest.raises(RecipeError) as caught:
        canonical_layer(name)
    assert repr(name) in str(caught.value)
    assert "relu1_1" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "names", [("relu3_2", "relu3_2"), ("relu3_2", "block3_conv2"), ("conv_5", "CONV3_1")]
)
def test_a_layer_named_twice_is_refused(names):
    with pytest.raises(RecipeError, match="2 times"):
        canonical_layers(names)
    assert canonical_layers(("relu3_2", "conv3_2")) == ("relu3_2", "conv3_2")


@pytest.mark.parametrize("layer", ["conv4_2", "relu4_2"])
def test_what_a_layer_belongs_to(layer):
    assert (convolution_of(layer), activation_of(layer), block_of(layer)) == ("conv4_2", "relu4_2", 4)


def test_geometry_of_well_known_layers():
    layers = ("relu1_1", "relu2_1", "relu3_1", "conv5_1")
    found = [(geometry(layer).stride, geometry(layer).radius) for layer in layers]
    assert found == [(1, 1), (2, 4), (4, 10), (16, 70)]
    with pytest.raises(RecipeError, match="'relu9_9'"):
        geometry("relu9_9")
