"""Reads the convolutions of VGG-19 from a file of weights, in any usual format and naming of the tensors."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.errors import WeightsError
from impasto.networks.layers import BLOCKS, CONVS, block_of

if TYPE_CHECKING:
    from torch import Tensor

# torch, h5py and safetensors are imported in functions, because `impasto weights list` needs none of them.

__all__ = ["SHAPES", "describe", "fingerprint", "fingerprint_all", "header", "read_state"]

#: Output channels of the convolutions of each block.
_BLOCK_CHANNELS = (64, 128, 256, 512, 512)
_CHANNELS = tuple(
    channels for channels, count in zip(_BLOCK_CHANNELS, BLOCKS, strict=True) for _ in range(count)
)

#: Convolution → (output channels, input channels) of VGG-19; every kernel is 3×3.
SHAPES: dict[str, tuple[int, int]] = {
    conv: (outputs, inputs)
    for conv, outputs, inputs in zip(CONVS, _CHANNELS, (3, *_CHANNELS[:-1]), strict=True)
}

#: Index in torchvision's ``features`` → VGG-19's convolution: a ReLU follows each, a pooling each block.
_POSITIONS: dict[int, str] = {2 * index + block_of(conv) - 1: conv for index, conv in enumerate(CONVS)}

#: Output channels of the convolutions → networks that are easily mistaken for VGG-19.
_OTHER_NETWORKS: dict[tuple[int, ...], str] = {
    (64, 128, 256, 256, 512, 512, 512, 512): "VGG-11",
    (64, 64, 128, 128, 256, 256, 512, 512, 512, 512): "VGG-13",
    (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512): "VGG-16",
}

_ACCEPTED = "VGG-19 as PyTorch .pth, .safetensors or Keras .h5"
_DOWNLOAD_AGAIN = "download or copy it again"
_WEB_PAGE = "a web page (HTML) instead of weights"
_SIGNATURES = (
    (b"PK\x03\x04", "a PyTorch file"),
    *((bytes((0x80, protocol)), "a PyTorch file") for protocol in range(2, 6)),  # a pickle, torch < 1.6
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer instead of the file itself (`git lfs pull`)"),
    (b"MATLAB", "a MATLAB file"),
    (b"\x93NUMPY", "a NumPy file"),
)
_NAMED_KEY = re.compile(r"(?:.*[./])?(?:conv|block)([1-5])_(?:conv)?([1-9])\.(weight|bias)")
_NUMBERED_KEY = re.compile(r"((?:.*\.)?)(\d+)\.(weight|bias|running_mean)")
_CLASSIFIER_KEY = re.compile(r"(^|[./_])(classifier|head|pre_logits|fc\d?)[./]")
_KERAS_LAYER = re.compile(r"(?:.*/)?block([1-5])_conv([1-9])/.+")
_KERAS_3_LAYER = re.compile(r"(?:.*/)?conv2d(?:_(\d+))?/vars/[01]")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the convolutions of VGG-19 from a file.

    The format is recognised by the file's content: PyTorch (``torch.load`` with ``weights_only``, so that no
    code in a pickle runs), safetensors, or HDF5 as Keras writes it (kernels are transposed from HWIO to
    OIHW). Keys may be canonical (``conv1_1.weight``), torchvision's (``features.0.weight``, with or without
    a prefix) or Keras' (``block1_conv1``). A classifier is left out.

    Returns:
        ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` (out,) and so on, float32 and finite, for
        consecutive layers from conv1_1 on, all 16 or fewer. The channel order and range of pictures that
        the network expects depend on the file.

    Raises:
        WeightsError: the file does not exist, is not a file of weights (a web page, say) or is damaged, is a
            pickle with code, holds another network, lacks a layer in between, or has values that are not
            finite.
    """
    path = Path(path).expanduser()
    kind = describe(path)
    if kind not in _READERS:
        raise WeightsError(f"{path} is {kind}", _ACCEPTED, _DOWNLOAD_AGAIN if "page" in kind else "")
    try:
        tensors = _READERS[kind](path)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is damaged or holds Python objects other than tensors; such code is never run",
            "a state dict of tensors, saved with torch.save(model.state_dict(), FILE)",
        ) from error
    except Exception as error:
        # A damaged file can make the libraries raise any exception; the user gets one line.
        reason = re.split(r"\.\s|\n", str(error).strip())[0][:120] or type(error).__name__
        raise WeightsError(f"{path} is damaged or cut off ({reason})", _ACCEPTED, _DOWNLOAD_AGAIN) from error
    try:
        return _check_state(_canonical(tensors))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.got}", error.expected or _ACCEPTED, error.remedy) from None


def describe(path: Path) -> str:
    """What a file is, in words, by its first bytes: "a PyTorch file", "a web page (HTML) …", "empty".

    Raises:
        WeightsError: the file does not exist or cannot be opened.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be opened ({error.strerror})", _ACCEPTED) from error
    if not head:
        return "empty"
    # safetensors is checked first: it begins with 8 bytes of length, which may equal another signature.
    if head[4:9] == b"\0\0\0\0{":
        return "a safetensors file"
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    return _WEB_PAGE if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else "of an unknown kind"


def header(path: Path) -> dict[str, Any] | None:
    """Read the header of a safetensors file without torch or safetensors; ``None`` if the file is incomplete.

    No tensor is read, so this is quick. It detects a file that was truncated while it was written or copied.

    Returns:
        tensor name → its dtype, shape and offsets, and ``__metadata__`` if there is any.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                return None
            entries: dict[str, Any] = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return entries if ends and 8 + length + max(ends) == size else None


def fingerprint(tensor: Tensor) -> str:
    """SHA-256 (hex) of a tensor's values as little-endian float32 in row-major order.

    The same weights have the same fingerprint in any file format.
    """
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def fingerprint_all(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of the names and fingerprints of all tensors, sorted by name."""
    lines = "".join(f"{key} {fingerprint(state[key])}\n" for key in sorted(state))
    return hashlib.sha256(lines.encode()).hexdigest()


def _read_torch(path: Path) -> dict[str, Tensor]:
    import torch

    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    # Only the newer, zipped format can be memory-mapped, which avoids reading the classifier, 495 of 575 MB.
    loaded = torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipped)
    for key in ("state_dict", "model", "params"):  # a training checkpoint wraps the state dict
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise ValueError(f"it holds a {type(loaded).__name__}, not a state dict")
    return {str(key): value for key, value in loaded.items() if isinstance(value, torch.Tensor)}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys() if not _CLASSIFIER_KEY.search(key)}  # noqa: SIM118


def _read_keras(path: Path) -> dict[str, Tensor]:
    """Read the HDF5 layouts of Keras 1, 2 and 3.

    Keras 1 has ``block1_conv1/block1_conv1_W_1:0`` and Keras 2 ``block1_conv1/block1_conv1/kernel:0``, with
    or without ``model_weights/`` before it; Keras 3 has ``layers/conv2d_1/vars/0``, numbered in layer order.
    """
    import h5py
    import torch

    state: dict[str, Tensor] = {}

    def visit(key: str, item: Any) -> None:
        layer = _keras_layer(key) if isinstance(item, h5py.Dataset) and "optimizer" not in key else None
        if layer is not None and item.ndim in (1, 4):
            values = torch.from_numpy(item[()])  # kernel HWIO
            leaf = "weight" if item.ndim == 4 else "bias"
            state[f"{layer}.{leaf}"] = values.permute(3, 2, 0, 1) if item.ndim == 4 else values

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return state


def _keras_layer(key: str) -> str | None:
    if match := _KERAS_LAYER.fullmatch(key):
        return f"conv{match[1]}_{match[2]}"
    if match := _KERAS_3_LAYER.fullmatch(key):
        index = int(match[1] or 0)
        return CONVS[index] if index < len(CONVS) else None
    return None


_READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "a PyTorch file": _read_torch,
    "a safetensors file": _read_safetensors,
    "an HDF5 file": _read_keras,
}


def _canonical(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the convolutions of VGG to ``conv1_1.weight`` and so on; all other tensors are left out."""
    named = {
        f"conv{match[1]}_{match[2]}.{match[3]}": tensor
        for key, tensor in tensors.items()
        if (match := _NAMED_KEY.fullmatch(key))
    }
    if named:
        return named
    groups: dict[str, dict[int, dict[str, Tensor]]] = {}
    for key, tensor in tensors.items():
        if (match := _NUMBERED_KEY.fullmatch(key)) and not _CLASSIFIER_KEY.search(key):
            groups.setdefault(match[1], {}).setdefault(int(match[2]), {})[match[3]] = tensor
    prefixes = [prefix for prefix, modules in groups.items() if _convolutions(modules)]
    if not prefixes:
        keys = ", ".join(list(tensors)[:3]) or "none"
        raise WeightsError(f"no convolution of VGG-19 in it (its first tensors: {keys})")
    # A checkpoint of a larger model may hold several stacks of convolutions: prefer features or vgg.
    return _from_positions(groups[max(prefixes, key=lambda p: ("features" in p) + ("vgg" in p.lower()))])


def _convolutions(modules: Mapping[int, Mapping[str, Tensor]]) -> list[int]:
    """Indices of the modules that are convolutions, in order."""
    return sorted(i for i, leaves in modules.items() if "weight" in leaves and leaves["weight"].ndim == 4)


def _from_positions(modules: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Name the convolutions of a numbered sequence of modules."""
    if any("running_mean" in leaves for leaves in modules.values()):
        raise WeightsError(
            "a network with batch normalisation, not plain VGG-19", remedy="take vgg19, not vgg19_bn"
        )
    positions = _convolutions(modules)
    _refuse_other_networks(tuple(modules[i]["weight"].shape[0] for i in positions))
    # With torchvision's positions a missing layer shows; in sequences numbered otherwise the order decides.
    known = all(i in _POSITIONS for i in positions)
    layers = [_POSITIONS[i] for i in positions] if known else list(CONVS[: len(positions)])
    return {
        f"{layer}.{leaf}": tensor
        for layer, i in zip(layers, positions, strict=True)
        for leaf, tensor in modules[i].items()
    }


def _refuse_other_networks(widths: tuple[int, ...]) -> None:
    if widths == _CHANNELS[: len(widths)]:
        return
    for channels, name in _OTHER_NETWORKS.items():
        if widths == channels[: len(widths)]:
            raise WeightsError(f"{name} ({len(widths)} convolutions), not VGG-19 (16)")
    listed = ", ".join(map(str, widths[:16]))
    raise WeightsError(f"another network: {len(widths)} convolutions with {listed} channels, not VGG-19")


def _check_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and biases of consecutive layers, checked and copied as float32."""
    present = tuple(conv for conv in CONVS if f"{conv}.weight" in tensors)
    if present != CONVS[: len(present)] or not present:
        missing = next(conv for conv in CONVS if conv not in present)
        hint = " (so VGG-16?)" if missing == "conv3_4" and "conv4_1" in present else ""
        raise WeightsError(f"{missing} is missing{hint}", "consecutive layers from conv1_1 on")
    state: dict[str, Tensor] = {}
    for conv in present:
        outputs, inputs = SHAPES[conv]
        for key, shape in ((f"{conv}.weight", (outputs, inputs, 3, 3)), (f"{conv}.bias", (outputs,))):
            state[key] = _check_tensor(key, tensors.get(key), shape)
    return state


def _check_tensor(key: str, tensor: Tensor | None, shape: Iterable[int]) -> Tensor:
    if tensor is None:
        raise WeightsError(f"{key} is missing")
    if tuple(tensor.shape) != tuple(shape):
        raise WeightsError(f"another network: {key} is {tuple(tensor.shape)}, VGG-19's is {shape}")
    if not tensor.is_floating_point():
        raise WeightsError(f"{key} is {tensor.dtype}", "floating-point weights")
    # Cloned, so that a memory-mapped file does not stay open as long as the tensor lives.
    copied = tensor.detach().float().contiguous().clone()
    if not bool(copied.isfinite().all()):
        raise WeightsError(f"{key} has values that are NaN or infinite", remedy=_DOWNLOAD_AGAIN)
    return copied
