"""Studies: many runs that differ in a few settings, measured and shown side by side.

>>> from impasto.studies import named, run_study
>>> run_study(named.layers("photograph:chelsea", of="content"), folder)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.studies.plan import Axis, StudyPlan, Value
    from impasto.studies.runner import run_study

__all__ = ["Axis", "StudyPlan", "Value", "run_study"]

_MODULES = {"Axis": "plan", "StudyPlan": "plan", "Value": "plan", "run_study": "runner"}


def __getattr__(name: str) -> Any:
    """Import on first use, because `impasto --help` imports this package and should not wait for the rest."""
    if name not in _MODULES:
        raise AttributeError(f"module 'impasto.studies' has no attribute {name!r}")
    return getattr(import_module(f"impasto.studies.{_MODULES[name]}"), name)
