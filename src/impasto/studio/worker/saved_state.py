"""The saved state of a picture in progress, from which a worker resumes what an earlier one began."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from impasto.files import replacing
from impasto.painting.engine import Progress

__all__ = ["load_state", "save_state"]

_COUNTS = ("scale", "iteration", "evaluations")


def save_state(state: Progress, path: Path) -> None:
    """Write the state, whole or not at all."""
    metadata = {name: str(getattr(state, name)) for name in _COUNTS}
    with replacing(path) as partial:
        save_file({"picture": state.picture.detach().cpu().contiguous()}, partial, metadata=metadata)


def load_state(path: Path) -> Progress | None:
    """The saved state; None if there is none that can be read."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            counts = {name: int(metadata[name]) for name in _COUNTS}
            return Progress(**counts, picture=file.get_tensor("picture"))
    except (FileNotFoundError, SafetensorError, KeyError, ValueError):
        return None
