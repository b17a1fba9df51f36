"""The shape of the package, read from its sources: who may import whom, and what no library does."""

from __future__ import annotations

import ast
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from impasto.losses.functions import NORMALISATIONS
from impasto.networks.encoder import PADDINGS
from impasto.networks.registry import ENCODERS
from impasto.painting.optimisers import OPTIMISERS
from impasto.recipe import Recipe

PACKAGE = ROOT / "src" / "impasto"

#: Part of the core → the parts it may import; `errors` is open to all. Below each line, what stands on it.
CORE: dict[str, set[str]] = {
    "errors": set(),
    # picture files
    "reading": set(),
    "writing": {"reading"},
    "images": {"reading", "writing"},
    # pure geometry, colour and statistics
    "layers": set(),
    "colour": {"descriptors"},
    "scales": set(),
    "descriptors": set(),
    "guidance": {"scales"},
    "losses": {"descriptors", "guidance"},
    # settings
    "validation": set(),
    "recipe": {"layers", "validation"},
    # weights and networks
    "checkpoints": set(),
    "downloads": set(),
    "published": {"checkpoints"},
    "weights": {"checkpoints", "downloads", "published"},
    "encoders": {"descriptors", "layers", "weights"},
    # the engine: no files, no clock
    "canvas": {"colour", "scales"},
    "terms": {"descriptors", "encoders", "guidance", "scales"},
    "pictures": {"scales"},
    "comparisons": {"descriptors", "encoders", "losses", "scales", "terms"},
    "matching": {"descriptors", "layers", "losses", "scales", "terms"},
    "objective": {
        "comparisons", "descriptors", "encoders", "guidance", "layers", "losses", "matching", "pictures",
        "recipe", "scales", "terms",
    },
    "sources": {"colour", "descriptors", "guidance", "objective", "recipe", "scales"},
    "optimisers": {"recipe", "scales"},
    "checking": {"recipe", "sources"},
    "engine": {
        "canvas", "checking", "colour", "descriptors", "encoders", "guidance", "layers", "objective",
        "optimisers", "recipe", "scales", "sources",
    },
    "regions": {"objective", "scales", "sources"},
    # what stands on it: machine, memory, time, files
    "machine": set(),
    "planning": {"encoders", "engine", "layers", "machine", "objective", "recipe", "scales", "sources"},
    "runs": {
        "colour", "encoders", "engine", "guidance", "images", "machine", "objective", "planning", "recipe",
        "regions", "scales", "sources",
    },
    "cutting": {"images", "scales"},
    "faces": {"images", "scales", "weights"},
    "mixing": {"colour", "images", "scales"},
    "progress": set(),
    "commands": {
        "cutting", "faces", "images", "machine", "mixing", "progress", "recipe", "runs", "samples", "weights",
    },
    "samples": set(),
}  # fmt: skip
#: Siblings, each a folder that stands on the core and knows nothing of the others.
APPLICATIONS = {"training", "instant", "video", "studies", "studio"}
MAY_IMPORT: dict[str, set[str]] = {
    **CORE,
    **{application: set(CORE) - {"commands"} for application in APPLICATIONS},
    "studio": {*CORE, "video"} - {"commands"},  # it paints clips too
    "__init__": {"engine", "recipe", "runs"},  # for type checkers; at run time on first use
}

#: The command line, in its parts.
MAY_PRINT = {
    "cli.py",
    "commands.py",
    "progress.py",
    "training/__main__.py",
    "studies/commands.py",
    "studies/terminal.py",
    "video/commands.py",
    "studio/commands.py",
    "studio/work.py",  # a process of its own
}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The part of the table that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """(part, line) of every import of the package's own, wherever it stands; ``package``: the importer's."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, [above, node.module or ""]))
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            if name == "impasto" or name.startswith("impasto."):
                yield [*name.split("."), "__init__"][1], node.lineno


def wrong_arrows(part: str, source: str, package: str = "impasto") -> list[str]:
    """What the table does not allow in a source text of ``part``."""
    if part == "cli":
        return []
    allowed = MAY_IMPORT.get(part)
    if allowed is None:
        return [f"{part} is not in the table of {Path(__file__).name}"]
    found = imported(ast.parse(source), package)
    # `from impasto import __version__` names the package itself, which is loaded anyway.
    own = {part, "errors", "__version__", "__init__"}
    return [
        f"{part} imports {other} (line {line})"
        for other, line in found
        if other not in own and other not in allowed
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_table(path):
    folders = path.relative_to(PACKAGE).parts[:-1]
    package = ".".join(["impasto", *folders])
    assert not wrong_arrows(part_of(path), path.read_text(encoding="utf-8"), package)


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("descriptors", "from impasto.engine import steps"),
        ("descriptors", "import impasto.painting.engine"),
        ("descriptors", "def f():\n    from impasto import engine"),
        ("descriptors", "from . import engine"),
        ("descriptors", "from .engine import steps"),
        ("losses", "from impasto.objective import Objective"),
        ("engine", "from impasto import images, runs"),
        ("video", "from impasto.studio.jobs import Job"),
        ("studies", "from impasto.video.job import Job"),
        ("runs", "from impasto.studies import plan"),
        ("video", "from impasto.cli import paint"),
        ("nobody", ""),
    ],
)
def test_a_wrong_arrow_is_found(part, source):
    assert wrong_arrows(part, source)


def test_relative_imports_in_folders_are_resolved():
    assert wrong_arrows("samples", "from ..engine import steps", "impasto.samples") == [
        "samples imports engine (line 1)"
    ]
    assert not wrong_arrows("samples", "from .brush import Array", "impasto.samples")


def test_the_table_has_no_circle_and_keeps_the_applications_apart():
    done: set[str] = set()
    while ready := {part for part, needs in MAY_IMPORT.items() if part not in done and needs <= done}:
        done |= ready
    assert done == set(MAY_IMPORT)
    for part, needs in MAY_IMPORT.items():
        assert not needs & (APPLICATIONS | {"cli"}) - ({"video"} if part == "studio" else set())


def called(node: ast.AST) -> str:
    """The dotted name of what a call calls."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


ENDS = {"print", "sys.exit", "exit", "quit", "os._exit", "input", "breakpoint"}


def says_or_ends(tree: ast.AST) -> list[str]:
    found = [f"{called(n)} (line {n.lineno})" for n in ast.walk(tree) if called(n) in ENDS]
    raised = [n for n in ast.walk(tree) if isinstance(n, ast.Raise) and n.exc is not None]
    return found + [f"SystemExit (line {n.lineno})" for n in raised if "SystemExit" in ast.unparse(n.exc)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_library_neither_prints_nor_ends_the_process(path):
    if path.relative_to(PACKAGE).as_posix() not in MAY_PRINT:
        assert not says_or_ends(ast.parse(path.read_text(encoding="utf-8")))


def test_printing_and_ending_would_be_found():
    assert says_or_ends(ast.parse("def f():\n    print('x')"))
    assert says_or_ends(ast.parse("import sys\nsys.exit(1)"))
    assert says_or_ends(ast.parse("raise SystemExit(3)"))
    assert says_or_ends(ast.parse((PACKAGE / "cli.py").read_text(encoding="utf-8")))


#: What chooses or wakes a device, or changes PyTorch for the whole process.
DEVICE = ("torch.device", "is_available", "choose_device", "set_num_threads", "set_default_d", ".cuda", ".to")


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that is evaluated when the module is imported: all but the bodies of functions."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                continue
            children = value if isinstance(value, list) else [value]
            waiting += [child for child in children if isinstance(child, ast.AST)]


def devices_at_import(source: str) -> list[str]:
    return [
        called(node)
        for node in at_import(ast.parse(source))
        if called(node).endswith(DEVICE) or "set_default_" in called(node)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_device_is_chosen_at_import(path):
    assert not devices_at_import(path.read_text(encoding="utf-8"))


def test_a_device_chosen_at_import_would_be_found():
    assert devices_at_import("DEVICE = torch.device('cpu')")
    assert devices_at_import("def f(device=torch.device('cpu')): ...")
    assert devices_at_import("class A:\n    on = torch.cuda.is_available()")
    assert devices_at_import("torch.set_default_device('cuda')")
    assert not devices_at_import("def f():\n    return torch.device('cpu')")


def loaded_by(statement: str) -> set[str]:
    """The top-level packages in memory after a statement in a fresh interpreter."""
    code = f"import sys; {statement}; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import impasto", "import impasto.cli", "impasto = __import__('impasto'); impasto.Recipe()"]
)
def test_the_package_and_its_command_line_wait_for_pytorch(statement):
    heavy = {"torch", "numpy", "PIL", "scipy", "skimage", "h5py", "tifffile", "safetensors"}
    assert not loaded_by(statement) & heavy


def test_the_probe_sees_pytorch_when_it_is_loaded():
    assert {"torch", "numpy", "impasto"} <= loaded_by("import impasto; impasto.steps")


def test_importing_everything_wakes_no_device_and_changes_no_threads():
    modules = [
        ".".join(["impasto", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        for path in SOURCES if path.name != "__main__.py"
    ]  # fmt: skip
    code = (
        "import torch; threads, dtype = torch.get_num_threads(), torch.get_default_dtype();"
        f"import {', '.join(modules)};"
        "assert not torch.cuda.is_initialized();"
        "assert torch.get_default_device().type == 'cpu';"
        "assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype);"
        "assert torch.is_grad_enabled()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("field", "registry"),
    [
        ("encoder", ENCODERS),
        ("optimiser", OPTIMISERS),
        ("normalisation", NORMALISATIONS),
        ("padding", PADDINGS),
    ],
)
def test_registries_and_the_recipe_name_the_same(field, registry):
    assert typing.get_args(Recipe.model_fields[field].annotation) == tuple(registry)


def test_every_public_name_exists():
    import impasto

    assert set(dir(impasto)) == set(impasto.__all__)
    for name in impasto.__all__:
        assert getattr(impasto, name) is not None
    with pytest.raises(AttributeError, match="styleize"):
        _ = impasto.styleize
