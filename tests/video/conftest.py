"""A clip, a style, and jobs that load the tiny encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from clips import moving_square, texture, write_clip
from fakes import tiny_encoder
from impasto.painting import setup


@pytest.fixture
def tiny_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every job of this process use the tiny encoder."""
    monkeypatch.setattr(setup, "load_encoder", lambda *_, **__: tiny_encoder())


@pytest.fixture
def style(tmp_path: Path) -> Path:
    path = tmp_path / "style.png"
    Image.fromarray(texture(64, 64, 7)).save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three frames of 96 × 64 pixels with sound."""
    return write_clip(tmp_path / "in.mp4", moving_square(3), codec="libx264", pix_fmt="yuv420p", audio=True)
