"""The registered encoders: the embedded network, and the original VGG-19 where it is at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fakes import TINY_CONVS, checks, picture, tiny_state
from impasto.errors import ImpastoError, RecipeError, WeightsError
from impasto.machine import fast_bfloat16
from impasto.networks import weights
from impasto.networks.encoder import Encoder
from impasto.networks.layers import CONVS, convolution_of
from impasto.networks.operations import pool
from impasto.networks.registry import ENCODERS, load_encoder
from impasto.networks.weights import encoder_digest
from impasto.recipe import Recipe


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
        assert head.shape[0] == head.shape[1] == len(state[f"{convolution_of(target)}.weight"])
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


def test_a_compact_encoder_pools_as_it_was_trained(tmp_path):
    file = tmp_path / "max.safetensors"
    save_file(tiny_state() | {"head.relu1_1.weight": torch.eye(4)}, file, metadata={"pooling": "max"})
    assert load_encoder("compact", weights=file).pooling == "max"
    with pytest.raises(RecipeError, match="trained with max pooling"):
        load_encoder("compact", weights=file, pooling="average")


def test_the_digest_follows_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    digests = []
    for content in (b"one", b"other", b"one"):
        (tmp_path / "w.pth").write_bytes(content)
        digests.append(encoder_digest("vgg19", Path("~/w.pth")))
    assert digests[0] == digests[2] == hashlib.sha256(b"one").hexdigest()[:8] != digests[1]
    assert encoder_digest("vgg19", tmp_path / "missing.pth") == ""


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
    layers = Recipe().style_layers

    def grams(encoder: Encoder, image: Tensor) -> list[Tensor]:
        flat = (features[0].flatten(1) for features in encoder(image, layers).values())
        return [f @ f.T / f.shape[1] for f in flat]

    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        encoder, leaf = load_encoder("compact", dtype=dtype), picture(128, 128, 3).requires_grad_()
        pairs = zip(grams(encoder, leaf), grams(encoder, checks(96, 96)), strict=True)
        loss = torch.stack([(a - b).square().sum() / b.square().sum() for a, b in pairs]).sum()
        gradients.append(torch.autograd.grad(loss, leaf)[0].flatten())
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


@pytest.mark.slow
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
