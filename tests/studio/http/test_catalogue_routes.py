"""What the page shows before anything was uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.recipe import Recipe
from serving import pixels, without_workers


@pytest.mark.slow
def test_styles_photographs_and_settings(tmp_path: Path) -> None:
    studio = without_workers(tmp_path)
    styles = studio.get("/v1/styles").json()
    assert [style["id"] for style in styles] == [
        "wave", "swirl", "mosaic", "facets", "pointillist", "garden", "glass", "woodcut",
    ]  # fmt: skip
    photographs = studio.get("/v1/samples").json()
    for sample in (styles[0], photographs[0]):
        thumbnail = studio.get(sample["thumbnail"])
        assert thumbnail.headers["content-type"] == "image/webp"
        assert max(pixels(thumbnail.content).shape) == 256
    assert studio.get(photographs[0]["picture"]).headers["content-type"] == "image/jpeg"
    assert studio.get("/v1/styles/nothing/thumbnail").status_code == 404
    settings = studio.get("/v1/settings").json()
    assert "fast" in [preset["name"] for preset in settings["presets"]]
    assert "weights" not in settings["recipe"]["properties"]
    assert "picture" not in settings["recipe"]["properties"]["init"]["enum"]
    assert settings["limits"]["pixels"] == 64_000_000
    for preset in settings["presets"]:
        Recipe(**preset["settings"])


def test_an_unknown_name_is_one_line_whatever_it_contains(tmp_path: Path) -> None:
    response = without_workers(tmp_path).get("/v1/styles/wave%0A%0Dglass/thumbnail")
    assert response.status_code == 404
    assert len(response.json()["detail"].splitlines()) == 1
