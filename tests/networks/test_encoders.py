"""Encoders: names, geometry, borders, heads, the embedded network, and the original VGG-19 where it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fakes import TINY_CONVS, checks, picture, tiny_encoder, tiny_state
from impasto.errors import ImpastoError, RecipeError, WeightsError
from impasto.losses.objective import Objective, StyleSource
from impasto.losses.statistics import gram, gram_sum
from impasto.machine import fast_bfloat16
from impasto.networks import weights
from impasto.networks.encoder import (
    CENTRED,
    ENCODERS,
    OXFORD,
    TORCH,
    Encoder,
    Features,
    load_encoder,
    pad,
    pool,
)
from impasto.networks.layers import CONVS, LAYERS, canonical_layer, canonical_layers, geometry
from impasto.recipe import Recipe

# ----------------------------------------------------------------------------------------------------- names

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


def test_names_that_no_registry_has():
    for wrong, match in [
        ({"name": "vgg16"}, r"'vgg16'.*compact, vgg19, vgg19-original"),
        ({"padding": "mirror"}, r"'mirror'.*reflect"),
        ({"pooling": "max"}, "average pooling"),
    ]:
        with pytest.raises(RecipeError, match=match):
            load_encoder(**wrong)
    with pytest.raises(RecipeError, match=r"'median'.*max, average, l2"):
        pool(torch.zeros(1, 1, 4, 4), "median")


# -------------------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS if layer.startswith("conv") and layer[4:] <= "5_1"]
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


def test_geometry_of_well_known_layers():
    layers = ("relu1_1", "relu2_1", "relu3_1", "conv5_1")
    found = [(geometry(layer).stride, geometry(layer).radius) for layer in layers]
    assert found == [(1, 1), (2, 4), (4, 10), (16, 70)]
    with pytest.raises(RecipeError, match="'relu9_9'"):
        geometry("relu9_9")


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


def test_reflection_of_a_single_row_repeats_it():
    row = torch.arange(4.0).view(1, 1, 1, 4)
    assert pad(row, "reflect")[0, 0].tolist() == [[0, 0, 1, 2, 3, 3]] * 3
    assert pad(torch.arange(4.0).view(1, 1, 2, 2), "reflect")[0, 0, 0].tolist() == [3, 2, 3, 2]


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


# -------------------------------------------------------------------------------------- the embedded network


@pytest.fixture(scope="module")
def compact() -> Encoder:
    return load_encoder("compact")


def test_the_embedded_file(compact):
    file = weights.embedded("compact")
    assert file.stat().st_size <= 6_000_000
    state = load_file(file)
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    assert compact.convs == TINY_CONVS
    for target in ("relu1_1", "relu2_1", "relu3_1", "relu3_2", "relu4_1", "relu4_2", "relu5_1"):
        head = state[f"head.{target}.weight"]
        assert head.shape[0] == head.shape[1] == len(state[f"conv{target[4:]}.weight"])
    recipe = Recipe()
    assert set(recipe.content_layers + recipe.style_layers) <= set(compact.layers)


def test_its_features_are_finite_and_of_one_size(compact):
    # Its targets were scaled to unit RMS: no layer drowns another.
    image = torch.cat([picture(64, 64), checks(64, 64)])
    for layer, features in compact(image, ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")).items():
        assert bool(torch.isfinite(features).all())
        channels = features.shape[1]
        per_position = float(features.square().sum(1).mean().sqrt())
        assert 0.05 * channels**0.5 < per_position < 30 * channels**0.5, layer


def test_a_file_that_is_no_compact_encoder_is_refused(tmp_path):
    headless = tmp_path / "headless.safetensors"
    save_file(tiny_state(), headless)
    text = tmp_path / "text.safetensors"
    text.write_text("<html>not found</html>")
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    heads = tmp_path / "heads.safetensors"
    save_file({"head.relu1_1.weight": torch.eye(4)}, heads)
    for file in (headless, text, empty, heads, tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(WeightsError) as caught:
            load_encoder("compact", weights=file)
        assert file.name in str(caught.value)


@pytest.mark.skipif(not fast_bfloat16(torch.device("cpu")), reason="this CPU has no fast bfloat16")
def test_bfloat16_gradients_point_where_float32_points():
    recipe, image = Recipe(), picture(128, 128, 3)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        objective = Objective(
            load_encoder("compact", dtype=dtype), recipe, picture(128, 128), [StyleSource(checks(96, 96))]
        )
        leaf = image.clone().requires_grad_()
        gradients.append(torch.autograd.grad(objective(leaf)[0], leaf)[0].flatten())
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.98


# --------------------------------------------------------------------------------- the original, where it is


@pytest.fixture(scope="module")
def original(shared) -> Encoder:
    file = shared / "weights" / "vgg19-original-conv1_1-conv3_4.safetensors"
    return load_encoder("vgg19-original", weights=file, padding="zeros")


def test_a_part_of_the_original_works_for_the_layers_it_has(original):
    assert original.convs == CONVS[:8]
    image = picture(24, 24)
    for conv, channels, side in zip(
        CONVS, [64] * 2 + [128] * 2 + [256] * 4, [24] * 2 + [12] * 2 + [6] * 4, strict=False
    ):
        assert original(image, (conv,))[conv].shape == (1, channels, side, side)
    with pytest.raises(RecipeError, match=r"end at relu3_4.*'relu4_1'"):
        original.require(("relu4_1",), 64, 64)


def test_known_properties_of_the_original(original):
    def response(red: float, green: float, blue: float) -> Tensor:
        flat = torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
        return original(flat, ("relu1_1",))["relu1_1"][0, :, 4, 4]

    # Computed from the file by hand: relu(b + Σ_c x_c Σ w_c) at a colour, BGR minus the mean.
    state = {key: original.get_buffer(f"conv1_1__{key}").double() for key in ("weight", "bias")}
    for colour in [(0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]:
        seen = torch.tensor(colour[::-1]).double() * 255 - torch.tensor([103.939, 116.779, 123.68]).double()
        expected = torch.relu(state["bias"] + (state["weight"].sum((2, 3)) @ seen))
        torch.testing.assert_close(response(*colour).double(), expected, rtol=1e-4, atol=1e-3)
    red, blue = response(1, 0, 0), response(0, 0, 1)
    assert float((red - blue).abs().max()) > 50, "red and blue look alike: channels mixed up"
    # Grey excites few of the filters: nearly all are differences, of neighbours or of colours.
    grey = response(0.5, 0.5, 0.5)
    assert float((grey < 20).double().mean()) > 0.7


def fitted(x: Tensor, y: Tensor, train: int) -> float:
    """Share of the variance of y (N, C) that least squares on x's first rows explains in the others."""
    solution = torch.linalg.lstsq(x[:train].double(), y[:train].double(), driver="gelsd").solution
    left = y[train:].double() - x[train:].double() @ solution
    spread = y[train:].double() - y[train:].double().mean(0)
    return 1.0 - float(left.square().sum() / spread.square().sum())


@pytest.mark.parametrize(("layer", "least"), [("relu1_1", 0.9), ("relu2_1", 0.75), ("relu3_1", 0.65)])
def test_compact_explains_the_original(original, compact, shared, layer, least):
    from impasto.pictures import load
    from impasto.pictures.geometry import resample

    rows: list[list[Tensor]] = [[], []]
    names = ["castle", "cat_kitten", "garden_cottage_flowers", "owls", "streetcar", "taj_mahal"]
    original.padding = "replicate"  # as in training
    for name in names:  # the last two are held out
        image = load(shared / "data" / "contents" / f"{name}.jpg").pixels
        image = resample(image, (192, 256))
        for encoder, into in ((compact, rows[0]), (original, rows[1])):
            features = encoder(image, (layer,))[layer][..., 4:-4, 4:-4]
            into.append(features[0].flatten(1).T[:: 3 if layer == "relu3_1" else 17])
    x, y = (torch.cat(part) for part in rows)
    assert fitted(x, y, len(x) * 4 // 6) > least


def test_the_registry_builds_what_it_names():
    assert set(ENCODERS) == {"compact", "vgg19", "vgg19-original"}
    with pytest.raises(ImpastoError, match=r"missing\.pth"):
        load_encoder("vgg19", weights=weights.cache_dir() / "missing.pth")


@pytest.mark.parametrize("masked", [False, True])
def test_gram_behind_a_head_is_that_of_the_features(masked):
    generator = torch.Generator().manual_seed(3)
    raw, head = torch.rand(1, 5, 6, 7, generator=generator).double(), torch.rand(4, 5, generator=generator)
    weights = torch.rand(1, 1, 6, 7, generator=generator).double() if masked else None
    layers = {"relu1_1": raw.requires_grad_(True)}
    folded = Features(layers, lambda layer: head).gram_sum("relu1_1", weights)
    looked = Features(layers, lambda layer: head)
    plain = gram_sum(looked["relu1_1"], weights)
    assert torch.allclose(folded, plain, rtol=1e-12)
    slopes = [torch.autograd.grad(g.square().sum(), raw)[0] for g in (folded, plain)]
    assert torch.allclose(*slopes, rtol=1e-10)
    assert torch.equal(looked.gram_sum("relu1_1", weights), plain)


@pytest.mark.parametrize("positions", [(3, 4), (40, 53)])
def test_gram_in_bfloat16_sums_in_float32(positions):
    features = torch.randn(1, 8, *positions, generator=torch.Generator().manual_seed(1)).bfloat16()
    for layout in (torch.contiguous_format, torch.channels_last):
        leaf = features.clone(memory_format=layout).requires_grad_(True)
        found = gram_sum(leaf)
        exact = features.double()[0].flatten(1)
        assert found.dtype is torch.float32
        assert relative(found, exact @ exact.T) < 1e-3  # bfloat16 alone: 2e-3 and more
        (slope,) = torch.autograd.grad(found[0, 1] + found[2, 2], leaf)
        expected = torch.zeros_like(exact)
        expected[0], expected[1], expected[2] = exact[1], exact[0], 2 * exact[2]
        assert relative(slope[0].flatten(1), expected) < 0.01


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.detach().double() - expected).norm() / expected.norm())


def test_gradient_of_the_gram_matrix():
    features = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 1, 4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(gram_sum, (features,))
    assert torch.autograd.gradcheck(lambda f: gram_sum(f, weights), (features,))
