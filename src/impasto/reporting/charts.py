"""Charts in a common style, as SVG to embed in a page. Needs the extra ``impasto[studies]``."""

from __future__ import annotations

import io
import re
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

__all__ = ["CHART_STYLE", "COLOURS", "for_page", "inline_svg"]

#: Colours after Okabe and Ito, which people with colour blindness can tell apart too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333", "#B8A800")

#: Draw inside ``rc_context(CHART_STYLE)``.
CHART_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e8",
    "axes.axisbelow": True,
    "svg.fonttype": "path",  # text looks the same where DejaVu is not installed
    "svg.hashsalt": "impasto",  # the same numbers give the same file
}


def inline_svg(figure: Figure) -> str:
    """A figure as an SVG element, as :func:`for_page` returns it; the same figure gives the same text."""
    data = io.BytesIO()
    with rc_context(CHART_STYLE):
        figure.savefig(data, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return for_page(data.getvalue().decode())


def for_page(svg: str) -> str:
    """The SVG element of a file, to embed in an HTML page: without namespaces, metadata or a size."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    for attribute in ("height", "width"):
        svg = re.sub(rf'(<svg[^>]*?) {attribute}="[^"]*"', r"\1", svg, count=1)
    return svg
