"""The studies behind docs/studies.md."""

from __future__ import annotations

import pytest

from impasto.studies.claims import CLAIMS
from impasto.studies.plan import StudyPlan


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_a_plan_of_its_name_that_survives_its_file(name: str) -> None:
    plan = CLAIMS[name]()
    assert plan.name == name
    again = StudyPlan.from_yaml(plan.to_yaml())
    assert again == plan
    assert again.cells() == plan.cells()
