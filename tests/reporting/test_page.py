"""Pages from templates: values are escaped, what is missing is an error, files are embedded."""

from __future__ import annotations

import base64

import pytest
from jinja2 import FileSystemLoader, UndefinedError

from impasto.reporting import page
from impasto.reporting.page import data_uri, render


@pytest.fixture
def template(tmp_path, monkeypatch):
    """Writes a template that is found as if it lay in the package."""

    def write(text: str) -> str:
        (tmp_path / "page.html.jinja").write_text(text)
        monkeypatch.setattr(page, "PackageLoader", lambda package, folder: FileSystemLoader(tmp_path))
        return "page.html.jinja"

    return write


def test_values_are_escaped_unless_the_template_calls_them_safe(template):
    name = template("<p>{{ title }}</p>{{ chart|safe }}")
    assert render("impasto.video", name, title="<b> & co", chart="<svg/>") == (
        "<p>&lt;b&gt; &amp; co</p><svg/>"
    )


def test_a_variable_without_a_value_is_an_error(template):
    with pytest.raises(UndefinedError, match="titel"):
        render("impasto.video", template("{{ titel }}"), title="a")


def test_a_file_becomes_a_data_uri():
    uri = data_uri(b"\x00\xffpicture", "image/png")
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == b"\x00\xffpicture"
