"""The check against earlier figures: only ratios count, and a fall by a tenth fails."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOSS = "to the tutorial's loss, VGG-19"


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import compare

    return compare


@pytest.fixture
def base() -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results" / "results.json").read_text())


def test_what_is_compared_is_what_the_page_of_figures_says(compare, base):
    found = compare.ratios(base)
    page = (ROOT / "benchmarks" / "results" / "results.md").read_text()
    assert f"| {found['evaluation, compact float32']:.1f} |" in page
    assert f"| {found['preset fast']:.0f} |" in page
    assert f"| {found[LOSS]:.1f} |" in page


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (1.05, 0), (0.5, 0), (1.2, 1)])
def test_a_fall_by_a_tenth_fails(compare, base, tmp_path, capsys, factor, code):
    slower = copy.deepcopy(base)
    slower["presets"]["fast"]["seconds"]["median"] *= factor
    paths = [tmp_path / "base.json", tmp_path / "new.json"]
    for path, results in zip(paths, (base, slower), strict=True):
        path.write_text(json.dumps(results))
    assert compare.main([str(path) for path in paths]) == code
    out = capsys.readouterr().out
    assert ("slower by 10% or more: preset fast" in out) == bool(code)


def test_a_slower_machine_is_not_a_slower_program(compare, base):
    def slowed(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v if k in ("limit", "machine") else slowed(v) for k, v in node.items()}
        return 3.0 * node if isinstance(node, float) else node

    before, now = compare.ratios(base), compare.ratios(slowed(base))
    assert now == pytest.approx(before)
    assert compare.table(before, now)[1] == []


def test_neither_a_file_nor_a_revision(compare):
    with pytest.raises(SystemExit, match="neither a file nor a revision"):
        compare.main(["no-such-thing", "also-not"])
