"""Fixtures for all tests. One thread: tiny tensors gain nothing from two, and sums keep their order."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fakes import tiny_encoder
from impasto.networks.encoder import Encoder
from impasto.pieces import local
from impasto.studio.sandbox import isolation

ROOT = Path(__file__).resolve().parents[1]
pytest.register_assert_rewrite("browsing", "built_site")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: looking for garbage in it takes seconds, now and during the tests."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(previous)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forked from the process that has PyTorch loaded, for tests that are not about their start.

    Each worker that is started afresh, as the program does, imports for three seconds.
    """
    stand_in = SimpleNamespace(get_context=lambda _: isolation._context())
    monkeypatch.setattr(local, "multiprocessing", stand_in)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts of studies are made but not drawn, which takes seconds, for tests that do not look at them."""
    monkeypatch.setattr(
        "impasto.reporting.charts._save", lambda figure, data, **_: data.write(b"<svg></svg>")
    )


@pytest.fixture
def tiny() -> Encoder:
    """The tiny encoder, float32, average pooling."""
    return tiny_encoder()


@pytest.fixture
def tiny64() -> Encoder:
    """The tiny encoder in float64, for comparison to many digits."""
    return tiny_encoder(dtype=torch.float64)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of other people's pictures and weights, beside the repository and never inside it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared here: it holds other people's weights and pictures")
    return folder
