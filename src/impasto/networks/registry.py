"""The encoders by name, and how each is built.

To add an encoder, write a function (path, pooling) → encoder, add it to :data:`ENCODERS`, and add its name to
``Recipe.encoder``. An encoder of VGG's shape needs only weights and a
:class:`~impasto.networks.encoder.Normalisation`. One of another architecture needs a class with the methods
of :class:`~impasto.networks.encoder.Encoder` (``layers``, ``require``, ``forward``, ``head`` …).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from impasto.errors import RecipeError, WeightsError
from impasto.networks import weights as weight_files
from impasto.networks.encoder import CENTRED, OXFORD, PADDINGS, TORCH, Encoder, Normalisation

__all__ = ["ENCODERS", "EncoderBuilder", "load_encoder"]

#: (file of weights, or None for the default; pooling, or None for that of the training) → encoder.
EncoderBuilder = Callable[["Path | None", "str | None"], Encoder]


def _compact(path: Path | None, pooling: str | None) -> Encoder:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    file = path.expanduser() if path is not None else weight_files.embedded("compact")
    problem, trained_with = "it has no heads", "average"
    try:
        with safe_open(file, "pt") as opened:
            trained_with = (opened.metadata() or {}).get("pooling", trained_with)
        state = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        state, problem = {}, getattr(error, "strerror", None) or str(error)
    if "conv1_1.weight" not in state or not any(key.startswith("head.") for key in state):
        raise WeightsError(
            f"'{file}' is not a compact encoder: {problem}",
            "expected the file that `python -m impasto.training` writes",
            "leave --weights out for the embedded one",
        )
    if pooling not in (None, trained_with):
        raise RecipeError(
            f"pooling {pooling!r} was asked for with the compact encoder",
            f"it was trained with {trained_with} pooling and works with no other",
            "leave --pooling out or choose --encoder vgg19",
        )
    return Encoder({k: v.float() for k, v in state.items()}, CENTRED, pooling=trained_with)


def _vgg19(name: str, normalisation: Normalisation) -> EncoderBuilder:
    def build(path: Path | None, pooling: str | None) -> Encoder:
        return Encoder(weight_files.ensure(name, path=path), normalisation, pooling=pooling or "max")

    return build


ENCODERS: dict[str, EncoderBuilder] = {
    "compact": _compact,
    "vgg19": _vgg19("vgg19", TORCH),
    "vgg19-original": _vgg19("vgg19-original", OXFORD),
}


def load_encoder(
    name: str = "compact",
    *,
    weights: Path | None = None,
    pooling: str | None = None,
    padding: str = "reflect",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Encoder:
    """Build an encoder by name. Progress of a download is reported in bytes (:mod:`impasto.progress`).

    Args:
        name: a key of :data:`ENCODERS`.
        weights: a file to use instead of the embedded, cached or downloaded one.
        pooling: ``max``, ``average`` or ``l2``; None: as the network was trained.
        padding: a key of :data:`~impasto.networks.encoder.PADDINGS`.
        dtype: number format of the convolutions.

    Raises:
        RecipeError: an unknown name or padding, or a pooling that the encoder does not support.
        WeightsError: the weights are missing, damaged or of another network.
    """
    if name not in ENCODERS:
        raise RecipeError(f"unknown encoder {name!r}", f"possible are {', '.join(ENCODERS)}")
    if padding not in PADDINGS:
        raise RecipeError(f"unknown padding {padding!r}", f"possible are {', '.join(PADDINGS)}")
    encoder = ENCODERS[name](weights, pooling)
    encoder.padding = padding
    return encoder.to(device).eval().compute_in(dtype)
