"""The shape of the package, read from its sources: who may import whom, and what no library does."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from conftest import ROOT
from impasto.losses.functions import NORMALISATIONS
from impasto.networks.encoder import PADDINGS
from impasto.networks.registry import ENCODERS
from impasto.painting.optimisers import OPTIMISERS
from impasto.recipe import CONTENT_LOSSES, STYLE_LOSSES, Recipe

PACKAGE = ROOT / "src" / "impasto"

#: Room → rooms that it imports, from the bottom of the house up: a room imports only what stands above it in
#: this table. ``errors`` is open to all and not listed.
ROOMS: dict[str, set[str]] = {
    "files": set(),
    "progress": set(),
    "quantities": set(),
    "validation": set(),
    "machine": set(),
    "reporting": set(),
    "pictures": {"files"},
    "samples": set(),
    "networks": {"files", "progress"},
    "recipe": {"networks", "validation"},
    "scene": {"pictures", "recipe"},
    "losses": {"networks", "pictures", "recipe", "scene"},
    "masks": {"networks", "pictures", "progress", "recipe", "scene"},
    "feedforward": {"files", "losses", "networks", "pictures", "scene"},
    "painting": {"feedforward", "files", "losses", "machine", "networks", "pictures", "recipe", "scene"},
    "api": {
        "feedforward",
        "losses",
        "machine",
        "masks",
        "networks",
        "painting",
        "pictures",
        "recipe",
        "scene",
    },
    "pieces": {"files", "machine"},
    "batch": {"api", "files", "machine", "networks", "painting", "pictures", "pieces", "recipe"},
    "training": {
        "feedforward",
        "files",
        "losses",
        "machine",
        "networks",
        "painting",
        "pictures",
        "quantities",
        "recipe",
        "scene",
    },
    "studies": {
        "api",
        "files",
        "losses",
        "machine",
        "networks",
        "painting",
        "pictures",
        "pieces",
        "recipe",
        "reporting",
        "samples",
        "scene",
        "validation",
    },
    "video": {
        "feedforward",
        "files",
        "machine",
        "networks",
        "painting",
        "pictures",
        "pieces",
        "recipe",
        "reporting",
        "scene",
        "validation",
    },
    "studio": {
        "api",
        "files",
        "machine",
        "networks",
        "painting",
        "pictures",
        "pieces",
        "recipe",
        "samples",
        "validation",
        "video",
    },
    "cli": {
        "api",
        "batch",
        "feedforward",
        "files",
        "machine",
        "masks",
        "networks",
        "painting",
        "pictures",
        "progress",
        "quantities",
        "recipe",
        "samples",
        "studies",
        "studio",
        "training",
        "video",
    },
}

#: Rooms that print and end the process: the command line, and two processes of their own.
MAY_PRINT = {"cli", "training/__main__.py", "studio/worker/__main__.py"}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a file stands in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    """The dotted name of a file's module."""
    name = ".".join(["impasto", *path.relative_to(PACKAGE).with_suffix("").parts])
    return name.removesuffix(".__init__")


def imported(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of every import of the package's own, wherever it stands.

    Args:
        package: of the importing file, for relative imports.
    """
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, [above, node.module or ""]))
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("impasto.") and not name.endswith("__version__"):
                yield name, node.lineno


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed source of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def rooms_used(tree: ast.Module, package: str) -> set[str]:
    """The rooms that a source text imports from, ``errors`` and its own left out."""
    names = [name.split(".")[1] for name, _ in imported(tree, package)]
    return set(names) - {"errors", package.partition(".")[2].split(".")[0]}


def package_of(path: Path) -> str:
    return ".".join(["impasto", *path.relative_to(PACKAGE).parts[:-1]])


def used_by(room: str) -> set[str]:
    """The rooms that all files of a room import from."""
    files = [path for path in SOURCES if room_of(path) == room]
    used: set[str] = set()
    for path in files:
        used |= rooms_used(tree_of(path), package_of(path))
    return used - {room}


def test_every_room_is_in_the_table_and_every_name_in_the_table_is_a_room():
    rooms = {room_of(path) for path in SOURCES} - {"errors", "__init__"}
    assert set(ROOMS) == rooms
    assert {name for names in ROOMS.values() for name in names} <= rooms


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_the_table_says_no_more_and_no_less(room):
    assert used_by(room) == ROOMS[room]


def test_no_arrow_runs_back_up():
    above: set[str] = set()
    for room, imports in ROOMS.items():
        assert imports <= above, room
        above.add(room)


def test_applications_are_siblings():
    applications = {"batch", "training", "studies", "video", "studio"}
    for room in applications:
        assert ROOMS[room] & applications <= ({"video"} if room == "studio" else set())


def test_there_are_few_arrows():
    assert sum(len(imports) for imports in ROOMS.values()) <= 111


def test_a_wrong_arrow_would_be_found():
    for source, rooms in {
        "from impasto.painting import engine": {"painting"},
        "import impasto.api": {"api"},
        "def f():\n    from impasto import api": {"api"},
        "from .. import api": {"api"},
        "from ..painting.engine import steps": {"painting"},
        "from .terms import Term": set(),
    }.items():
        assert rooms_used(ast.parse(source), "impasto.losses") == rooms


@pytest.mark.slow
def test_modules_do_not_import_each_other_in_a_circle():
    needs: dict[str, set[str]] = {}
    names = {module_of(path) for path in SOURCES}
    for path in SOURCES:
        found = {name for name, _ in imported(tree_of(path), package_of(path))}
        modules = {name if name in names else name.rpartition(".")[0] for name in found}
        # A package's face hands on what its modules define, and is no arrow of its own.
        needs[module_of(path)] = {m for m in modules & names if m != module_of(path)} - {"impasto"}
    faces = {module_of(path) for path in SOURCES if path.name == "__init__.py"}
    done: set[str] = set(faces)
    while ready := {m for m, used in needs.items() if m not in done and used <= done}:
        done |= ready
    assert set(needs) - done == set()


def called(node: ast.AST) -> str:
    """The dotted name of what a call calls."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


ENDS = {"print", "sys.exit", "exit", "quit", "os._exit", "input", "breakpoint"}


def says_or_ends(tree: ast.AST) -> list[str]:
    found = [f"{called(n)} (line {n.lineno})" for n in ast.walk(tree) if called(n) in ENDS]
    raised = [n for n in ast.walk(tree) if isinstance(n, ast.Raise) and n.exc is not None]
    return found + [f"SystemExit (line {n.lineno})" for n in raised if "SystemExit" in ast.unparse(n.exc)]


def test_a_library_neither_prints_nor_ends_the_process():
    quiet = [
        path
        for path in SOURCES
        if path.relative_to(PACKAGE).as_posix() not in MAY_PRINT and room_of(path) not in MAY_PRINT
    ]
    found = {str(path): says_or_ends(tree_of(path)) for path in quiet}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_printing_and_ending_would_be_found():
    assert says_or_ends(ast.parse("def f():\n    print('x')"))
    assert says_or_ends(ast.parse("import sys\nsys.exit(1)"))
    assert says_or_ends(ast.parse("raise SystemExit(3)"))
    assert says_or_ends(tree_of(PACKAGE / "cli" / "main.py"))


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


def devices_at_import(tree: ast.Module) -> list[str]:
    names = [called(node) for node in at_import(tree)]
    return [name for name in names if name.endswith(DEVICE) or "set_default_" in name]


def test_no_device_is_chosen_at_import():
    found = {str(path): devices_at_import(tree_of(path)) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_device_chosen_at_import_would_be_found():
    for source in (
        "DEVICE = torch.device('cpu')",
        "def f(device=torch.device('cpu')): ...",
        "class A:\n    on = torch.cuda.is_available()",
        "torch.set_default_device('cuda')",
    ):
        assert devices_at_import(ast.parse(source))
    assert not devices_at_import(ast.parse("def f():\n    return torch.device('cpu')"))


def loaded_by(statement: str) -> set[str]:
    """The top-level packages in memory after a statement in a fresh interpreter, which must say nothing."""
    code = f"import sys; {statement}; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import impasto", "import impasto.cli", "impasto = __import__('impasto'); impasto.Recipe()"]
)
def test_the_package_and_its_command_line_wait_for_pytorch(statement):
    heavy = {"torch", "numpy", "PIL", "scipy", "skimage", "h5py", "tifffile", "safetensors"}
    assert not loaded_by(statement) & heavy


@pytest.mark.slow
def test_importing_everything_wakes_no_device_and_changes_no_threads():
    """And the probe above sees PyTorch when it is loaded."""
    modules = [
        ".".join(["impasto", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        for path in SOURCES if path.name != "__main__.py"
    ]  # fmt: skip
    code = (
        "import impasto; impasto.steps; torch = sys.modules['torch'];"
        "threads, dtype = torch.get_num_threads(), torch.get_default_dtype();"
        f"import {', '.join(modules)};"
        "assert not torch.cuda.is_initialized();"
        "assert torch.get_default_device().type == 'cpu';"
        "assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype);"
        "assert torch.is_grad_enabled()"
    )
    assert {"torch", "numpy", "impasto"} <= loaded_by(code)


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


@pytest.mark.parametrize("registry", [STYLE_LOSSES, CONTENT_LOSSES])
def test_every_registered_loss_is_where_the_registry_says(registry):
    for place in registry.values():
        module, _, name = place.partition(":")
        assert hasattr(importlib.import_module(module), name)


def test_every_public_name_exists():
    import impasto

    assert set(dir(impasto)) == set(impasto.__all__)
    for name in impasto.__all__:
        assert getattr(impasto, name) is not None
    with pytest.raises(AttributeError, match="styleize"):
        _ = impasto.styleize
