"""README and docs are true: links lead somewhere, the tree names every room, what they say to type runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT
from fakes import checks, picture
from impasto import pictures
from impasto.cli.main import app
from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork
from impasto.networks.registry import load_encoder
from impasto.recipe import PRESETS, STYLE_LOSSES
from serving import clip_bytes

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

#: First words of commands that are not run here, and why.
SKIPPED = {
    "pip": "installs",
    "make": "builds environments and runs these very tests",
    "curl": "run against a studio in test_studio_docs.py",
    "impasto export fixed.onnx": "run small in tests/cli/test_export.py",
    "impasto export instant.onnx --parts": "run small in tests/cli/test_export.py",
    "impasto learn": "trained in tests/cli/test_learn.py",
    "impasto demo": "painted small in tests/cli/test_demo.py",
    "impasto batch photos/ --style wave.jpg -o painted --on ray": "needs a cluster; see tests/pieces",
    "impasto batch s3://holiday/photos": "needs a bucket; see tests/batch/test_addresses.py",
    "impasto batch file:///shared/photos": "needs a cluster; see tests/batch/test_addresses.py",
    "impasto study inits cat.jpg wave.jpg --on ray": "needs a cluster; run small in tests/pieces",
    "impasto video clip.mp4 wave.jpg -o painted.mp4 --on ray": "needs a cluster",
    "impasto propagate": "needs frames that the reader has painted; run small in tests/cli",
    "impasto studio": "started by most of tests/studio",
    "impasto studio backup": "run in tests/cli/test_studio_jobs.py",
    "impasto studio restore": "run in tests/cli/test_studio_jobs.py",
    "impasto studio --no-open": "started in test_studio_docs.py",
    "impasto studio --data": "started in test_studio_docs.py",
    "impasto studio --traces": "started in tests/studio/test_traces.py",
    "impasto studio --https": "started in tests/studio/test_certificates.py",
    "impasto studio --host 0.0.0.0 --public-name": "needs a certificate of the reader's",
    "impasto studio --workers": "needs a cluster; see tests/studio/worker/test_cluster.py",
    "impasto studio --webhook-host": "needs a secret; see tests/studio/test_webhooks.py",
    "impasto studio --web": "needs what make web builds; run in tests/studio/test_page_engine.py",
    "impasto studio jobs": "run in tests/cli/test_studio_jobs.py",
    "impasto studio users": "run in tests/cli/test_studio_users.py",
    "impasto mask photo.jpg --faces": "needs a detector's file that nobody may ship",
    "impasto study weights": "twelve paintings; run small in tests/cli",
    "impasto study content-layers": "run small in tests/cli",
    "impasto study styles": "run small in tests/cli",
    "impasto study style-of": "run small in tests/cli",
    "impasto study optimisers": "run small in tests/cli",
    "impasto study custom": "needs a file of the reader's",
    "impasto video-report": "needs the extra studies and a painted clip; run small in tests/cli",
    "impasto stylize face.jpg": "needs labels that fit the reader's pictures",
    "impasto stylize rocket.jpg": "needs labels that fit the reader's pictures",
}
#: Pages whose commands are run by another test, or that have none.
ELSEWHERE = {
    "add-a-study.md": "its command needs a file of the reader's; its Python runs",
    "api.md": "test_studio_docs.py runs its script",
    "studio.md": "its command is started by most of tests/studio",
    "server.md": "its commands need a certificate, people or a backup, or are started elsewhere",
    "browser.md": "make web needs npm; tests/web drives what it has built",
    "CONTRIBUTING.md": "make targets, run by CI",
}


def commands(page: Path) -> list[str]:
    """Every command in a code block, without its comment."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.S) + re.findall(r"(?:^ {4}.+\n)+", text, re.M)
    lines = [line.strip().split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    lines = [line.removesuffix("\\") for line in lines]  # the rest of a long line is not a command
    return [line for line in lines if re.match(r"(impasto|make|pip|curl) ", line)]


def reason_to_skip(command: str) -> str | None:
    matching = [words for words in SKIPPED if command.startswith(words)]
    return SKIPPED[max(matching, key=len)] if matching else None


def run(command: str) -> None:
    """Run a command, as small as its flags allow."""
    words = shlex.split(command)[1:]
    if "--help" not in words:
        words = _small(words)
    try:
        code = app(words, exit_on_error=False, print_error=False)
    except SystemExit as end:  # --help ends the process
        code = end.code
    assert code in (0, None), command


def _small(words: list[str]) -> list[str]:
    """The same command at a size that a test can wait for."""
    for flag in ("--size", "--budget"):
        if flag in words:
            place = words.index(flag)
            del words[place : place + 2]
    small = {"mask": [], "export": []}
    flags = small.get(words[0], ["--size", "48"])
    if words[0] == "study":
        flags = [*flags, "--seeds", "0", "--workers", "1"]
    if words[0] not in small and "instant" not in words:
        flags = [*flags, "--paint-size", "48", "--iterations", "2"]
    return [*words, *flags, *([] if words[0] == "mask" else ["--quiet"])]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every file that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_STUDIO_TOKEN", "secret of the docs")
    monkeypatch.setenv("IMPASTO_STUDIO_WEBHOOK_SECRET", "secret of the webhooks")
    for name in ("photo", "harbour", "cat", "a", "b"):
        pictures.save(f"{name}.jpg", picture(48, 64, len(name)))
    for name in ("painting", "style", "wave", "oil", "swirl"):
        pictures.save(f"{name}.jpg", checks(48, 48))
    Path("photos").mkdir()
    pictures.save("photos/one.jpg", picture(48, 64, 1))
    left = picture(48, 64) * 0
    left[..., :32] = 1.0
    for name, mask in (("sky", left), ("water", 1 - left), ("rest", left), ("faces", 1 - left)):
        pictures.save(f"{name}.png", mask)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_page_says_to_type_runs(page: Path, workplace: Path) -> None:
    typed = commands(page)
    if page.name == "video.md":
        (workplace / "clip.mp4").write_bytes(clip_bytes(workplace, count=2))
    if page.name == "instant.md":
        network = InstantNetwork(load_encoder(), load_decoder())
        network.remember(pictures.load("painting.jpg").pixels).save("mine.safetensors")
    ran = 0
    for command in typed:
        if reason_to_skip(command) is None:
            run(command)
            ran += 1
    assert ran or not typed or page.name in ELSEWHERE, "all are skipped"


def test_reasons_to_skip_are_used() -> None:
    every = [command for page in PAGES for command in commands(page)]
    assert [words for words in SKIPPED if not any(command.startswith(words) for command in every)] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are not run are commands that the command line takes."""
    monkeypatch.chdir(tmp_path)
    for command in commands(page):
        if command.startswith("impasto ") and "…" not in command and "--help" not in command:
            app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "api.md"], ids=lambda page: page.name)
@pytest.mark.usefixtures("workplace")
def test_python_on_the_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("means", "orientations"):  # what a page registers is forgotten again
        monkeypatch.setitem(STYLE_LOSSES, name, None)
    few = "size=48, paint_size=48, iterations=(3,)"
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        if "import onnxruntime" in code:
            continue  # run in tests/feedforward/export/test_models.py
        small = code.replace("size=800", few).replace("size=192)", f"{few})")
        small = small.replace('painting.jpg"):  # or', f'painting.jpg", {few}):  # or')
        small = small.replace('samples.painting("wave")', 'samples.painting("wave", size=96)')
        exec(compile(small, page.name, "exec"), {"__name__": "__main__"})


def test_the_tree_names_every_room() -> None:
    tree = README.split("## Where things are")[1].split("## Licence")[0]
    package = ROOT / "src" / "impasto"
    rooms = [path.name for path in package.glob("*.py") if path.name != "__init__.py"]
    rooms += [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    assert [room for room in rooms if room not in tree] == []
    named = re.findall(r"\b[a-z_]+\.py\b", tree)
    places: tuple[Callable[[str], Path], ...] = (lambda n: package / n, lambda n: ROOT / "tests" / n)
    assert [name for name in named if not any(place(name).exists() for place in places)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if "://" not in t and not (page.parent / t).exists()] == []


def test_every_preset_is_in_the_table() -> None:
    assert all(f"| `{name}` |" in README for name in PRESETS)
