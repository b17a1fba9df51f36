"""The OpenAPI document describes the settings, and no request made from it makes the server fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from impasto.recipe import Recipe
from impasto.studio.app import create_app
from impasto.studio.settings import StudioSettings
from serving import without_workers

SETTINGS = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis: pip install '.[dev]'")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("studio")
    limits = {"upload_bytes": 2_000_000, "queue": 50, "client_jobs": 40, "decode_seconds": 10}
    app = create_app(StudioSettings(data=folder, public_name=("testserver",), insecure=True, **limits))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.slow
def test_no_request_makes_the_server_fail(api: Any) -> None:
    tried, statuses = [], set()
    for result in api.get_all_operations():
        operation = result.ok()
        tried.append(f"{operation.method.upper()} {operation.path}")

        @SETTINGS
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            response = case.call()
            statuses.add(response.status_code)
            # There is no worker here, so /readyz rightly answers 503.
            not_ready = response.status_code == 503 and case.path == "/readyz"
            assert response.status_code < 500 or not_ready, response.text
            if response.status_code >= 400:
                assert "\n" not in response.json()["detail"]

        check()
    assert {
        "POST /v1/jobs",
        "POST /v1/jobs/{job}/again",
        "POST /v1/look",
        "GET /v1/jobs/{job}/result",
    } <= set(tried)
    assert len(tried) > 20
    assert {200, 404, 422} <= statuses


def test_the_settings_are_described_as_in_the_recipe(tmp_path: Path) -> None:
    document = without_workers(tmp_path).get("/openapi.json").json()
    properties = document["components"]["schemas"]["Recipe"]["properties"]
    assert set(properties) == set(Recipe.model_fields)
    assert properties["history"]["maximum"] == 200
    form = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["recipe"] == {"$ref": "#/components/schemas/Recipe"}
