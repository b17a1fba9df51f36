"""Charts as SVG elements: small enough to embed, the same bytes each time."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from matplotlib.figure import Figure

from impasto.reporting.charts import COLOURS, inline_svg


def figure() -> Figure:
    drawn = Figure(figsize=(3, 2), layout="constrained")
    drawn.subplots().plot([0, 1, 2], [3, 1, 2], color=COLOURS[0], label="loss")
    drawn.legend()
    return drawn


def test_a_chart_is_one_svg_element_without_a_size_of_its_own():
    root = ElementTree.fromstring(inline_svg(figure()).replace("xlink:", ""))
    assert root.tag == "svg"
    assert root.get("viewBox") == "0 0 216 144"  # 3 by 2 inches of 72 points
    assert root.get("width") is None
    assert root.get("height") is None
    assert root.find("metadata") is None
    assert "xmlns" not in inline_svg(figure())


def test_a_line_has_its_colour():
    assert f"stroke: {COLOURS[0].lower()}" in inline_svg(figure())


def test_the_same_numbers_give_the_same_bytes():
    assert inline_svg(figure()) == inline_svg(figure())
