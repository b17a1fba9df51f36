"""``InstantStyle``: the statistics of a style for instant transfer, which can be saved and blended."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import RecipeError, WeightsError
from impasto.feedforward.decoder import decoder_of, load_decoder
from impasto.feedforward.statistics import BANK_LAYERS, LEVELS, Moments, feature_bank, feature_moments
from impasto.files import replacing

__all__ = ["InstantStyle", "remember"]

FORMAT = "impasto instant style 1"


@dataclass(frozen=True)
class InstantStyle:
    """Moments and samples of a style's features, before the encoder's heads.

    Attributes:
        moments: by layer of :data:`~impasto.feedforward.statistics.LEVELS`.
        banks: layer of :data:`~impasto.feedforward.statistics.BANK_LAYERS` → (N, K, C), float32: features of
            the style in random order.
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
        banks = {
            layer: torch.cat([_share(style.banks[layer], weight / total) for style, weight in used], 1)
            for layer in BANK_LAYERS
        }
        decoders = [(style.decoder, weight / total) for style, weight in used]
        return InstantStyle(moments, banks, _mean_decoder(decoders))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file of about 0.7 MB, 1.9 MB with a decoder; samples are rounded to float16.

        Raises:
            WeightsError: the file cannot be written.
        """
        from safetensors.torch import save_file

        tensors = {f"{k}.mean": m.mean for k, m in self.moments.items()}
        tensors |= {f"{k}.second": m.second for k, m in self.moments.items()}
        tensors |= {f"{k}.bank": bank.half().contiguous() for k, bank in self.banks.items()}
        tensors |= {f"decoder.{k}": value.half().contiguous() for k, value in (self.decoder or {}).items()}
        try:
            with replacing(path) as partial:
                save_file(tensors, partial, metadata={"format": FORMAT})
        except OSError as error:
            raise WeightsError(f"{os.fspath(path)} cannot be written ({error.strerror or error})") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> InstantStyle:
        """Read what :meth:`save` wrote.

        Raises:
            WeightsError: the file is missing or not a saved style.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                kind = (file.metadata() or {}).get("format")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"the style {os.fspath(path)!r} cannot be read ({error})") from None
        if kind != FORMAT:
            raise WeightsError(
                f"{os.fspath(path)!r} is not a saved style",
                "a file that InstantStyle.save wrote",
                "give a style picture instead",
            )
        decoder = {k.removeprefix("decoder."): v for k, v in tensors.items() if k.startswith("decoder.")}
        try:
            state = dict(decoder_of(decoder).state_dict()) if decoder else None
        except RuntimeError:
            raise WeightsError(
                f"{os.fspath(path)!r} was learned by another version", remedy="learn it again"
            ) from None
        return cls(
            {k: Moments(tensors[f"{k}.mean"], tensors[f"{k}.second"]) for k in LEVELS},
            {k: tensors[f"{k}.bank"].float() for k in BANK_LAYERS},
            state,
        )


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
    """The first ``share`` of a bank (N, K, C): a random sample, because the bank's order is random."""
    return bank[:, : max(1, round(share * bank.shape[1]))]


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
