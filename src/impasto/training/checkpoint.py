"""Checkpoints of training."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from impasto.errors import WeightsError
from impasto.files import replacing

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write ``checkpoint.pt``, to resume from, whole or not at all; the folder is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "checkpoint.pt") as partial:
        torch.save(state, partial)


def read_checkpoint(folder: Path, keys: Sequence[str], device: torch.device | str = "cpu") -> dict[str, Any]:
    """What :func:`write_checkpoint` wrote.

    Args:
        keys: what it must hold.

    Raises:
        WeightsError: there is none, it is damaged, or one of other training.
    """
    reason = "it is one of other training"
    try:
        state = torch.load(folder / "checkpoint.pt", weights_only=True, map_location=device)
        if isinstance(state, dict) and state.keys() >= set(keys):
            return state
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, pickle.UnpicklingError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or "it is damaged"
    raise WeightsError(
        f"no checkpoint to resume from in '{folder}' ({reason})",
        remedy="leave --resume out to begin anew",
    )
