"""A study's numbers: flat tables, equal loss, pairs of seeds."""

from __future__ import annotations

import csv
import json
import math

import pytest

from impasto import pictures
from impasto.studies import results


def test_the_tables_agree_and_are_flat(study) -> None:
    table = list(csv.DictReader((study.folder / "results.csv").open()))
    lines = [json.loads(line) for line in (study.folder / "results.jsonl").read_text().splitlines()]
    assert len(table) == len(lines) == 4
    for row, line in zip(table, lines, strict=True):
        assert list(row) == list(line)
        assert all(value is None or isinstance(value, (str, int, float)) for value in line.values())
        assert all(row[name] == ("" if value is None else str(value)) for name, value in line.items())
        assert line["judge"] == "random"
        assert {"content_ssim", "content_judge/relu3_1", "style_judge/relu1_1", "style_palette"} <= set(line)
        assert sum(value for name, value in line.items() if name.startswith("loss/")) > 0


def test_equal_loss_is_reached_by_all_and_last_by_the_slowest(study) -> None:
    rows, _ = results.gather(study.tasks, "tiny", {})
    for weight in ("0.1", "1"):
        group = [row for row in rows if row.coordinates["content_weight"] == weight]
        worst = max(group, key=lambda row: row.curve[-1][2])
        assert all(isinstance(row.values["evaluations_to_equal_loss"], int) for row in group)
        assert worst.values["equal_loss"] == pytest.approx(worst.curve[-1][2], rel=1e-4)


def test_a_loss_that_was_never_finite_is_no_number(tmp_path) -> None:
    lines = [
        {"evaluation": k, "seconds": 0.1 * k, "best_loss": loss, "scale": 0}
        for k, loss in ((1, None), (2, 3.0))
    ]
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve, scales = results._trace(tmp_path)
    assert (math.isnan(curve[0][2]), curve[1], scales) == (True, (2, 0.2, 3.0), 1)
    assert results.iterations_to_settle(curve) is None


def test_seeds_are_compared_in_pairs(study) -> None:
    rows, _ = results.gather(study.tasks, "tiny", {})
    groups = results.compare_seeds(rows)
    assert [group.label for group in groups] == ["0.1", "1"]
    assert all(len(group.pairs["pair_psnr_db"]) == 1 for group in groups)
    a, b = (pictures.load(row.task.folder / "picture.png").pixels for row in groups[0].rows)
    assert groups[0].pairs["pair_psnr_db"][0] == pytest.approx(
        -10 * math.log10(float((a - b).square().mean())), rel=1e-4
    )


def test_settling_is_nine_tenths_of_the_fall_on_a_log_scale() -> None:
    curve = [(k, 0.0, 10.0 ** (-k / 10)) for k in range(101)]  # from 1 to 1e-10
    assert results.iterations_to_settle(curve) == 90
    assert results.iterations_to_settle([(1, 0.0, 1.0), (2, 0.0, 1.0)]) is None


def test_losses_of_several_scales_are_not_compared(study, tmp_path) -> None:
    (row, *_), _ = results.gather(study.tasks, "tiny", {})
    assert row.scales == 1
    assert isinstance(row.values["evaluations_to_settle"], int)


def test_means_leave_out_what_is_not_finite() -> None:
    assert results.mean_and_deviation([1.0, 3.0, math.inf]) == pytest.approx((2.0, math.sqrt(2.0)))
    mean, deviation = results.mean_and_deviation([5.0])
    assert mean == 5.0
    assert math.isnan(deviation)
    assert all(math.isnan(value) for value in results.mean_and_deviation([math.nan]))
