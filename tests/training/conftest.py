"""Pictures to train on and a teacher, both small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fakes import tiny_state
from impasto import pictures
from impasto.networks.encoder import CENTRED
from impasto.training.teacher import Teacher


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and paintings: smooth random pictures, 24 each."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for kind, cells in (("photos", 5), ("paintings", 12)):
        (root / kind).mkdir()
        for i in range(24):
            coarse = torch.from_numpy(rng.random((1, 3, cells, cells), dtype=np.float32))
            picture = torch.nn.functional.interpolate(coarse, (64, 72), mode="bicubic").clamp(0, 1)
            pictures.save(root / kind / f"{kind}-{i}.png", picture)
    return root


@pytest.fixture(scope="session")
def teacher() -> Teacher:
    return Teacher(tiny_state(), normalisation=CENTRED)
