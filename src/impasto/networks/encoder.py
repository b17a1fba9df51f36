"""Image → ``{layer: features}``: VGG-19 in its two trainings and the compact network distilled from it.

All three have the same skeleton, so one class runs them: 3×3 convolutions in five blocks with a 2×2
pooling between two. They differ in widths, in the normalisation of the input and in whether a linear
head stands behind a layer.

The heads are what makes `compact` a stand-in for VGG-19. If features f of the big network are predicted
linearly from features s of the small one, f ≈ W s, then the Gram matrix in the big network's space is
W G Wᵀ, and every Euclidean comparison in that space — of features or of Gram matrices — equals the same
comparison of R s where RᵀR = WᵀW. R is square and small; it is all that is stored. So `relu3_1` of
`compact` is VGG-19's relu3_1 seen through an isometry onto fewer channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.errors import RecipeError, WeightsError
from impasto.losses.statistics import gram_sum
from impasto.networks import weights as weight_files
from impasto.networks.layers import CONVS, LAYERS, canonical_layer, geometry

__all__ = ["ENCODERS", "PADDINGS", "Encoder", "Features", "Normalisation", "load_encoder", "pad", "pool"]

Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True)
class Normalisation:
    """What a network expects of a picture in [0, 1] RGB: ``(x[order] · scale − mean) / std``."""

    order: tuple[int, int, int]
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


#: Oxford's training (Caffe): BGR, 0–255, mean subtracted.
OXFORD = Normalisation((2, 1, 0), 255.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
#: PyTorch's training: RGB in [0, 1], ImageNet's mean and standard deviation.
TORCH = Normalisation((0, 1, 2), 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: Ours: centred, about unit range, no statistics to remember.
CENTRED = Normalisation((0, 1, 2), 2.0, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))


def pool(features: Tensor, kind: str) -> Tensor:
    """2×2 pooling, stride 2; an odd last row or column is dropped.

    Average pooling is scaled by 2 and L2 pooling by 0.78 so that the activations keep the magnitude that
    the weights were trained with under max pooling (factors of style-transfer-pytorch).
    """
    if kind == "max":
        return F.max_pool2d(features, 2)
    if kind == "average":
        return F.avg_pool2d(features, 2) * 2.0
    if kind == "l2":
        # The tiny constant keeps the root differentiable where all four activations are zero.
        return torch.sqrt(F.avg_pool2d(features * features, 2) * 4.0 + 1e-12) * 0.78
    raise RecipeError(f"unknown pooling {kind!r}", "possible are max, average, l2")


#: name → padding of the first convolution, and of all others.
PADDINGS: dict[str, tuple[str, str]] = {
    "reflect": ("reflect", "reflect"),
    "circular": ("circular", "circular"),
    "replicate": ("replicate", "zeros"),
    "zeros": ("zeros", "zeros"),
}


def pad(features: Tensor, mode: str) -> Tensor:
    """One pixel on each side; ``zeros`` is left to the convolution, which does it without a copy."""
    if mode == "zeros":
        return features
    if mode == "reflect" and min(features.shape[-2:]) < 2:
        mode = "replicate"  # there is nothing to reflect in a single row
    if mode == "circular":  # F.pad gives up channels_last here, and takes three times as long
        rows = torch.cat([features[..., -1:, :], features, features[..., :1, :]], dim=-2)
        return torch.cat([rows[..., -1:], rows, rows[..., :1]], dim=-1)
    return F.pad(features, (1, 1, 1, 1), mode=mode)


class Features(Mapping[str, Tensor]):
    """Features by layer: float32 (float64 if computed in it), behind the encoder's heads.

    A layer is converted and sent through its head when it is first looked at. :meth:`gram_sum` does without:
    G behind a head R is R G Rᵀ, a product of small matrices.

    Args:
        raw: layer → (1, c, H, W) before the head, as computed.
        head: layer → (k, c) or None.
    """

    def __init__(
        self, raw: Mapping[str, Tensor], head: Callable[[str], Tensor | None] = lambda layer: None
    ) -> None:
        self.raw, self._head = raw, head
        self._read: dict[str, Tensor] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self._read:
            raw, head = self.raw[layer], self._head(layer)
            value = raw if raw.dtype is torch.float64 else raw.float()
            self._read[layer] = value if head is None else F.conv2d(value, head[:, :, None, None].to(value))
        return self._read[layer]

    def cut(self, places: Mapping[str, tuple[slice, slice]]) -> Features:
        """A part of each layer; ``places``: layer → rows and columns."""
        found = {layer: _part(x, *places[layer]) for layer, x in self.raw.items()}
        return self if all(found[k] is x for k, x in self.raw.items()) else Features(found, self._head)

    def gram_sum(self, layer: str, weights: Tensor | None = None) -> Tensor:
        """(C, C), see :func:`impasto.losses.statistics.gram_sum`."""
        if layer in self._read:
            return gram_sum(self._read[layer], weights)
        found, head = gram_sum(self.raw[layer], weights), self._head(layer)
        return found if head is None else head.to(found) @ found @ head.to(found).T


def _part(features: Tensor, rows: slice, columns: slice) -> Tensor:
    """Rows and columns of features; all of them without a slice, whose derivative would be copied."""
    height, width = features.shape[-2:]
    if (rows.stop - rows.start, columns.stop - columns.start) == (height, width):
        return features
    # Padding by less than nothing: the derivative of a slice would change the layout of the channels.
    return F.pad(features, (-columns.start, columns.stop - width, -rows.start, rows.stop - height))


class Encoder(nn.Module):
    """A VGG-shaped network that returns named features of a picture.

    Args:
        state: ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` (out,), … for a run of layers from
            conv1_1 on, and optionally ``head.relu3_1.weight`` (k, c) for linear heads.
        normalisation: what the network expects of its input.
        pooling: ``max``, ``average`` or ``l2``.
        padding: what convolutions see beyond the picture's edge, a key of :data:`PADDINGS`.

    Differs from VGG-19, which pads with zeros throughout: an outline that exists in no picture, and that
    optimisation paints. Reflection in every layer leaves the cleanest borders; replication in the first
    layer alone, as style-transfer-pytorch does, counts the outermost pixels twice there and leaves a
    coloured fringe one pixel wide.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        normalisation: Normalisation,
        *,
        pooling: str = "max",
        padding: str = "reflect",
    ) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.pooling, self.padding = pooling, padding
        self.convs = tuple(conv for conv in CONVS if f"{conv}.weight" in state)
        for key, value in state.items():
            self.register_buffer(key.replace(".", "__"), value.detach().clone(), persistent=False)
        mean = torch.tensor(normalisation.mean).view(1, 3, 1, 1)
        std = torch.tensor(normalisation.std).view(1, 3, 1, 1)
        self.register_buffer("scale", normalisation.scale / std, persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.compute_dtype = torch.float32

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that this encoder can return, shallow to deep."""
        return tuple(layer for layer in LAYERS if f"conv{layer[4:]}" in self.convs)

    def require(self, layers: Iterable[str], height: int, width: int) -> tuple[str, ...]:
        """Canonical names of ``layers``; raises if one is missing here or the picture is too small."""
        found = tuple(canonical_layer(layer) for layer in layers)
        for layer in found:
            if layer not in self.layers:
                raise RecipeError(
                    f"this encoder's weights end at {self.layers[-1]}, and {layer!r} was asked for",
                    f"possible are {self.layers[0]} … {self.layers[-1]}",
                    "choose a shallower layer or an encoder with more layers",
                )
            stride = geometry(layer).stride
            if min(height, width) < stride:
                raise RecipeError(
                    f"a picture of {width}×{height} pixels is too small for layer {layer!r}",
                    f"the shorter side needs at least {stride} pixels there",
                    "use a larger --size or a shallower layer",
                )
        return found

    def compute_in(self, dtype: torch.dtype) -> Encoder:
        """Run the convolutions in ``dtype``; input, features and gradients stay float32 outside."""
        self.compute_dtype = dtype
        for name, value in self.named_buffers():
            if name.startswith("conv"):
                layout = torch.channels_last if value.dim() == 4 else torch.preserve_format
                setattr(self, name, value.to(dtype=dtype, memory_format=layout))
        return self

    def _parameter(self, name: str, kind: str) -> Tensor:
        return self.get_buffer(f"{name}__{kind}")

    def _normalise(self, image: Tensor) -> Tensor:
        if self.normalisation.order != (0, 1, 2):
            image = image[:, list(self.normalisation.order)]
        return image * self.get_buffer("scale") + self.get_buffer("shift")

    def bytes_per_pixel(self, layers: Iterable[str]) -> float:
        """What features at these layers take before their heads, a pixel of the picture."""
        width = torch.empty((), dtype=self.compute_dtype).element_size()
        channels = {layer: self._parameter(f"conv{layer[4:]}", "weight").shape[0] for layer in layers}
        return sum(width * count / geometry(layer).stride ** 2 for layer, count in channels.items())

    def head(self, layer: str) -> Tensor | None:
        """The linear head behind a layer, (k, c), or None."""
        return getattr(self, f"head__{layer}__weight", None)

    def forward(self, image: Tensor, layers: Iterable[str], *, padding: str | None = None) -> Features:
        """Features of a picture.

        Args:
            image: (N, 3, H, W), float, sRGB, [0, 1].
            layers: canonical names.
            padding: another than the encoder's own for this picture, a key of :data:`PADDINGS`.

        Returns:
            layer → (N, C, H/stride, W/stride), in the order asked.
        """
        wanted = tuple(layers)
        remaining, found = set(wanted), {}
        x = self._normalise(image)
        x = x.to(dtype=self.compute_dtype, memory_format=torch.channels_last)
        for index, conv in enumerate(self.convs):
            if not remaining:
                break
            if index and conv[4] != self.convs[index - 1][4]:
                x = pool(x, self.pooling)
            weight, bias = self._parameter(conv, "weight"), self._parameter(conv, "bias")
            mode = PADDINGS[padding or self.padding][0 if index == 0 else 1]
            x = F.conv2d(pad(x, mode), weight, bias, padding=1 if mode == "zeros" else 0)
            relu = f"relu{conv[4:]}"
            if conv in remaining:
                found[conv] = x
            x = F.relu(x, inplace=conv not in remaining)
            if relu in remaining:
                found[relu] = x
            remaining -= {conv, relu}
        return Features({layer: found[layer] for layer in wanted}, self.head)


def _compact(path: Path | None, pooling: str | None, progress: Progress | None) -> Encoder:
    del progress
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if pooling not in (None, "average"):
        raise RecipeError(
            f"pooling {pooling!r} was asked for with the compact encoder",
            "it was trained with average pooling and works with no other",
            "leave --pooling out or choose --encoder vgg19",
        )
    file = path if path is not None else weight_files.embedded("compact")
    wrong = ""
    try:
        state = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        state, wrong = {}, getattr(error, "strerror", None) or str(error)
    if "conv1_1.weight" not in state or not any(key.startswith("head.") for key in state):
        raise WeightsError(
            f"'{file}' is not a compact encoder: {wrong or 'it has no heads'}",
            "expected the file that `python -m impasto.training` writes",
            "leave --weights out for the embedded one",
        )
    return Encoder({k: v.float() for k, v in state.items()}, CENTRED, pooling="average")


def _vgg19(normalisation: Normalisation, name: str) -> Callable[..., Encoder]:
    def build(path: Path | None, pooling: str | None, progress: Progress | None) -> Encoder:
        state = weight_files.ensure(name, path=path, progress=progress)
        return Encoder(state, normalisation, pooling=pooling or "max")

    return build


#: name → builder(path to weights or None, pooling or None, download progress or None).
ENCODERS: dict[str, Callable[[Path | None, str | None, Progress | None], Encoder]] = {
    "compact": _compact,
    "vgg19": _vgg19(TORCH, "vgg19"),
    "vgg19-original": _vgg19(OXFORD, "vgg19-original"),
}


def load_encoder(
    name: str = "compact",
    *,
    weights: Path | None = None,
    pooling: str | None = None,
    padding: str = "reflect",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> Encoder:
    """Build an encoder by name.

    Args:
        name: a key of :data:`ENCODERS`.
        weights: a file to use instead of the embedded, cached or downloaded one.
        pooling: ``max``, ``average``, ``l2``; None: as the network was trained.
        padding: a key of :data:`PADDINGS`.
        dtype: what the convolutions are computed in.
        progress: called with (bytes so far, bytes in all or None) while weights are fetched.

    Raises:
        RecipeError: unknown name or a pooling the encoder cannot work with.
        WeightsError: weights missing, damaged or of another network.
    """
    if name not in ENCODERS:
        raise RecipeError(f"unknown encoder {name!r}", f"possible are {', '.join(ENCODERS)}")
    if padding not in PADDINGS:
        raise RecipeError(f"unknown padding {padding!r}", f"possible are {', '.join(PADDINGS)}")
    encoder: Any = ENCODERS[name](weights, pooling, progress)
    encoder.padding = padding
    return encoder.to(device).eval().compute_in(dtype)  # type: ignore[no-any-return]
