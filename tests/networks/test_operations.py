"""Convolutions and poolings, and their derivatives, against autograd's own."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck
from torch.autograd.graph import saved_tensors_hooks

import oracles
from fakes import array, picture, tiny_encoder, values
from impasto.networks import operations
from impasto.networks.encoder import PADDINGS, Encoder
from impasto.networks.layers import activation_of, block_of
from impasto.networks.operations import BORDERS, Slopes, as_rows, continued, convolve, folded, packed, pool

DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-4)]
BORDER_NAMES = [*BORDERS, "zeros"]
#: Layers before and after an activation, of which one is the last, with none from block 2.
LAYERS = ("conv1_1", "relu1_2", "conv3_2", "relu3_2", "relu4_1")


def convolution(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Weight and bias in float64."""
    return values(4, 3, 3, 3, seed=seed), values(4, seed=seed + 1)


# ----------------------------------------------------------------------------------------------- convolutions


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("border", BORDER_NAMES)
@pytest.mark.parametrize("size", [(5, 4), (2, 7), (1, 3)])
def test_a_convolution_and_its_derivative(border, relu, size):
    features = values(2, 3, *size, seed=3).requires_grad_()
    weight, bias = convolution()
    found = convolve(features, weight, bias, border, relu=relu)
    mode = {"zeros": "constant"}.get(border, border)
    mode = "replicate" if mode == "reflect" and min(size) < 2 else mode
    expected = F.conv2d(F.pad(features, (1, 1, 1, 1), mode=mode), weight, bias)
    torch.testing.assert_close(found, torch.relu(expected) if relu else expected)
    assert gradcheck(lambda x: convolve(x, weight, bias, border, relu=relu), features)


@pytest.mark.parametrize("border", list(BORDERS))
def test_folding_is_the_transpose_of_continuing(border):
    a, b = values(1, 2, 4, 6), values(1, 2, 6, 8, seed=1)
    inner = float((continued(a, border) * b).sum())
    assert inner == pytest.approx(float((a * folded(b.clone(), border)).sum()), rel=1e-12)


def test_reflection_of_a_single_row_repeats_it():
    row, middle = torch.arange(4.0).view(1, 1, 1, 4), torch.zeros(1, 1, 3, 3)
    middle[..., 0, 1] = 1.0  # shows the row above
    assert convolve(row, middle, torch.zeros(1), "reflect", relu=False)[0, 0].tolist() == [[0, 1, 2, 3]]
    square = torch.arange(4.0).view(1, 1, 2, 2)
    assert continued(square, "reflect")[0, 0, 0].tolist() == [3, 2, 3, 2]


def test_the_fused_relu_is_the_relu(monkeypatch):
    x, weight, bias = (x.bfloat16() for x in (values(1, 3, 9, 8), *convolution()))
    if not operations._in_short_form(x):
        pytest.skip("this processor does not convolve in bfloat16")
    fused = convolve(x, weight, bias, "reflect", relu=True)
    monkeypatch.setattr(operations, "_in_short_form", lambda x: False)
    torch.testing.assert_close(convolve(x, weight, bias, "reflect", relu=True), fused)
    assert 0.1 < float((fused == 0).float().mean()) < 0.9


@pytest.mark.parametrize("border", BORDER_NAMES)
def test_packed_weights_give_the_same_numbers(border):
    weight, bias = (x.bfloat16() for x in convolution())
    arranged = packed(weight)
    if arranged is None:
        pytest.skip("this processor does not convolve in bfloat16")
    for size in [(9, 8), (130, 70)]:
        x = values(1, 3, *size).bfloat16().requires_grad_()
        for relu in (False, True):
            plain = convolve(x, weight, bias, border, relu=relu)
            fast = convolve(x, weight, bias, border, relu=relu, arranged=arranged)
            assert fast.equal(plain)
            slope = values(*plain.shape, seed=2).bfloat16()
            (expected,), (found,) = (torch.autograd.grad(y, x, slope) for y in (plain, fast))
            torch.testing.assert_close(found, expected)
        exact = convolve(x.float(), weight.float(), bias.float(), border, relu=True, arranged=arranged)
        assert exact.dtype is torch.float32


def test_an_encoder_with_packed_weights_can_be_copied():
    encoder, image = tiny_encoder().compute_in(torch.bfloat16), picture(20, 24)
    if packed(encoder.conv1_1__weight) is None:
        pytest.skip("this processor does not convolve in bfloat16")
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert other(image, ["relu3_1"])["relu3_1"].equal(encoder(image, ["relu3_1"])["relu3_1"])


def test_large_weights_are_not_packed():
    assert packed(torch.zeros(512, 512, 3, 3, dtype=torch.bfloat16)) is None
    assert packed(torch.zeros(8, 8, 3, 3)) is None


def test_a_convolution_keeps_nothing_but_its_result():
    x, weight = values(1, 8, 32, 32).float().requires_grad_(), values(8, 8, 3, 3).float()
    kept: list[Tensor] = []
    with saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        result = convolve(x, weight, torch.zeros(8), "reflect", relu=True)
    assert {tensor.data_ptr() for tensor in kept} == {weight.data_ptr(), result.data_ptr()}


def test_what_is_only_wanted_at_half_the_size_keeps_a_byte_for_each_number():
    encoder, image = tiny_encoder(pooling="average"), picture(32, 48).requires_grad_()
    sizes: dict[tuple[str, ...], int] = {}
    for layers in (("relu2_1",), ("relu1_2", "relu2_1")):
        kept: dict[int, Tensor] = {}
        with saved_tensors_hooks(lambda x, kept=kept: kept.setdefault(x.data_ptr(), x), lambda x: x):
            features = encoder(image, layers)
        large = [x for x in kept.values() if x.shape[-2:] == image.shape[-2:] and x.shape[1] > 3]
        sizes[layers] = sum(x.element_size() for x in large)
        assert {layer: features.raw[layer].shape[-2:] for layer in layers}["relu2_1"] == (16, 24)
    assert sizes == {("relu2_1",): 4 + 1, ("relu1_2", "relu2_1"): 4 + 4}


def test_derivatives_that_wait_are_added_in_turn():
    result = torch.zeros(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    everywhere, corner = values(1, 2, 3, 4), values(1, 2, 1, 2, seed=1)
    window = (slice(0, 1), slice(0, 4, 2))
    expected = everywhere.clone()
    expected[..., 0:1, 0:4:2] += corner
    slopes = Slopes()
    slopes.add_at(window, corner)
    slopes.add(lambda: as_rows(everywhere).clone())
    found = slopes.total(result)
    assert found is not None
    assert found.equal(expected)
    assert slopes.total(result) is None
    slopes.add_at(window, corner.float())
    alone = slopes.total(result)
    assert alone is not None
    assert alone[(..., *window)].equal(corner.float())
    assert alone.count_nonzero() == corner.numel()


# -------------------------------------------------------------------------------------------- a whole network


def by_autograd(encoder: Encoder, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
    """The encoder's features, computed by operations of PyTorch that autograd differentiates itself."""
    x, features = encoder._normalise(image).to(encoder.compute_dtype), {}
    for before, conv in pairwise(("conv1_0", *encoder.convs)):
        if block_of(conv) != block_of(before):
            pooled = {"max": F.max_pool2d, "average": lambda x, k: 2 * F.avg_pool2d(x, k)}
            l2 = lambda x, k: 0.78 * (4 * F.avg_pool2d(x * x, k) + 1e-12).sqrt()  # noqa: E731
            x = pooled.get(encoder.pooling, l2)(x, 2)
        mode = PADDINGS[encoder.padding][before != "conv1_0"]
        weight, bias = (encoder.get_buffer(f"{conv}__{kind}") for kind in ("weight", "bias"))
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="constant" if mode == "zeros" else mode), weight, bias)
        features[conv] = x
        x = features[activation_of(conv)] = torch.relu(x)
    return {layer: features[layer] for layer in layers}


def gradient(features: dict[str, Tensor], image: Tensor) -> Tensor:
    """Of a sum of all layers with fixed weights, (1, 3, H, W)."""
    total = sum((x * values(*x.shape, seed=k).to(x)).sum() for k, x in enumerate(features.values()))
    return torch.autograd.grad(total, image)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("padding", list(PADDINGS))
def test_the_gradient_of_the_network_is_autograds(pooling, padding):
    for dtype, tolerance in DTYPES:
        encoder = tiny_encoder(pooling=pooling, padding=padding, dtype=dtype)
        image = picture(37, 42).to(dtype).requires_grad_()
        found = gradient(encoder(image, LAYERS).raw, image)
        expected = gradient(by_autograd(encoder, image, LAYERS), image)
        assert float(expected.abs().max()) > 0
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def test_gradcheck_of_a_network():
    encoder = tiny_encoder(dtype=torch.float64)
    image = picture(6, 7).double().requires_grad_()
    assert gradcheck(lambda x: tuple(encoder(x, ("conv1_1", "relu1_2", "relu2_2")).raw.values()), image)


def test_the_gradient_in_bfloat16_points_where_autograds_does():
    image = picture(48, 56).requires_grad_()
    half, full = tiny_encoder(dtype=torch.bfloat16), tiny_encoder()
    found = gradient(half(image, LAYERS).raw, image).flatten()
    for encoder, cosine in ((half, 0.9999), (full, 0.999)):
        expected = gradient(by_autograd(encoder, image, LAYERS), image).flatten()
        assert float(F.cosine_similarity(found, expected, dim=0)) > cosine


# --------------------------------------------------------------------------------------------------- poolings


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("kind", ["max", "average", "l2"])
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_pool(dtype, tolerance, kind, size):
    features = values(1, 3, *size)
    found = pool(features.to(dtype), kind)
    np.testing.assert_allclose(
        array(found[0]), oracles.pool(array(features[0]), kind), rtol=tolerance, atol=tolerance
    )


def test_pool_keeps_the_magnitude_of_rectified_noise():
    # What the factors are for: the next layer was trained on max pooling's activations.
    features = torch.relu(values(1, 8, 64, 64))
    largest = pool(features, "max").mean()
    assert float(pool(features, "average").mean() / largest) == pytest.approx(1.0, abs=0.25)
    assert float(pool(features, "l2").mean() / largest) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("kind", ["max", "average", "l2"])
def test_gradients_of_the_poolings(kind):
    assert gradcheck(lambda f: pool(f, kind), values(1, 2, 5, 6).requires_grad_())


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_the_derivative_of_pooling_keeps_the_layout_of_a_part(size):
    # Rows of channels, inside the margin of a padded derivative; the next convolution would rearrange others.
    features = values(1, 3, *size).to(memory_format=torch.channels_last).requires_grad_()
    padded = values(1, 3, 5, 6, seed=1).to(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(pool(features, "average"), features, padded[..., 1:-1, 1:-1])
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_reducing_at_once_is_pooling_afterwards(dtype, size):
    weight, bias = (x.to(dtype) for x in convolution())
    features = values(1, 3, *size, seed=3).to(dtype).requires_grad_()
    at_once = convolve(features, weight, bias, "reflect", relu=True, halved=True)
    rectified = convolve(features, weight, bias, "reflect", relu=True)
    assert 0.2 < float((rectified > 0).float().mean()) < 0.8
    assert at_once.equal(pool(rectified, "average"))
    slope = values(*at_once.shape, seed=4).to(dtype)
    (found,) = torch.autograd.grad(at_once, features, slope)
    (expected,) = torch.autograd.grad(pool(rectified, "average"), features, slope)
    assert found.equal(expected)


def test_l2_pooling_has_a_gradient_where_nothing_is():
    dead = torch.zeros(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(pool(dead, "l2").sum(), dead)
    assert bool(torch.isfinite(gradient).all())
