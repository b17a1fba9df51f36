"""A VGG-shaped network as an encoder: picture → ``{layer: features}``.

Both published trainings of VGG-19 and the compact network distilled from it share one architecture: five
blocks of 3×3 convolutions, with a 2×2 pooling between blocks. They differ in the number of channels, the
normalisation of the input, and whether linear heads follow the layers. ``registry.py`` builds them by name.

The heads make ``compact`` a substitute for VGG-19. If the features f of the large network are predicted
linearly from the features s of the small one, f ≈ W s, then the Gram matrix in the large network's space is
W G Wᵀ, and every Euclidean comparison in that space, of features or of Gram matrices, equals the same
comparison of R s, where RᵀR = WᵀW. R is square and small, so only R is stored. Hence distances at
``relu3_1`` of ``compact`` approximate those at relu3_1 of VGG-19, with fewer channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.errors import RecipeError
from impasto.networks.layers import (
    CONVS,
    LAYERS,
    activation_of,
    block_of,
    canonical_layer,
    convolution_of,
    geometry,
)
from impasto.networks.operations import Packed, Slopes, convolve, packed, pool

__all__ = [
    "CENTRED",
    "OXFORD",
    "PADDINGS",
    "TORCH",
    "Encoder",
    "Features",
    "Normalisation",
]


@dataclass(frozen=True)
class Normalisation:
    """How a network's input is made from a picture in RGB, [0, 1]: ``(x[order] · scale − mean) / std``."""

    order: tuple[int, int, int]
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


#: Oxford's training (Caffe): BGR, 0–255, mean subtracted.
OXFORD = Normalisation((2, 1, 0), 255.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
#: PyTorch's training: RGB in [0, 1], ImageNet's mean and standard deviation.
TORCH = Normalisation((0, 1, 2), 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: The compact network: RGB in [-1, 1].
CENTRED = Normalisation((0, 1, 2), 2.0, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))


#: Name → padding of the first convolution, and that of all others.
PADDINGS: dict[str, tuple[str, str]] = {
    "reflect": ("reflect", "reflect"),
    "circular": ("circular", "circular"),
    "replicate": ("replicate", "zeros"),
    "zeros": ("zeros", "zeros"),
}


class Features(Mapping[str, Tensor]):
    """Features by layer: float32 (float64 if computed in it), after the encoder's heads.

    ``features["relu3_1"]`` is (1, C, H, W). A layer is converted, and its head applied, when it is first
    read. Statistics that are quadratic in the features need neither: the Gram matrix after a head R is
    R G Rᵀ, where G is the Gram matrix of the raw features.

    Args:
        raw: layer → (1, c, H, W) before the head, in the precision of the computation.
        head: layer → its linear head (C, c), or None.
        slopes: layer → what holds its derivatives back; a layer that has none is differentiated by autograd
            in its own order.
    """

    def __init__(
        self,
        raw: Mapping[str, Tensor],
        head: Callable[[str], Tensor | None] = lambda layer: None,
        slopes: Mapping[str, Slopes] | None = None,
    ) -> None:
        self.raw, self._head, self.slopes = raw, head, slopes or {}
        self._converted: dict[str, Tensor] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self._converted:
            raw, head, slopes = self.raw[layer], self.head(layer), self.slopes.get(layer)
            raw = raw if slopes is None else slopes.held(raw)
            value = raw if raw.dtype is torch.float64 else raw.float()
            self._converted[layer] = value if head is None else _projected(value, head.to(value))
        return self._converted[layer]

    def head(self, layer: str) -> Tensor | None:
        """The linear head that follows a layer, (C, c), or None."""
        return self._head(layer)

    def is_projected(self, layer: str) -> bool:
        """Whether the layer has been read, so that its features after the head are already computed."""
        return layer in self._converted

    def cut(self, places: Mapping[str, tuple[slice, slice]]) -> Features:
        """Crop each layer to its rows and columns; ``places``: layer → (rows, columns)."""
        parts = {layer: _crop(x, *places[layer]) for layer, x in self.raw.items()}
        return self if all(parts[k] is x for k, x in self.raw.items()) else Features(parts, self._head)


def _projected(features: Tensor, head: Tensor) -> Tensor:
    """A linear head (C, c) applied to features (N, c, H, W) at each position: a 1×1 convolution.

    As a product of matrices, because PyTorch computes such a convolution slowly in float32 on one thread.
    """
    return F.linear(features.permute(0, 2, 3, 1), head).permute(0, 3, 1, 2)


def _crop(features: Tensor, rows: slice, columns: slice) -> Tensor:
    """Crop features (N, C, H, W); they are returned uncopied if the crop is all of them."""
    height, width = features.shape[-2:]
    if (rows.stop - rows.start, columns.stop - columns.start) == (height, width):
        return features
    # Negative padding, because the gradient of a slice would lose the channels_last layout.
    return F.pad(features, (-columns.start, columns.stop - width, -rows.start, rows.stop - height))


class Encoder(nn.Module):
    """A VGG-shaped network that returns named features of a picture.

    Args:
        state: ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` (out,) and so on, for consecutive
            layers from conv1_1 on, and optionally ``head.relu3_1.weight`` (C, c) for linear heads.
        normalisation: what the network expects of its input.
        pooling: ``max``, ``average`` or ``l2``.
        padding: how convolutions continue the picture beyond its edge, a key of :data:`PADDINGS`.

    Differs from VGG-19, which pads with zeros in every layer: the zeros look like a dark outline around every
    picture, which optimisation then paints. Reflection in every layer leaves the cleanest borders.
    Replication in the first layer alone, as in style-transfer-pytorch, counts the outermost pixels twice and
    leaves a coloured fringe one pixel wide.
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
        self._packed: dict[str, Packed | None] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.get_buffer("scale").device

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that this encoder can return, shallow to deep."""
        return tuple(layer for layer in LAYERS if convolution_of(layer) in self.convs)

    def require(self, layers: Iterable[str], height: int, width: int) -> tuple[str, ...]:
        """Canonical names of ``layers``, after a check that they can be computed for a picture of that size.

        Raises:
            RecipeError: an unknown layer, one that this encoder does not have, or a picture too small for it.
        """
        names = tuple(canonical_layer(layer) for layer in layers)
        for layer in names:
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
        return names

    def compute_in(self, dtype: torch.dtype) -> Encoder:
        """Run the convolutions in ``dtype``; pictures and their gradients keep their dtype. Returns self."""
        self.compute_dtype = dtype
        for name, value in self.named_buffers():
            if name.startswith("conv"):
                layout = torch.channels_last if value.dim() == 4 else torch.preserve_format
                setattr(self, name, value.to(dtype=dtype, memory_format=layout))
        self._packed = {conv: packed(self._parameter(conv, "weight")) for conv in self.convs}
        return self

    def _parameter(self, name: str, kind: str) -> Tensor:
        return self.get_buffer(f"{name}__{kind}")

    def _normalise(self, image: Tensor) -> Tensor:
        if self.normalisation.order != (0, 1, 2):
            image = image[:, list(self.normalisation.order)]
        return image * self.get_buffer("scale") + self.get_buffer("shift")

    def bytes_per_pixel(self, layers: Iterable[str]) -> float:
        """Bytes that the raw features at these layers take per pixel of the picture."""
        value_bytes = self.compute_dtype.itemsize
        return sum(value_bytes * self.channels(layer) / geometry(layer).stride ** 2 for layer in layers)

    def channels(self, layer: str) -> int:
        """Number of channels of a layer before its head."""
        return self._parameter(convolution_of(layer), "weight").shape[0]

    def head(self, layer: str) -> Tensor | None:
        """The linear head that follows a layer, (C, c), or None."""
        return getattr(self, f"head__{layer}__weight", None)

    def forward(
        self, image: Tensor, layers: Iterable[str], *, padding: str | None = None, sparing: bool = False
    ) -> Features:
        """Features of a picture.

        Args:
            image: (N, 3, H, W), float, sRGB, [0, 1].
            layers: canonical names.
            padding: replaces the encoder's padding for this picture, a key of :data:`PADDINGS`.
            sparing: whether statistics may hold their derivatives back, see :class:`Slopes`. That takes less
                memory, but then only the picture has a gradient, and its features seem to have none.

        Returns:
            layer → (N, C, H/stride, W/stride), in the order of ``layers``.
        """
        requested = tuple(layers)
        remaining, raw, slopes = set(requested), {}, dict[str, Slopes]()
        halved = False
        x = self._normalise(image)
        x = x.to(dtype=self.compute_dtype, memory_format=torch.channels_last)
        for index, conv in enumerate(self.convs):
            if not remaining:
                break
            if not halved and index and block_of(conv) != block_of(self.convs[index - 1]):
                x = pool(x, self.pooling, slopes.get(activation_of(self.convs[index - 1])))
            weight, bias = self._parameter(conv, "weight"), self._parameter(conv, "bias")
            border = PADDINGS[padding or self.padding][0 if index == 0 else 1]
            activation = activation_of(conv)
            arranged = self._packed.get(conv)
            if sparing and activation in remaining and conv not in remaining:
                slopes[activation] = Slopes()
            halved = self._halved_unseen(index, remaining)
            x = convolve(
                x,
                weight,
                bias,
                border,
                relu=conv not in remaining,
                arranged=arranged,
                halved=halved,
                slopes=slopes.get(activation),
            )
            if conv in remaining:
                raw[conv] = x
                x = F.relu(x)
            if activation in remaining:
                raw[activation] = x
            remaining -= {conv, activation}
        return Features({layer: raw[layer] for layer in requested}, self.head, slopes)

    def _halved_unseen(self, index: int, remaining: set[str]) -> bool:
        """Whether a convolution's result is only wanted after average pooling."""
        conv, following = self.convs[index], self.convs[index + 1 : index + 2]
        return (
            self.pooling == "average"
            and any(block_of(after) != block_of(conv) for after in following)
            and not {conv, activation_of(conv)} & remaining
        )
