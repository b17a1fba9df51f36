"""The errors a user can meet: one base class, one line each.

A message says what was got, what is possible and what to do. Nothing else in the package may reach a
user as a traceback for a mistake of theirs; the command line turns these into one line and exit code 2.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

__all__ = ["ImpastoError", "PictureError", "RecipeError", "VideoError", "WeightsError", "require_extra"]


class ImpastoError(Exception):
    """Base of every error that Impasto raises for something its caller can mend.

    Args:
        got: what was found, as a clause ("'cat.jpg' is an HTML page").
        expected: what would have been accepted.
        remedy: what to do now.
    """

    def __init__(self, got: str, expected: str = "", remedy: str = "") -> None:
        parts = [part.strip().rstrip(".") for part in (got, expected, remedy) if part.strip()]
        # One line, whatever an inner library's message contained.
        super().__init__(" ".join("; ".join(parts).split()))
        self.got, self.expected, self.remedy = got, expected, remedy


class PictureError(ImpastoError):
    """A picture file, or a place to write one, cannot be used."""


class RecipeError(ImpastoError):
    """A setting, or a combination of settings, makes no sense."""


class VideoError(ImpastoError):
    """A clip cannot be read, written or gone on with."""


class WeightsError(ImpastoError):
    """An encoder's weights are missing, damaged or of another network."""


def require_extra(extra: str, modules: Iterable[str], what: str, error: type[ImpastoError]) -> None:
    """Raise ``error``, one line instead of a traceback, where a module of an optional extra is missing.

    Args:
        extra: its name in ``pip install 'impasto[…]'``.
        what: what needs it, with its article: ``the studio``.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            raise error(
                f"{what} needs {module!r}, which is not installed", remedy=f"pip install 'impasto[{extra}]'"
            ) from None
