"""The errors a user can meet: one base class, one line each.

A message says what was got, what is possible and what to do. A mistake of the user's raises one of these and
nothing else, so that nobody sees a traceback for it; the command line prints the line and exits with code 2.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

__all__ = ["ImpastoError", "PictureError", "RecipeError", "VideoError", "WeightsError", "require_extra"]


class ImpastoError(Exception):
    """Base of every error that Impasto raises for something its caller can put right.

    Args:
        got: what is wrong, as a clause ("'cat.jpg' is an HTML page").
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
    """A clip cannot be read, written or resumed."""


class WeightsError(ImpastoError):
    """An encoder's weights are missing, damaged or of another network."""


#: Module → the name that people know it by, where that is another one.
_PACKAGES = {"av": "PyAV", "cv2": "OpenCV", "yaml": "PyYAML", "jinja2": "Jinja"}


def require_extra(extra: str, modules: Iterable[str], what: str, error: type[ImpastoError]) -> None:
    """Raise ``error`` where a module of an optional extra cannot be imported.

    Args:
        extra: its name in ``pip install 'impasto[…]'``.
        modules: names to import.
        what: what needs the extra, for the message: ``the studio``, ``finding faces``.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            package = _PACKAGES.get(module, module)
            raise error(
                f"{what} needs {package}, which is not installed", remedy=f"pip install 'impasto[{extra}]'"
            ) from None
