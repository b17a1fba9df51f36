"""Batches: many contents in the manner of one or many styles, each picture once, whatever interrupts them.

>>> from impasto.batch import run_batch
>>> run_batch(["holiday/"], ["wave.jpg", "oil.jpg"], "painted")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.batch.runner import BatchOutcome, BatchProgress, run_batch

__all__ = ["BatchOutcome", "BatchProgress", "run_batch"]


def __getattr__(name: str) -> Any:
    """Import on first use, because the command line imports this package and should not wait for PyTorch."""
    if name not in __all__:
        raise AttributeError(f"module 'impasto.batch' has no attribute {name!r}")
    return getattr(import_module("impasto.batch.runner"), name)
