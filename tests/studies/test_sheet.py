"""The contact sheet has every picture on it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from impasto.studies.results import gather
from impasto.studies.sheet import arrange


@pytest.mark.slow
def test_the_sheet_has_room_for_every_cell(study) -> None:
    sheet = Image.open(study.folder / "sheet.png")
    assert sheet.width > 2 * 200
    assert len(np.unique(np.asarray(sheet.convert("RGB")).reshape(-1, 3), axis=0)) > 200


def test_cells_lie_where_their_labels_say(study, plan) -> None:
    rows, _ = gather(study.tasks, "tiny", {})
    grid = arrange(plan(), rows[1:])  # one is missing
    assert grid.columns == ("content weight 0.1", "content weight 1")
    assert [label for label, _ in grid.rows] == ["seed 0", "seed 1"]
    for label, cells in grid.rows:
        for column, row in zip(("0.1", "1"), cells, strict=True):
            assert row is None or (row.coordinates["content_weight"], f"seed {row.coordinates['seed']}") == (
                column, label,
            )  # fmt: skip
    assert sum(row is None for _, cells in grid.rows for row in cells) == 1
    assert arrange(plan(), rows[:1]).rows[1] == ("seed 1", (None, None))  # a row that failed is there
