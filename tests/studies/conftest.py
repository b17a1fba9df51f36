"""A tiny study, painted once for all tests that look at its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from impasto.studies import sources
from impasto.studies.plan import StudyPlan
from impasto.studies.results import StudyOutcome
from impasto.studies.runner import StudyProgress, run_study


def tiny_plan(**fields: object) -> StudyPlan:
    defaults = {
        "name": "tiny",
        "title": "Tiny & <small>",
        "question": "Does it run?",
        "base": {"size": 48, "coarsest": 48, "iterations": [4], "precision": "float32", "init": "noise"},
        "contents": ["photograph:chelsea"],
        "styles": ["painting:wave"],
        "seeds": [0, 1],
        "vary": {"content_weight": [0.1, 1.0]},
        "charts": ["style_judge/*", "pair_features/*"],
    }
    return StudyPlan(**defaults | fields)


@pytest.fixture(scope="session")
def plan() -> Callable[..., StudyPlan]:
    """Builds the tiny study's plan with some fields changed."""
    return tiny_plan


@pytest.fixture(scope="session", autouse=True)
def _small_paintings() -> Iterator[None]:
    """Render the built-in paintings at 64 pixels, which takes little time."""
    patch = pytest.MonkeyPatch()
    patch.setattr("impasto.studies.sources.PAINTED", 64)
    sources._picture.cache_clear()
    yield
    patch.undo()
    sources._picture.cache_clear()


@pytest.fixture(scope="session")
def studied(
    _small_paintings: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyOutcome, list[StudyProgress]]:
    """The tiny study's outcome, and its progress."""
    progress: list[StudyProgress] = []
    folder = tmp_path_factory.mktemp("studies") / "tiny"
    return run_study(tiny_plan(), folder, workers=1, on_progress=progress.append), progress


@pytest.fixture(scope="session")
def study(studied: tuple[StudyOutcome, list[StudyProgress]]) -> StudyOutcome:
    """The tiny study's outcome."""
    return studied[0]


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sheet and no plots are written, for tests that look at the cells only."""
    monkeypatch.setattr("impasto.studies.report.write", lambda outcome: outcome.folder)
