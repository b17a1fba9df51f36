"""Files of weights: every container and vocabulary gives the same tensors; the rest is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from impasto.errors import WeightsError
from impasto.networks.checkpoints import SHAPES, fingerprint, fingerprint_all, header, read_state
from impasto.networks.layers import CONVS
from weight_files import ORIGINAL, TORCHVISION, block1, same, torchvision_keys

VGG16 = dict(
    zip(
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
        strict=True,
    )
)


def flat(value: float, *shape: int) -> Tensor:
    """A tensor of any size that takes four bytes in memory and in a .pth file."""
    return torch.tensor(value).expand(shape)


def sequence(convolutions: dict[int, int]) -> dict[str, Tensor]:
    """A state dict like torchvision's with 3×3 convolutions: position → output channels."""
    state, inp = {}, 3
    for position, out in convolutions.items():
        state[f"features.{position}.weight"] = flat(0.0, out, inp, 3, 3)
        state[f"features.{position}.bias"] = flat(0.0, out)
        inp = out
    return state


# -- containers and vocabularies


@pytest.mark.parametrize(
    "prefix", ["features.", "", "module.features.", "vgg.", "module.vgg.", "vgg.features."]
)
@pytest.mark.parametrize("zipped", [True, False])
def test_pth_with_torchvision_keys(tmp_path: Path, prefix: str, zipped: bool) -> None:
    state = block1()
    classifier = {"classifier.0.weight": torch.ones(4, 4), "classifier.0.bias": torch.ones(4)}
    path = tmp_path / "renamed.bin"  # the name says nothing, the content decides
    torch.save(torchvision_keys(state, prefix) | classifier, path, _use_new_zipfile_serialization=zipped)
    assert same(read_state(path), state)


@pytest.mark.parametrize("prefix", ["", "module.", "vgg.", "net.vgg."])
def test_pth_with_canonical_keys(tmp_path: Path, prefix: str) -> None:
    state = block1()
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "a.pt")
    assert same(read_state(tmp_path / "a.pt"), state)


def test_a_training_checkpoint_is_unwrapped(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": torchvision_keys(block1())}, tmp_path / "a.pth")
    assert same(read_state(tmp_path / "a.pth"), block1())


def test_safetensors_canonical_and_as_timm_writes_it(tmp_path: Path) -> None:
    state = block1()
    save_file(state, tmp_path / "canonical")
    save_file(
        torchvision_keys(state)
        | {"pre_logits.fc1.weight": torch.ones(8, 4, 7, 7), "head.fc.bias": torch.ones(8)},
        tmp_path / "timm",
    )
    assert same(read_state(tmp_path / "canonical"), state)
    assert same(read_state(str(tmp_path / "timm")), state)


KERAS = {
    "keras 1, as the published file": ("{b}/{b}_W_1:0", "{b}/{b}_b_1:0"),
    "keras 2": ("{b}/{b}/kernel:0", "{b}/{b}/bias:0"),
    "keras 2, whole model": ("model_weights/{b}/{b}/kernel:0", "model_weights/{b}/{b}/bias:0"),
    "no suffix": ("{b}/kernel", "{b}/bias"),
    "keras 3": ("layers/conv2d{n}/vars/0", "layers/conv2d{n}/vars/1"),
    "keras 3, inside a model": (
        "layers/functional/layers/conv2d{n}/vars/0",
        "layers/functional/layers/conv2d{n}/vars/1",
    ),
}


@pytest.mark.parametrize("layout", list(KERAS))
def test_keras_hdf5(tmp_path: Path, layout: str) -> None:
    state = block1()
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        for index, layer in enumerate(CONVS[:2]):
            block = layer.replace("conv", "block").replace("_", "_conv")
            for template, leaf in zip(KERAS[layout], ("weight", "bias"), strict=True):
                values = state[f"{layer}.{leaf}"].numpy()
                if leaf == "weight":  # an oracle of its own: einsum, not permute
                    values = np.einsum("oihw->hwio", values)
                file[template.format(b=block, n=f"_{index}" if index else "")] = values
        file["optimizer_weights/block1_conv1/kernel/momentum"] = np.zeros((3, 3, 3, 64), np.float32)
    assert same(read_state(path), state)


@pytest.mark.slow
def test_all_sixteen_layers_arrive_at_their_names(tmp_path: Path) -> None:
    state = {}
    for index, (layer, (out, inp)) in enumerate(SHAPES.items()):
        state[f"features.{TORCHVISION[index]}.weight"] = flat(float(index), out, inp, 3, 3)
        state[f"features.{TORCHVISION[index]}.bias"] = flat(float(index), out)
        assert layer == CONVS[index]
    torch.save(state, tmp_path / "vgg19.pth")
    found = read_state(tmp_path / "vgg19.pth")
    assert [key for key in found if key.endswith("weight")] == [f"{layer}.weight" for layer in CONVS]
    for index, layer in enumerate(CONVS):
        assert tuple(found[f"{layer}.weight"].shape) == (*SHAPES[layer], 3, 3)
        assert found[f"{layer}.weight"].unique().tolist() == [float(index)]
        assert found[f"{layer}.bias"].dtype == torch.float32


def test_positions_of_another_make_are_taken_in_order(tmp_path: Path) -> None:
    state = block1()
    keys = dict(zip(state, ("1.weight", "1.bias", "4.weight", "4.bias"), strict=True))  # paddings between
    torch.save({keys[key]: value for key, value in state.items()}, tmp_path / "a.pth")
    assert same(read_state(tmp_path / "a.pth"), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({key: value.to(dtype) for key, value in block1().items()}, tmp_path / "half")
    found = read_state(tmp_path / "half")
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    assert torch.equal(found["conv1_1.bias"], block1()["conv1_1.bias"].to(dtype).float())


# -- what is refused, and how


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_state(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"\n <!DOCTYPE html><html><body>404</body></html>", "web page (HTML)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"MATLAB 5.0 MAT-file", "MATLAB"),
        (b"\x89PNG\r\n\x1a\n", "unknown kind"),
        (struct.pack("<Q", 5) + b"{", "damaged"),
    ],
)
def test_what_is_no_file_of_weights(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "vgg19.pth"
    path.write_bytes(content)
    assert expected in refusal(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere.pth")
    assert "cannot be opened" in refusal(tmp_path)


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"features.0.weight": Payload(trace)}, path, _use_new_zipfile_serialization=zipped)
    assert "objects other than tensors" in refusal(path)
    assert not trace.exists()


def test_a_whole_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    torch.save(torch.nn.Conv2d(3, 4, 3), tmp_path / "model.pth")
    assert "model.state_dict()" in refusal(tmp_path / "model.pth")


def write(path: Path, kind: str) -> None:
    state = block1()
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["block1_conv1/kernel"] = np.zeros((3, 3, 3, 64), np.float32)
            file["block1_conv1/bias"] = np.zeros(64, np.float32)
    else:
        torch.save(torchvision_keys(state), path, _use_new_zipfile_serialization=kind == "zip")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["zip", "legacy", "safetensors", "h5"]), share=st.floats(0, 0.999))
def test_a_truncated_file_never_passes(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "cut"
    write(path, kind)
    assert read_state(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    if kind == "h5" and share > 0.9:
        return  # HDF5 may end in bytes that nothing refers to
    assert refusal(path)


@pytest.mark.parametrize(
    ("convolutions", "name"),
    [
        (VGG16, "VGG-16"),
        (dict(zip((0, 3, 6, 8), (64, 128, 256, 256), strict=True)), "VGG-11"),
        (dict(zip((0, 2, 5, 7, 10, 12, 15), (64, 64, 128, 128, 256, 256, 512), strict=True)), "VGG-13"),
        ({0: 16, 2: 16, 5: 32}, "16, 16, 32"),
        (dict.fromkeys(range(17), 64), "17 convolutions"),
    ],
)
def test_other_networks_are_named(tmp_path: Path, convolutions: dict[int, int], name: str) -> None:
    torch.save(sequence(convolutions), tmp_path / "a.pth")
    message = refusal(tmp_path / "a.pth")
    assert name in message
    assert "VGG-19" in message


def test_batch_normalisation_is_named(tmp_path: Path) -> None:
    state = sequence({0: 64, 3: 64}) | {
        f"features.1.{leaf}": torch.ones(64) for leaf in ("weight", "bias", "running_mean")
    }
    torch.save(state, tmp_path / "a.pth")
    assert "batch normalisation" in refusal(tmp_path / "a.pth")


def test_vgg16_in_keras_form_is_hinted_at(tmp_path: Path) -> None:
    state = {}
    for layer, (out, inp) in SHAPES.items():
        if not layer.endswith("_4"):
            state[f"{layer}.weight"], state[f"{layer}.bias"] = flat(0.0, out, inp, 3, 3), flat(0.0, out)
    torch.save(state, tmp_path / "a.pth")
    message = refusal(tmp_path / "a.pth")
    assert "conv3_4 is missing" in message
    assert "VGG-16" in message


def test_gaps_wrong_shapes_missing_biases_and_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    good = block1()
    cases: list[tuple[dict[str, Tensor], str]] = [
        ({k: v for k, v in good.items() if "conv1_1" not in k}, "conv1_1 is missing"),
        ({k: v for k, v in good.items() if k != "conv1_2.bias"}, "conv1_2.bias is missing"),
        (good | {"conv1_1.weight": torch.zeros(64, 3, 1, 1)}, "(64, 3, 1, 1)"),
        (good | {"conv1_1.bias": torch.zeros(63)}, "(63,)"),
        (good | {"conv1_1.bias": torch.zeros(64, dtype=torch.int64)}, "int64"),
        (good | {"conv1_2.bias": torch.full((64,), torch.nan)}, "NaN"),
        (good | {"conv1_2.bias": torch.full((64,), torch.inf)}, "infinite"),
        ({"decoder.weight": torch.zeros(3)}, "decoder.weight"),
        ({}, "none"),
        (torchvision_keys(good) | {"features.7.weight": flat(0, 128, 128, 3, 3)}, "features"),
    ]
    for state, expected in cases[:-1]:
        torch.save(state, path)
        assert expected in refusal(path)
    state = sequence({0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 16: 256})  # 14, conv3_3, left out
    torch.save(state, path)
    assert "conv3_3 is missing" in refusal(path)


# -- fingerprints and headers


def test_fingerprint_depends_on_values_alone(tmp_path: Path) -> None:
    tensor = block1()["conv1_1.weight"]
    turned = tensor.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)  # same values, other strides
    assert fingerprint(tensor) == fingerprint(turned) == fingerprint(tensor.double())
    changed = tensor.clone()
    changed[0, 0, 0, 0] = torch.nextafter(changed[0, 0, 0, 0], torch.tensor(9.0))
    assert fingerprint(changed) != fingerprint(tensor)
    assert fingerprint_all(block1()) == fingerprint_all(dict(reversed(block1().items())))
    assert fingerprint_all(block1(0)) != fingerprint_all(block1(1))


def test_header_sees_a_cut_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(block1(), path, metadata={"note": "kept"})
    found = header(path)
    assert found is not None
    assert found["__metadata__"] == {"note": "kept"}
    whole = path.read_bytes()
    for length in (0, 4, 20, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert header(path) is None
    assert header(tmp_path / "nowhere") is None


# -- the true network


@pytest.fixture(scope="module")
def original() -> dict[str, Tensor]:
    if not ORIGINAL.exists():
        pytest.skip("the original's first eight layers are not on this machine")
    return read_state(ORIGINAL)


def test_the_original_has_eight_layers_of_vgg19(original: dict[str, Tensor]) -> None:
    assert [key for key in original if "weight" in key] == [f"{layer}.weight" for layer in CONVS[:8]]
    # Public prints of MatConvNet's and Keras' distribution show these numbers (channels B, G, R).
    assert original["conv1_1.weight"][0, :, 0, 0].tolist() == pytest.approx(
        [0.34119523, 0.46418372, 0.39416704], abs=1e-8
    )
    assert original["conv1_1.bias"][:3].tolist() == pytest.approx(
        [0.7301776, 0.06493629, 0.03428847], abs=1e-7
    )


def test_the_originals_first_layer_sees_edges_and_colours(original: dict[str, Tensor]) -> None:
    w = original["conv1_1.weight"].flatten(2)  # (64, 3, 9)
    likeness = torch.stack(
        [torch.cosine_similarity(w[:, a], w[:, b], dim=1) for a, b in ((0, 1), (1, 2), (0, 2))]
    ).amin(0)
    balanced = w.sum((1, 2)).abs() < 0.1 * w.abs().sum((1, 2))
    assert int(((likeness > 0.9) & balanced).sum()) >= 15, "edges: the channels agree, the sum is nil"
    assert int((likeness < -0.3).sum()) >= 10, "colours: the channels oppose each other"
    blue, green, red = w.norm(dim=(0, 2)).tolist()
    assert green > red > blue, "BGR: the middle channel says most, the first least"
