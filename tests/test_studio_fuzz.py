"""The API against requests made from its own OpenAPI: whatever comes, the server does not fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from impasto.studio.app import create_app
from impasto.studio.settings import StudioSettings

schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis: pip install '.[dev]'")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("studio")
    given = {"upload_bytes": 2_000_000, "queue": 50, "client_jobs": 40, "decode_seconds": 10}
    app = create_app(StudioSettings(data=folder, public_name=("testserver",), insecure=True, **given))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_no_request_makes_the_server_fail(case: Any) -> None:
    answer = case.call()
    # 503 of /readyz is true here: there is no worker.
    assert answer.status_code < 500 or (answer.status_code == 503 and case.path == "/readyz"), answer.text
    if answer.status_code >= 400 and "json" in answer.headers.get("content-type", [""])[0]:
        assert "\n" not in answer.json()["detail"]
