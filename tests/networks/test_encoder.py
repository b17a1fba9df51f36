"""The encoder: layers, geometry, borders, input, heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from fakes import array, picture, tiny_encoder, tiny_state
from impasto.errors import RecipeError
from impasto.losses.statistics import gram
from impasto.networks.encoder import (
    CENTRED,
    OXFORD,
    PADDINGS,
    TORCH,
    Encoder,
    Features,
)
from impasto.networks.layers import LAYERS, geometry

DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-4)]


def test_layers_come_in_the_order_asked_and_alone_as_together(tiny):
    image = picture()
    layers = ("relu3_1", "conv1_2", "relu1_1", "conv3_1")
    together = tiny(image, layers)
    assert tuple(together) == layers
    for layer in layers:
        assert torch.equal(tiny(image, (layer,))[layer], together[layer])
        assert torch.equal(torch.relu(together["conv3_1"]), together["relu3_1"])
    assert tiny(image, ()) == {}


def test_a_missing_layer_and_a_small_picture_are_refused(tiny):
    assert tiny.layers[-1] == "relu5_1"
    assert tiny.require(("block3_conv2", "conv_1"), 16, 16) == ("relu3_2", "conv1_1")
    with pytest.raises(RecipeError, match=r"end at relu5_1.*'relu5_2'.*conv1_1 … relu5_1"):
        tiny.require(("relu5_2",), 512, 512)
    with pytest.raises(RecipeError, match=r"400×15 pixels is too small for layer 'relu5_1'.*16 pixels"):
        tiny.require(("relu1_1", "relu5_1"), 15, 400)
    assert tiny.require(("relu5_1",), 16, 16) == ("relu5_1",)
    assert tiny(picture(16, 16), ("relu5_1",))["relu5_1"].shape == (1, 8, 1, 1)


# -------------------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS if layer.startswith("conv") and layer <= "conv5_1"]
)
def test_geometry_is_what_gradients_say(layer):
    # Positive weights and no negative input: nothing cancels and nothing dies, so every pixel that can
    # matter does.
    state = {key: value.abs() for key, value in tiny_state().items()}
    encoder = Encoder(state, CENTRED, pooling="average").compute_in(torch.float64)
    where = geometry(layer)
    row, column = -(-where.radius // where.stride), -(-where.radius // where.stride) + 1
    height = (2 * row + 1) * where.stride
    image = torch.ones(1, 3, height, height + 2 * where.stride, dtype=torch.float64, requires_grad=True)
    feature = encoder(image, (layer,))[layer][0, :, row, column].sum()
    (gradient,) = torch.autograd.grad(feature, image)
    rows, columns = (torch.nonzero(gradient.abs().sum((0, 1)).sum(side)).flatten() for side in (1, 0))
    for index, found in ((row, rows), (column, columns)):
        assert int(found.min()) == index * where.stride - where.radius
        assert int(found.max()) == (index + 1) * where.stride + where.radius - 1
        assert len(found) == where.stride + 2 * where.radius


# --------------------------------------------------------------------------------------------------- borders


def test_a_picture_of_one_colour_has_no_border():
    # What reflection and circular padding are for. Zeros draw an outline, and so they do here.
    grey = torch.full((1, 3, 32, 32), 0.3)
    for padding in ("reflect", "circular"):
        for layer, features in tiny_encoder(padding=padding)(grey, ("relu1_1", "relu3_2", "relu5_1")).items():
            spread = features.amax((2, 3)) - features.amin((2, 3))
            assert float(spread.abs().max()) < 1e-4 * float(features.abs().max()), (padding, layer)
    for padding, layer in (("zeros", "relu1_1"), ("replicate", "relu1_2")):
        features = tiny_encoder(padding=padding)(grey, (layer,))[layer]
        assert float((features.amax((2, 3)) - features.amin((2, 3))).max()) > 1e-2
    first = tiny_encoder(padding="replicate")(grey, ("relu1_1",))["relu1_1"]
    assert float((first.amax((2, 3)) - first.amin((2, 3))).max()) < 1e-6


def test_circular_padding_knows_no_seam():
    encoder, image = tiny_encoder(padding="circular"), picture(32, 48)
    rolled = encoder(image.roll((16, 32), (2, 3)), ("relu5_1",))["relu5_1"]
    torch.testing.assert_close(rolled, encoder(image, ("relu5_1",))["relu5_1"].roll((1, 2), (2, 3)))
    plain, image = tiny_encoder(), picture(32, 48)
    shifted = plain(image.roll((16, 32), (2, 3)), ("relu5_1",))["relu5_1"]
    assert float((shifted - plain(image, ("relu5_1",))["relu5_1"].roll((1, 2), (2, 3))).abs().max()) > 1e-3


def test_padding_for_one_call_goes_before_the_encoders():
    # A picture rolled by the stride has its features rolled by one, if the padding is circular.
    encoder, image = tiny_encoder(), picture()[..., :32]
    layers = ("relu1_1", "relu3_2", "relu5_1")
    straight = encoder(image, layers, padding="circular")
    rolled = encoder(image.roll((16, 16), (-2, -1)), layers, padding="circular")
    for layer, stride in zip(layers, (1, 4, 16), strict=True):
        expected = straight[layer].roll((16 // stride, 16 // stride), (-2, -1))
        torch.testing.assert_close(rolled[layer], expected, rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------------------------------- input


def test_each_training_gets_the_input_it_was_trained_on():
    # conv1_1 as a probe: each output channel shows one input channel as the network sees it.
    probe = torch.zeros(3, 3, 3, 3)
    probe[[0, 1, 2], [0, 1, 2], 1, 1] = 1.0
    state = {"conv1_1.weight": probe, "conv1_1.bias": torch.zeros(3)}
    colour = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    seen = {
        name: Encoder(state, normalisation)(colour, ("conv1_1",))["conv1_1"][0, :, 0, 0].tolist()
        for name, normalisation in (("oxford", OXFORD), ("torch", TORCH), ("centred", CENTRED))
    }
    assert seen["oxford"] == pytest.approx([204 - 103.939, 127.5 - 116.779, 51 - 123.68], abs=1e-3)  # BGR
    assert seen["torch"] == pytest.approx(
        [(0.2 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.8 - 0.406) / 0.225], abs=1e-5
    )
    assert seen["centred"] == pytest.approx([-0.6, 0.0, 0.6], abs=1e-6)


def test_the_gradient_reaches_the_picture_in_its_own_precision(tiny):
    image = picture().requires_grad_()
    for dtype in (torch.bfloat16, torch.float32):
        features = tiny_encoder(dtype=dtype)(image, ("relu3_1",))["relu3_1"]
        assert features.dtype == torch.float32
        (gradient,) = torch.autograd.grad(features.sum(), image)
        assert gradient.dtype == torch.float32
        assert float(gradient.abs().sum()) > 0


# ----------------------------------------------------------------------------------------------------- heads


def test_distances_through_the_square_factor_equal_those_in_the_wide_space():
    # The identity that `compact` rests on: RᵀR = WᵀW, computed as training/student.export does.
    random = np.random.RandomState(0)
    wide = torch.from_numpy(random.standard_normal((40, 6)))
    square = torch.linalg.qr(wide, mode="r")[1]
    assert square.shape == (6, 6)
    a, b = (torch.from_numpy(random.standard_normal((1, 6, 5, 4))) for _ in range(2))

    def through(head: Tensor, features: Tensor) -> Tensor:
        return torch.einsum("kc,nchw->nkhw", head, features)

    far = (gram(through(wide, a)) - gram(through(wide, b))).square().sum()
    near = (gram(through(square, a)) - gram(through(square, b))).square().sum()
    assert float(near) == pytest.approx(float(far), rel=1e-12)
    far, near = ((through(w, a) - through(w, b)).square().sum() for w in (wide, square))
    assert float(near) == pytest.approx(float(far), rel=1e-12)
    assert float(gram(through(square, a)).square().sum()) == pytest.approx(
        float(gram(through(wide, a)).square().sum()), rel=1e-12
    )


def test_a_head_stands_behind_its_layer_and_no_other():
    state, head = tiny_state(), torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    plain = Encoder(state, CENTRED, pooling="average")
    headed = Encoder(state | {"head.relu3_1.weight": head}, CENTRED, pooling="average")
    layers = ("conv3_1", "relu3_1", "relu3_2")
    without, found = plain(picture(), layers), headed(picture(), layers)
    assert torch.equal(found["conv3_1"], without["conv3_1"])
    assert torch.equal(found["relu3_2"], without["relu3_2"])
    torch.testing.assert_close(found["relu3_1"], torch.einsum("kc,nchw->nkhw", head, without["relu3_1"]))
    assert headed.layers == plain.layers


def test_a_layer_is_projected_when_it_is_first_read():
    raw, head = torch.rand(1, 3, 4, 5), torch.rand(2, 3)
    features = Features({"relu1_1": raw}, lambda layer: head)
    assert features.raw["relu1_1"] is raw
    assert features.head("relu1_1") is head
    assert not features.is_projected("relu1_1")
    torch.testing.assert_close(features["relu1_1"], torch.einsum("kc,nchw->nkhw", head, raw))
    assert features.is_projected("relu1_1")


# -------------------------------------------------------------------------------------------------- the twin


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("padding", list(PADDINGS))
def test_the_whole_encoder(dtype, tolerance, pooling, padding):
    encoder = tiny_encoder(pooling=pooling, padding=padding, dtype=dtype)
    image = picture(37, 42).double()
    state = {key: array(value) for key, value in tiny_state().items()}
    twins = oracles.encode(state, array(image[0]), encoder.layers, pooling, padding)
    found = encoder(image.to(dtype), encoder.layers)
    assert list(found) == list(twins)
    for layer, features in found.items():
        assert features.dtype == dtype
        assert array(features).std() > 1e-3, f"{layer} is dead: the comparison would prove nothing"
        np.testing.assert_allclose(array(features[0]), twins[layer], rtol=tolerance, atol=tolerance)
