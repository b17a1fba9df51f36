"""The decoder: its padding, how far it sees, and the file that its weights come from."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from impasto.errors import WeightsError
from impasto.feedforward.decoder import CHANNELS, RADIUS, Decoder, load_decoder, reflect
from impasto.networks.layers import geometry


def test_reflection_is_pytorchs_with_its_derivative():
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.equal(reflect(x), F.pad(x, (1, 1, 1, 1), mode="reflect"))
    assert torch.autograd.gradcheck(reflect, x)


def features(decoder: Decoder, height: int, width: int) -> dict[str, torch.Tensor]:
    """Random inputs of the decoder for a picture of this size."""
    generator = torch.Generator().manual_seed(0)
    inputs = {}
    for layer, channels in CHANNELS.items():
        stride, count = geometry(layer).stride, channels * (3 if layer in decoder.read else 1)
        inputs[layer] = torch.rand(1, count, height // stride, width // stride, generator=generator)
    return inputs


def test_a_picture_of_the_features_size_in_the_open_unit_interval():
    decoder = load_decoder()
    picture = decoder(features(decoder, 40, 56))
    assert picture.shape == (1, 3, 40, 56)
    assert 0.0 < float(picture.min()) < float(picture.max()) < 1.0
    assert sum(parameter.numel() for parameter in decoder.parameters()) == pytest.approx(0.57e6, rel=0.01)


def test_a_pixel_depends_on_nothing_beyond_the_radius_and_on_something_close_to_it():
    decoder, size = load_decoder(), 8 * (2 * RADIUS // 8 + 3)
    inputs = {layer: value.requires_grad_() for layer, value in features(decoder, size, size).items()}
    middle = size // 2
    drawn = decoder(inputs)[..., middle, middle].sum()
    reach = 0
    for layer, gradient in zip(inputs, torch.autograd.grad(drawn, list(inputs.values())), strict=True):
        stride = geometry(layer).stride
        rows = torch.nonzero(gradient.abs().sum((0, 1, 3))).flatten()
        reach = max(reach, middle - int(rows.min()) * stride, (int(rows.max()) + 1) * stride - 1 - middle)
    assert RADIUS - 16 <= reach <= RADIUS


def test_a_file_that_is_no_decoder_is_refused_in_one_line(tmp_path):
    save_file({"conv1_1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    for name in ("other.safetensors", "text.safetensors", "missing.safetensors"):
        with pytest.raises(WeightsError, match=name.replace(".", r"\.")) as refused:
            load_decoder(tmp_path / name)
        assert "\n" not in str(refused.value)
