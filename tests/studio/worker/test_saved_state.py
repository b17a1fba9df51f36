"""The saved state of a picture in progress."""

from __future__ import annotations

from pathlib import Path

import torch

from impasto.painting.engine import Progress
from impasto.studio.worker.saved_state import load_state, save_state


def test_a_state_is_read_as_it_was_saved(tmp_path: Path) -> None:
    state = Progress(1, 7, 57, torch.rand(1, 3, 8, 8))
    save_state(state, tmp_path / "state.safetensors")
    loaded = load_state(tmp_path / "state.safetensors")
    assert loaded is not None
    assert (loaded.scale, loaded.iteration, loaded.evaluations) == (1, 7, 57)
    assert torch.equal(loaded.picture, state.picture)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_state_that_is_missing_or_damaged_is_none(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"half")
    assert load_state(tmp_path / "state.safetensors") is None
    assert load_state(tmp_path / "none.safetensors") is None
