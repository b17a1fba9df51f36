"""HTML pages from templates that extend ``base.html.jinja``. Needs the extra ``impasto[studies]``."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

__all__ = ["data_uri", "render"]


def render(package: str, template: str, **values: Any) -> str:
    """Render a template to an HTML page.

    Args:
        package: the package that contains the template, such as ``impasto.video``.
        template: name of the template's file in that package.
        values: variables of the template. They are escaped, except where it says ``|safe``.
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
    """The content of a file as a ``data:`` URI. Media types: ``image/png``, ``video/mp4``, …"""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
