"""The embedded networks as models, and how a model is run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.export.models import ModelBuilder
from impasto.networks.registry import load_encoder

#: Runs a model: inputs by name → outputs by name.
Run = Callable[..., dict[str, torch.Tensor]]


@pytest.fixture(scope="session")
def builder() -> ModelBuilder:
    return ModelBuilder(load_encoder(), load_decoder())


@pytest.fixture(scope="session")
def run() -> Run:
    def run_model(model: onnx.ModelProto, **inputs: torch.Tensor | np.ndarray) -> dict[str, torch.Tensor]:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        values = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, map(torch.from_numpy, session.run(None, values)), strict=True))

    return run_model
