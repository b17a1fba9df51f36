"""The OpenAPI document describes the settings, and which routes take the id of a job."""

from __future__ import annotations

from pathlib import Path

from impasto.recipe import Recipe
from serving import without_workers


def test_the_settings_are_described_as_in_the_recipe(tmp_path: Path) -> None:
    document = without_workers(tmp_path).get("/openapi.json").json()
    properties = document["components"]["schemas"]["Recipe"]["properties"]
    assert set(properties) == set(Recipe.model_fields)
    assert properties["history"]["maximum"] == 200
    form = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["recipe"] == {"$ref": "#/components/schemas/Recipe"}


def test_an_accepted_job_links_to_every_route_of_a_job(tmp_path: Path) -> None:
    document = without_workers(tmp_path).get("/openapi.json").json()
    linked = {
        operation["operationId"]
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if "{job}" in path
    }
    assert len(linked) > 10
    for path in ("/v1/jobs", "/v1/jobs/{job}/again"):
        links = document["paths"][path]["post"]["responses"]["202"]["links"]
        assert {link["operationId"] for link in links.values()} == linked
        assert {link["parameters"]["job"] for link in links.values()} == {"$response.body#/id"}
