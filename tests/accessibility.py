"""What axe-core finds wrong in a page."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


def violations(page: Any) -> list[str]:
    """What axe finds wrong, in the light and in the dark."""
    if not AXE.exists():
        pytest.skip("no axe-core here: npm ci")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # colours change at once
        report = page.evaluate("axe.run(document, { preload: false })")
        found += [
            f"{scheme}: {rule['id']}: {node['html'][:120]}"
            for rule in report["violations"]
            for node in rule["nodes"]
        ]
    return found
