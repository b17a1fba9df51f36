"""Charts in a common style, as SVG to embed in a page. Needs the extra ``impasto[studies]``."""

from __future__ import annotations

import io
import re
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

__all__ = ["CHART_STYLE", "COLOURS", "as_png", "as_svg", "inline_svg"]

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
    """An SVG element to embed in an HTML page: without namespaces, metadata or a size.

    The same figure gives the same text.
    """
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", as_svg(figure), count=1, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    for attribute in ("height", "width"):
        svg = re.sub(rf'(<svg[^>]*?) {attribute}="[^"]*"', r"\1", svg, count=1)
    return svg


def as_svg(figure: Figure) -> str:
    """SVG without date, doctype or links; cropped to what is drawn, unless the figure has a layout."""
    data = io.BytesIO()
    _save(figure, data, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = data.getvalue().decode()
    return svg[svg.index("<svg") :]


def as_png(figure: Figure) -> bytes:
    """PNG at 160 dpi, cropped in the same way."""
    data = io.BytesIO()
    _save(figure, data, format="png", dpi=160, metadata={"Software": None})
    return data.getvalue()


def _save(figure: Figure, data: io.BytesIO, **options: Any) -> None:
    cropping: dict[str, Any] = (
        {"bbox_inches": "tight", "pad_inches": 0.05} if figure.get_layout_engine() is None else {}
    )
    with rc_context(CHART_STYLE):
        figure.savefig(data, **options, **cropping)
