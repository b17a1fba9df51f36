"""``InstantStyle``: the statistics of a style for instant transfer, which can be saved and blended."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from impasto.errors import RecipeError, WeightsError
from impasto.feedforward.decoder import CHANNELS, decoder_of, load_decoder
from impasto.feedforward.statistics import (
    BANK_LAYERS,
    BANK_SIZE,
    LEVELS,
    Moments,
    feature_bank,
    feature_moments,
)
from impasto.files import replacing

__all__ = ["MAX_BYTES", "SUFFIX", "InstantStyle", "is_saved_style", "remember", "saved_styles"]

FORMAT = "impasto instant style 1"
#: How the names of saved styles end.
SUFFIX = ".safetensors"
#: Larger files are no saved styles, and are not read.
MAX_BYTES = 8_000_000
#: Number formats that a file may have.
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class InstantStyle:
    """Moments and samples of a style's features, before the encoder's heads.

    Attributes:
        moments: by layer of :data:`~impasto.feedforward.statistics.LEVELS`.
        banks: layer of :data:`~impasto.feedforward.statistics.BANK_LAYERS` → (N, K, C), float32: features of
            the style.
        decoder: weights of a decoder that was trained for this style; None: the general one.
    """

    moments: Mapping[str, Moments]
    banks: Mapping[str, Tensor]
    decoder: Mapping[str, Tensor] | None = None

    @staticmethod
    def blend(styles: Sequence[InstantStyle], weights: Sequence[float] = ()) -> InstantStyle:
        """A mixture of styles: moments average, and each gives its share of the samples.

        The weights of their decoders average too: they were trained from the same general one.

        Args:
            weights: one for each style, at least 0, in relation to each other; empty: all equal.

        Raises:
            RecipeError: not one weight for each style, a negative weight, or none above 0.
        """
        weights = tuple(weights) or (1.0,) * len(styles)
        if len(weights) != len(styles) or not styles or min(weights) < 0 or sum(weights) <= 0:
            raise RecipeError(
                f"{len(weights)} weights for {len(styles)} styles", "one for each, at least one above 0"
            )
        used = [(style, weight) for style, weight in zip(styles, weights, strict=True) if weight > 0]
        if len(used) == 1:
            return used[0][0]
        moments, total = dict(used[0][0].moments), used[0][1]
        for style, weight in used[1:]:
            total += weight
            moments = {k: moments[k].blend(style.moments[k], weight / total) for k in LEVELS}
        # Rounded shares may come to a little more than a bank.
        banks = {
            layer: torch.cat([_share(style.banks[layer], weight / total) for style, weight in used], 1)
            for layer in BANK_LAYERS
        }
        banks = {layer: bank[:, :BANK_SIZE] for layer, bank in banks.items()}
        decoders = [(style.decoder, weight / total) for style, weight in used]
        return InstantStyle(moments, banks, _mean_decoder(decoders))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file of about 0.5 MB, 1.7 MB with a decoder; samples are rounded to float16.

        Raises:
            WeightsError: the file cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        try:
            with replacing(path) as partial:
                save_file(self._tensors(), partial, metadata={"format": FORMAT})
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WeightsError(f"{os.fspath(path)} cannot be written ({reason})") from None

    def _tensors(self) -> dict[str, Tensor]:
        """What a file holds, by name."""
        tensors = {f"{k}.mean": m.mean for k, m in self.moments.items()}
        tensors |= {f"{k}.second": m.second for k, m in self.moments.items()}
        tensors |= {f"{k}.bank": bank.half().contiguous() for k, bank in self.banks.items()}
        return tensors | {f"decoder.{k}": v.half().contiguous() for k, v in (self.decoder or {}).items()}

    @property
    def digest(self) -> str:
        """SHA-256 of all that a file holds: equal for equal styles."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._tensors().items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> InstantStyle:
        """Read what :meth:`save` wrote. A stranger's file does no harm: every tensor in it is checked.

        Raises:
            WeightsError: the file is missing or not a saved style.
        """
        from safetensors import SafetensorError, safe_open

        name = os.fspath(path)
        try:
            if Path(path).stat().st_size > MAX_BYTES:
                raise _not_a_style(name)
            with safe_open(path, "pt") as file:
                kind = (file.metadata() or {}).get("format")
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"the style {name!r} cannot be read ({error})") from None
        if kind != FORMAT:
            raise _not_a_style(name)
        decoder = {k.removeprefix("decoder."): v for k, v in tensors.items() if k.startswith("decoder.")}
        if not _is_sound({k: v for k, v in tensors.items() if not k.startswith("decoder.")}, decoder):
            raise WeightsError(f"the style {name!r} is damaged", remedy="learn or save it again")
        try:
            state = dict(decoder_of(decoder).state_dict()) if decoder else None
        except RuntimeError:
            raise WeightsError(f"{name!r} was learned by another version", remedy="learn it again") from None
        return cls(
            {k: Moments(tensors[f"{k}.mean"].double(), tensors[f"{k}.second"].double()) for k in LEVELS},
            {k: tensors[f"{k}.bank"].float() for k in BANK_LAYERS},
            state,
        )


def _not_a_style(name: str) -> WeightsError:
    return WeightsError(
        f"{name!r} is not a saved style",
        "a file of `impasto learn` or `InstantStyle.save`",
        "give a style picture instead",
    )


def _is_sound(statistics: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> bool:
    """Whether a file has the statistics of one style, of the right shapes, and finite numbers throughout."""
    shapes: dict[str, tuple[int, ...]] = {f"{k}.mean": (1, CHANNELS[k]) for k in LEVELS}
    shapes |= {f"{k}.second": (1, CHANNELS[k], CHANNELS[k]) for k in LEVELS}
    banks = {f"{k}.bank": CHANNELS[k] for k in BANK_LAYERS}
    if statistics.keys() != shapes.keys() | banks.keys():
        return False
    if any(tuple(statistics[name].shape) != shape for name, shape in shapes.items()):
        return False
    for name, channels in banks.items():
        shape = tuple(statistics[name].shape)
        if len(shape) != 3 or (shape[0], shape[2]) != (1, channels) or not 1 <= shape[1] <= BANK_SIZE:
            return False
    values = [*statistics.values(), *decoder.values()]
    return all(value.dtype in DTYPES and bool(value.isfinite().all()) for value in values)


def is_saved_style(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether a style is the path of a file that ``InstantStyle.save`` writes, by its ending."""
    return isinstance(source, (str, os.PathLike)) and os.fspath(source).lower().endswith(SUFFIX)


def saved_styles(sources: Sequence[object], method: str) -> tuple[InstantStyle, ...]:
    """The styles if they are saved ones, loaded; empty if they are pictures.

    Args:
        sources: each a picture of any kind, an :class:`InstantStyle`, or a path.
        method: of the recipe.

    Raises:
        RecipeError: some are saved styles and some pictures, or the method cannot use saved ones.
        WeightsError: a file is missing or not a saved style.
    """
    loaded = [InstantStyle.load(source) if is_saved_style(source) else source for source in sources]
    saved = tuple(source for source in loaded if isinstance(source, InstantStyle))
    if saved and (method != "instant" or len(saved) < len(loaded)):
        raise RecipeError(
            "a saved style among style pictures, or with method 'optimise'",
            "saved styles alone, with method 'instant'",
            "choose the preset instant",
        )
    return saved


def _mean_decoder(
    decoders: Sequence[tuple[Mapping[str, Tensor] | None, float]],
) -> dict[str, Tensor] | None:
    """The weighted mean of decoders' weights, with the general one in place of None; None if all are."""
    if all(state is None for state, _ in decoders):
        return None
    general = load_decoder().state_dict()
    return {
        name: torch.stack([(state or general)[name] * share for state, share in decoders]).sum(0)
        for name in general
    }


def _share(bank: Tensor, share: float) -> Tensor:
    """Rows of a bank (N, K, C) from all over it, because that of a blend has one style after the other."""
    count = max(1, round(share * bank.shape[1]))
    return bank[:, torch.arange(count) * bank.shape[1] // count]


def remember(features: Mapping[str, Tensor], generator: torch.Generator | None = None) -> InstantStyle:
    """The statistics of a batch of style pictures.

    Args:
        features: layer of ``LEVELS`` → (N, C, H, W), before the encoder's heads, of whole pictures.
        generator: of the random positions of the samples; None: always the same.
    """
    return InstantStyle(
        {layer: feature_moments(features[layer]) for layer in LEVELS},
        {layer: feature_bank(features[layer], generator=generator) for layer in BANK_LAYERS},
    )
