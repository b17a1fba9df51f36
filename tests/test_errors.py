"""An error is one line: what was got, what is possible, what to do."""

from __future__ import annotations

import sys

import pytest

from impasto.errors import ImpastoError, PictureError, RecipeError, require_extra


def test_the_parts_make_one_line():
    error = PictureError("'a.jpg' is an HTML page.", "a picture", " download it again ")
    assert str(error) == "'a.jpg' is an HTML page; a picture; download it again"
    assert (error.got, error.expected) == ("'a.jpg' is an HTML page.", "a picture")
    assert isinstance(error, ImpastoError)


def test_empty_parts_and_line_breaks_disappear():
    assert str(ImpastoError("a library said:\n  no", "", "try again")) == "a library said: no; try again"


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(RecipeError) as caught:
        require_extra("masks", ("json", "cv2"), "finding faces", RecipeError)
    assert str(caught.value) == (
        "finding faces needs OpenCV, which is not installed; pip install 'impasto[masks]'"
    )


def test_an_extra_that_is_there_says_nothing():
    require_extra("masks", ("json", "math"), "finding faces", RecipeError)
