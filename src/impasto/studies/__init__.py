"""Studies: many runs that differ in a few settings, measured and laid side by side.

>>> from impasto.studies import conduct, named
>>> conduct(named.layers("photograph:chelsea", of="content"), folder)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.studies.conduct import conduct
    from impasto.studies.plan import Axis, Plan, Value

__all__ = ["Axis", "Plan", "Value", "conduct"]

_HOME = {"Axis": "plan", "Plan": "plan", "Value": "plan", "conduct": "conduct"}


def __getattr__(name: str) -> Any:
    """Load on first use: `impasto --help` imports the commands and waits for nothing else."""
    if name not in _HOME:
        raise AttributeError(f"module 'impasto.studies' has no attribute {name!r}")
    return getattr(import_module(f"impasto.studies.{_HOME[name]}"), name)
