"""The API against requests made from its own OpenAPI: whatever comes, the server does not fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from impasto.studio.http.app import create_app
from impasto.studio.settings import StudioSettings

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
    given = {"upload_bytes": 2_000_000, "queue": 50, "client_jobs": 40, "decode_seconds": 10}
    app = create_app(StudioSettings(data=folder, public_name=("testserver",), insecure=True, **given))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def test_no_request_makes_the_server_fail(api: Any) -> None:
    tried, answers = [], set()
    for result in api.get_all_operations():
        operation = result.ok()
        tried.append(f"{operation.method.upper()} {operation.path}")

        @SETTINGS
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            answer = case.call()
            answers.add(answer.status_code)
            # 503 of /readyz is true here: there is no worker.
            absent = answer.status_code == 503 and case.path == "/readyz"
            assert answer.status_code < 500 or absent, answer.text
            if answer.status_code >= 400:
                assert "\n" not in answer.json()["detail"]

        check()
    assert {
        "POST /v1/jobs",
        "POST /v1/jobs/{job}/again",
        "POST /v1/look",
        "GET /v1/jobs/{job}/result",
    } <= set(tried)
    assert len(tried) > 20
    assert {200, 404, 422} <= answers
