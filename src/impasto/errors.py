"""The errors for users: one base class, one line for each message.

A message says what is wrong, what would be accepted and what to do. Every mistake that a user can make
raises one of these errors, so that nobody sees a traceback for it; the command line prints the line and exits
with code 2.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

__all__ = ["ImpastoError", "PictureError", "RecipeError", "VideoError", "WeightsError", "require_extra"]


class ImpastoError(Exception):
    """Base of the errors that Impasto raises for something that its caller can correct.

    Args:
        got: what is wrong ("'cat.jpg' is an HTML page").
        expected: what would be accepted; may be empty.
        remedy: what to do; may be empty.
    """

    def __init__(self, got: str, expected: str = "", remedy: str = "") -> None:
        parts = [part.strip().rstrip(".") for part in (got, expected, remedy) if part.strip()]
        # One line, even if `got` quotes a library's message of several.
        super().__init__(" ".join("; ".join(parts).split()))
        self.got, self.expected, self.remedy = got, expected, remedy


class PictureError(ImpastoError):
    """A picture cannot be read, used or written."""


class RecipeError(ImpastoError):
    """A setting, or a combination of settings, is not possible."""


class VideoError(ImpastoError):
    """A clip cannot be read, written or resumed."""


class WeightsError(ImpastoError):
    """An encoder's weights are missing, damaged or of another network."""


#: Module → name of the package, where it is another.
_PACKAGES = {
    "av": "PyAV",
    "ray": "Ray",
    "cv2": "OpenCV",
    "yaml": "PyYAML",
    "jinja2": "Jinja",
    "opentelemetry.sdk.trace": "OpenTelemetry's SDK",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter": "OpenTelemetry's OTLP exporter",
}


def require_extra(extra: str, modules: Iterable[str], what: str, error: type[ImpastoError]) -> None:
    """Raise ``error`` if a module of an optional extra cannot be imported.

    Args:
        extra: its name in ``pip install 'impasto[…]'``.
        modules: names of the modules.
        what: what needs the extra, for the message: ``the studio``, ``finding faces``.
        error: class of the error.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            package = _PACKAGES.get(module, module)
            raise error(
                f"{what} needs {package}, which is not installed", remedy=f"pip install 'impasto[{extra}]'"
            ) from None
