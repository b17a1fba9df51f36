"""Writes the models of instant transfer to files, and compares what they compute with PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import WeightsError
from impasto.feedforward.export.models import ModelBuilder, bank_positions
from impasto.feedforward.export.transfer import bank_coordinates
from impasto.feedforward.network import InstantNetwork, StyledRegion
from impasto.feedforward.statistics import BANK_LAYERS, LEVELS, feature_moments
from impasto.feedforward.style import InstantStyle
from impasto.files import write_atomically
from impasto.pictures.geometry import Size

__all__ = ["PARTS", "difference", "part_path", "session", "write_parts", "write_whole"]

#: The models into which instant transfer is divided, in the order of their use.
PARTS = ("statistics", "maps", "painting")
#: Size of the pictures with which a file of free sizes is tried.
TRIAL_SIZE = (96, 128)


def part_path(path: Path, part: str) -> Path:
    """``instant.onnx`` → ``instant-maps.onnx``."""
    return path.with_name(f"{path.stem}-{part}{path.suffix}")


def write_whole(
    path: str | os.PathLike[str],
    builder: ModelBuilder,
    *,
    size: Size | None = None,
    style_size: Size | None = None,
    style: InstantStyle | None = None,
) -> float:
    """Write encoder, map and decoder as one file.

    Args:
        size, style_size, style: as :meth:`ModelBuilder.whole`.

    Returns:
        The largest difference from PyTorch in a trial, in pixel values of [0, 1].

    Raises:
        WeightsError: the file cannot be written.
    """
    _write(Path(path), builder.whole(size, style_size, style))
    content, style_picture = _trial_pictures(size, style_size)
    inputs = {"picture": content, "strength": torch.ones(1)}
    if style is not None:
        return _gap(builder, _run(Path(path), inputs)["painted"], content, style)
    painted = _run(Path(path), inputs | {"style": style_picture})["painted"]
    return difference(builder, painted, content, style_picture, free_style=style_size is None)


def write_parts(
    path: str | os.PathLike[str], builder: ModelBuilder, *, size: Size | None = None
) -> tuple[list[Path], float]:
    """Write statistics, maps and painting as three files beside ``path``, named by :func:`part_path`.

    Args:
        size: as :meth:`ModelBuilder.painting`.

    Returns:
        The files, and the largest difference as for :func:`write_whole`.

    Raises:
        WeightsError: a file cannot be written.
    """
    files = [part_path(Path(path), part) for part in PARTS]
    models = (builder.statistics(), builder.maps(), builder.painting(size))
    for file, model in zip(files, models, strict=True):
        _write(file, model)
    content, style = _trial_pictures(size, None)
    painted = _run_parts(files, content, style)
    return files, difference(builder, painted, content, style, free_style=False)


def difference(
    builder: ModelBuilder, painted: Tensor, content: Tensor, style: Tensor, *, free_style: bool
) -> float:
    """The largest difference of a painted picture from the one that PyTorch paints.

    Args:
        free_style: whether the model's style has a free size, and its bank the positions for that.
    """
    network = InstantNetwork(builder.encoder, builder.decoder)
    remembered = _free_size_style(builder, style) if free_style else network.remember(style, tile=None)
    return _gap(builder, painted, content, remembered)


def _gap(builder: ModelBuilder, painted: Tensor, content: Tensor, style: InstantStyle) -> float:
    network = InstantNetwork(builder.encoder, builder.decoder)
    expected = network.paint(content, [StyledRegion(style)], seed=builder.seed, tile=None)
    return float((painted - expected).abs().max())


@torch.no_grad()
def _free_size_style(builder: ModelBuilder, style: Tensor) -> InstantStyle:
    """The style (1, 3, H, W) as models of free sizes remember it; sides are multiples of 8."""
    raw = builder.encoder(style, LEVELS).raw
    banks = {}
    for layer in BANK_LAYERS:
        height, width = raw[layer].shape[-2:]
        places = (bank_coordinates() * torch.tensor([width, height])).long()
        banks[layer] = raw[layer][:, :, places[:, 1], places[:, 0]].mT
    return InstantStyle({layer: feature_moments(raw[layer]) for layer in LEVELS}, banks)


def session(path: Path) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU."""
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _run(path: Path, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """A model's outputs by name."""
    model = session(path)
    results = model.run(None, {name: value.numpy() for name, value in inputs.items()})
    names = [output.name for output in model.get_outputs()]
    return {name: torch.from_numpy(value) for name, value in zip(names, results, strict=True)}


def _run_parts(files: Sequence[Path], content: Tensor, style: Tensor) -> Tensor:
    """The painted picture, by one model after the other."""
    of_content, of_style = (
        _run(files[0], {"picture": x, "weights": torch.ones_like(x[:, :1])} | _positions(x))
        for x in (content, style)
    )
    moments = {
        f"{of}_{kind}_{layer}": statistics[f"{kind}_{layer}"]
        for of, statistics in (("content", of_content), ("style", of_style))
        for kind in ("mean", "covariance")
        for layer in LEVELS
    }
    inputs = _run(files[1], moments)
    inputs |= {f"bank_{layer}": of_style[f"bank_{layer}"] for layer in BANK_LAYERS}
    inputs |= {f"style_mean_{layer}": of_style[f"mean_{layer}"] for layer in BANK_LAYERS}
    given = {"picture": content, "strength": torch.ones(1), "position": torch.zeros(2, dtype=torch.int64)}
    return _run(files[2], inputs | given)["painted"]


def _positions(picture: Tensor) -> dict[str, Tensor]:
    """Where a picture (1, 3, H, W) is sampled, as inputs of the model of statistics."""
    height, width = picture.shape[-2:]
    return {f"positions_{k}": torch.from_numpy(bank_positions((height, width), k)) for k in BANK_LAYERS}


def _trial_pictures(size: Size | None, style_size: Size | None) -> tuple[Tensor, Tensor]:
    """A content and a style of soft random colours."""
    generator = torch.Generator().manual_seed(0)
    coarse = [torch.rand(1, 3, side, side, generator=generator) for side in (6, 24)]
    sizes = [size or TRIAL_SIZE, style_size or TRIAL_SIZE]
    content, style = (
        F.interpolate(x, s, mode="bilinear", align_corners=False) for x, s in zip(coarse, sizes, strict=True)
    )
    return content, style


def _write(path: Path, model: onnx.ModelProto) -> None:
    try:
        write_atomically(path, model.SerializeToString())
    except OSError as error:
        raise WeightsError(f"'{path}' cannot be written ({error.strerror or error})") from None
