"""The server that the studio's end-to-end tests share: starting one takes some seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving import Studio


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with a worker; requests are limited to 20 MB."""
    flags = ("--client-jobs", "100", "--upload-bytes", "20000000")
    with Studio(tmp_path_factory.mktemp("studio"), *flags) as studio:
        yield studio
