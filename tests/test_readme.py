"""The README is true: its tree names every module, its links lead somewhere, its examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from impasto import pictures, samples
from impasto.cli.main import app
from impasto.recipe import PRESETS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_tree_names_every_module() -> None:
    tree = README.split("## Where things are")[1].split("## Licence")[0]
    package = ROOT / "src" / "impasto"
    names = [p.name for p in package.glob("*.py") if p.name != "__init__.py"]
    names += [f"{p.parent.name}/" for p in package.glob("*/__init__.py")]
    assert [name for name in names if name not in tree] == []
    named = re.findall(r"\b[a-z_]+\.py\b", tree)
    assert [name for name in named if not (package / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if "://" not in t and not (page.parent / t).exists()] == []


def test_every_preset_is_in_the_table() -> None:
    assert all(f"| `{name}` |" in README for name in PRESETS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `impasto …` line in a code block is one that the command line takes."""
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.S) + re.findall(r"(?:^ {4}.+\n)+", text, re.M)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    for line in (one.split("#")[0] for one in lines if one.startswith("impasto ")):
        words = shlex.split(line)[1:]
        if "…" in line or "--help" in words or any(word.isupper() for word in words):
            continue
        app.parse_args(words, exit_on_error=False, print_error=False)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = samples.photograph("chelsea")[..., :60, :90]
    pictures.save("photo.jpg", small)
    pictures.save("painting.jpg", small.flip(-1))
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    # The same calls, at a size that a test can wait for.
    code = code.replace("size=800", "size=48, iterations=(3,)")
    code = code.replace('steps("photo.jpg", "painting.jpg"', 'steps("photo.jpg", "painting.jpg", size=48')
    exec(compile(code, "README.md", "exec"), {})
    assert Path("out.png").stat().st_size > 1000
