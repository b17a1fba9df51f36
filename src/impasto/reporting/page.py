"""HTML pages from templates that extend ``base.html.jinja``. Needs the extra ``impasto[studies]``."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

__all__ = ["data_uri", "render"]


def render(package: str, template: str, **values: Any) -> str:
    """A page: one file without any link outside itself.

    Args:
        package: where the template lies, as ``impasto.video``.
        values: for the template. They are escaped, unless it says ``|safe``.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("impasto.reporting", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def data_uri(data: bytes, media_type: str) -> str:
    """A file's content as a link that needs no file. Media types: ``image/png``, ``video/mp4``, …"""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
