"""Crops for training, and those that training never sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from impasto.training.data import Crops


def test_held_out_pictures_are_never_trained_on(folders: Path) -> None:
    train, held = Crops(folders / "photos"), Crops(folders / "photos", held_out=True)
    assert len(train.pictures) + len(held.pictures) == 24
    assert 0 < len(held.pictures) < 8
    assert not any(torch.equal(a, b) for a in train.pictures for b in held.pictures)
    crops = train.draw(5, 32, np.random.default_rng(1))
    assert crops.shape == (5, 3, 32, 32)
    assert float(crops.min()) >= 0
    assert float(crops.max()) <= 1
    assert float(crops.std()) > 0.05
