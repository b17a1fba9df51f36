"""The command line as a user meets it: one line and an exit code for every mistake."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file

from fakes import checks, picture, tiny_state
from impasto import api, pictures
from impasto.cli.main import COMMANDS, app


def painting(
    *more: str, content: str = "content.png", style: str = "style.png", out: str = "out.png"
) -> list[str]:
    """A quick `stylize`, with ``more`` flags over it."""
    quick = {"--size": "40", "--coarsest": "40", "--iterations": "2"}
    flags = [part for flag, value in quick.items() if flag not in more for part in (flag, value)]
    return ["stylize", content, style, "-o", out, *flags, *more]


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: name → content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# -- bad input -----------------------------------------------------------------------------------------------


def png(path: str, *size: int) -> None:
    Image.new("RGB", size, (90, 120, 150)).save(path)


def jpeg(path: str, keep: float = 1.0) -> None:
    Image.fromarray((picture(64, 64)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(path, "JPEG")
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(len(data) * keep)])


HTML = "<!DOCTYPE html><html><body>404 Not Found</body></html>"


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A content, a style, and all that is bad; once for all tests, each of which must leave it as it is."""
    folder = tmp_path_factory.mktemp("bad")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pictures.save("content.png", picture(48, 64))
        pictures.save("style.png", checks(48, 48))
        make_bad_files()
    return folder


def make_bad_files() -> None:
    Path("a-folder").mkdir()
    Path("empty.jpg").touch()
    jpeg("truncated.jpg", 0.5)
    jpeg("cut.jpg", 0.02)
    Path("page.jpg").write_text(HTML)
    Path("text.png").write_text("This is no picture.\nIt is two lines of text.\n")
    Path("noise.png").write_bytes(bytes(range(256)) * 4)
    Path("half.png").write_bytes(Path("content.png").read_bytes()[:100])
    png("dot.png", 1, 1)
    png("strip.png", 10, 3000)
    png("column.png", 3000, 8)
    png("large.png", 300, 200)
    Image.new("RGBA", (48, 48), (10, 20, 30, 0)).save("invisible.png")
    tifffile.imwrite("nan.tif", np.full((48, 48, 3), np.nan, np.float32), photometric="rgb")
    tifffile.imwrite("raw.tif", np.full((48, 48, 3), 200.0, np.float32), photometric="rgb")
    Path("alias.png").hardlink_to("content.png")
    Path("link.png").symlink_to("style.png")
    os.mkfifo("pipe.png")
    Path("recipe.json").write_text('{"size": 40, "iterations": [2]}')
    Path("broken.json").write_text('{"size": 40,')
    Path("list.json").write_text("[1, 2]")
    Path("typo.json").write_text('{"contentweight": 1}')
    Path("wrong.json").write_text('{"size": "wide"}')
    Path("latin.json").write_bytes('{"größe": 1}'.encode("latin-1"))
    Path("weights.html").write_text(HTML)
    Path("weights.pth").write_text(HTML)
    Path("weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    save_file(tiny_state(), "headless.safetensors")
    save_file({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, "one.safetensors")
    Path("run").mkdir()
    Path("run/trace.jsonl").touch()


#: What is typed → what the one line must say.
BAD: list[tuple[list[str], str]] = [
    # files that are no pictures
    (painting(content="missing.jpg"), "no file 'missing.jpg'"),
    (painting(style="missing.jpg"), "no file 'missing.jpg'"),
    (painting("--init-image", "missing.jpg"), "no file 'missing.jpg'"),
    (painting("--mask", "missing.jpg"), "no file 'missing.jpg'"),
    (painting(content=""), "'.' is a folder"),
    (painting(content="a-folder"), "'a-folder' is a folder"),
    (painting(content="content.png/inside.png"), "inside.png"),
    (painting(content="empty.jpg"), "'empty.jpg' is empty (0 bytes)"),
    (painting(content="truncated.jpg"), "'truncated.jpg' is a damaged or incomplete JPEG"),
    (painting(content="cut.jpg"), "'cut.jpg' is a damaged or incomplete JPEG"),
    (painting(content="half.png"), "'half.png' is a damaged or incomplete PNG"),
    (painting(style="page.jpg"), "'page.jpg' is an HTML page"),
    (painting(content="text.png"), "'text.png' is a text file"),
    (painting(content="noise.png"), "no known picture format"),
    (painting(content="pipe.png"), "not a regular file"),
    (painting(content="https://example.org/cat.jpg"), "is a web address"),
    (painting(content="x" * 300 + ".png"), "x.png"),
    (painting(content="nan.tif"), "not finite"),
    (painting(content="raw.tif"), "floats from 200 to 200"),
    (painting(content="invisible.png"), "content picture is transparent"),
    (painting(style="invisible.png"), "style picture is transparent"),
    # sizes
    (painting("--size", "original", content="dot.png"), "1×1 pixels"),
    (painting(content="strip.png"), "pixels; the deepest layer"),
    (painting(content="column.png"), "pixels; the deepest layer"),
    (painting(style="dot.png"), "style picture is 1×1 pixels"),
    (painting("--max-pixels", "1000"), "--max-pixels 3072"),
    (painting("--max-pixels", "0"), "at most 0 pixels"),
    (painting("--max-pixels", "-5"), "at most -5 pixels"),
    (painting("--size", "0"), "setting size = '0': it should be"),
    (painting("--size", "-40"), "setting size = '-40': it should be"),
    (painting("--size", "huge"), "setting size = 'huge': it should be"),
    (painting("--size", "70000"), "setting size = '70000': it should be"),
    (painting("--size", "1e3"), "setting size = '1e3': it should be"),
    (painting("--size", "9", "--paint-size", "9"), "9×7 pixels"),
    (painting("--size", "7"), "14×10 pixels"),
    (painting("--padding", "circular", "--size", "50"), "both sides must be multiples"),
    # layers and weights
    (painting("--style-layers", "relu9_1"), "unknown layer 'relu9_1'"),
    (painting("--content-layers", "fc7"), "unknown layer 'fc7'"),
    (painting("--style-layers", "relu1_1,relu2_1,block1_conv1"), "'relu1_1' is named 2 times"),
    (painting("--style-layers", "relu5_4"), "end at relu5_1"),
    (painting("--style-layers", ""), "unknown layer ''"),
    (painting("--style-layer-weights", "1,2"), "2 style layer weights for 5 style layers"),
    (painting("--content-weight", "-1"), "setting content_weight = '-1': it should be"),
    (painting("--style-weight", "nan"), "setting style_weight = 'nan': it should be"),
    (painting("--tv-weight", "inf"), "setting tv_weight = 'inf': it should be"),
    (painting("--tv-weight", "1e13"), "setting tv_weight = '1e13': it should be"),
    (painting("--content-weight", "0", "--style-weight", "0"), "all 0"),
    (painting("--style-blend", "1,2"), "2 style weights for 1 style pictures"),
    (painting("--style-blend", "0"), "style blend is 0"),
    (painting("--style-blend", "1,,2"), "setting style_blend"),
    (painting("--style-scale", "0"), "setting style_scale = '0': it should be"),
    (painting("--iterations", "-1"), "setting iterations = '-1': it should be"),
    (painting("--iterations", "many"), "setting iterations = 'many': it should be"),
    (painting("--learning-rate", "0"), "setting learning_rate = '0': it should be"),
    (painting("--seed", "-1"), "setting seed = '-1': it should be"),
    (painting("--seed", "99999999999999999999"), "setting seed"),
    # choices
    (painting("--encoder", "vgg16"), "setting encoder = 'vgg16': it should be"),
    (painting("--normalisation", "l2"), "l2"),
    (painting("--optimiser", "sgd"), "setting optimiser = 'sgd': it should be"),
    (painting("--init", "random"), "random"),
    (painting("--init", "picture"), "--init-image"),
    (painting("--pooling", "max"), "average pooling"),
    (painting("--precision", "float16"), "float16"),
    (painting("--device", "cuda:9"), "'cuda:9' is not on this machine"),
    (painting("--device", "abacus"), "'abacus' is not on this machine"),
    # weights
    (painting("--weights", "missing.safetensors"), "missing.safetensors"),
    (painting("--weights", "weights.html"), "weights.html"),
    (painting("--weights", "weights.safetensors"), "weights.safetensors"),
    (painting("--weights", "headless.safetensors"), "it has no heads"),
    (painting("--weights", "a-folder"), "a-folder"),
    (painting("--encoder", "vgg19", "--weights", "weights.pth"), "weights.pth"),
    (painting("--encoder", "vgg19-original", "--weights", "missing.h5"), "missing.h5"),
    (painting("--encoder", "vgg19", "--weights", "one.safetensors"), "one.safetensors"),
    # the output
    (painting(out="out.gif"), "ending that cannot be written"),
    (painting(out="out"), "ending that cannot be written"),
    (painting(out="nowhere/out.png"), "folder of the output 'nowhere/out.png' does not exist"),
    (painting(out="a-folder"), "ending that cannot be written"),
    (painting(out="content.png"), "'content.png' is also an input"),
    (painting(out="style.png"), "'style.png' is also an input"),
    (painting(out="alias.png"), "'alias.png' is also an input"),
    (painting(out="link.png"), "'link.png' is also an input"),
    (painting("--init-image", "large.png", out="large.png"), "'large.png' is also an input"),
    (painting("--quality", "0", out="out.jpg"), "quality 0"),
    (painting("--quality", "101", out="out.jpg"), "quality 101"),
    (painting("--bit-depth", "16"), "16 bits in PNG"),
    (painting("--bit-depth", "12"), "--bit-depth 12: 8 or 16 is expected"),
    (painting("--preview-every", "-1"), "preview every -1"),
    (painting("--save-run", "nowhere/run"), "nowhere' first"),
    (painting("--save-run", "recipe.json"), "recipe.json"),
    (painting("--save-run", "run"), "the folder 'run' holds an earlier run"),
    (painting("--save-run", "."), "the folder '.' is not empty"),
    # presets, memory and time
    (painting("--preset", "slow"), "--preset slow: draft, fast, fine,"),
    (painting("--budget", "soon"), "soon"),
    (painting("--budget=-3s"), "-3s"),
    (painting("--budget", "0"), "'0'"),
    (painting("--max-memory", "much"), "much"),
    (painting("--max-memory", "0"), "'0'"),
    (painting("--tile", "10"), "tiles of 10 pixels"),
    (painting("--tile", "large"), "--tile large: a whole number is expected"),
    # recipes
    (painting("--recipe", "missing.json"), "missing.json"),
    (painting("--recipe", "a-folder"), "a-folder"),
    (painting("--recipe", "broken.json"), "not JSON"),
    (painting("--recipe", "list.json"), "not a JSON object"),
    (painting("--recipe", "typo.json"), "unknown setting 'contentweight'"),
    (painting("--recipe", "wrong.json"), "setting size = 'wide': it should be a whole number"),
    (painting("--recipe", "latin.json"), "not text"),
    (painting("--recipe", "content.png"), "content.png"),
    # words
    (painting("--frobnicate", "3"), "--frobnicate"),
    (["stylize", "content.png", "style.png"], "--output is missing"),
    (["stylize", "content.png", "-o", "out.png"], "STYLE is missing"),
    (["stylize"], "CONTENT is missing"),
    (painting("--size"), "--size is missing a value"),
    (["stylise", "content.png", "style.png", "-o", "out.png"], "did you mean stylize?"),
    (["frobnicate"], "possible are batch, blend, demo"),
    (["weights", "fetch", "vgg99"], "vgg99"),
    (["weights", "verify", "vgg99"], "vgg99"),
    (["weights", "verify", "vgg19"], "vgg19"),
    (["weights", "fetch"], "NAME is missing"),
    (["weights", "list", "vgg19"], "'vgg19' is not expected here"),
    (["weights", "burn"], "burn"),
    (["demo", "--photograph", "mona-lisa"], "no photograph 'mona-lisa'"),
    (["demo", "--size", "8"], "pixels"),
    (["demo", "--size", "0"], "setting size = 0: it should be"),
    (["demo", "-o", "nowhere/demo"], "nowhere/demo"),
    (["demo", "-o", "content.png"], "content.png"),
]  # fmt: skip


#: How Python and its libraries speak.
PYTHON = (
    "Traceback",
    "('",
    "()",
    "None",
    "parse string",
    "unable to convert",
    "Input should",
    "tuple",
    "Unused",
)


def shortly(arguments: list[str]) -> str:
    """A line of the table by what is special about it."""
    usual = {*painting(), "40", "2"}
    return " ".join(part for part in arguments if part not in usual) or " ".join(arguments)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[shortly(arguments) for arguments, _ in BAD])
def test_bad_input_gives_one_line_and_leaves_nothing(impasto, bad_folder, monkeypatch, arguments, says):
    monkeypatch.chdir(bad_folder)
    monkeypatch.setenv("IMPASTO_HOME", str(bad_folder / "home"))
    before = listing(bad_folder)
    code, out, err = impasto(*arguments)
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("impasto: ")
    assert len(lines[0]) > len("impasto: ") + 10
    assert [word for word in PYTHON if word in err] == []
    assert says in lines[0]
    assert out == ""
    assert code == 2
    assert listing(bad_folder) == before


@pytest.mark.slow
def test_good_input_would_not_pass_for_bad(impasto, folder):
    before = listing(folder)
    assert impasto(*painting("--paint-size", "40"))[0] == 0
    assert listing(folder) != before


def test_a_full_disk_leaves_the_older_picture(stylize, folder, monkeypatch):
    Path("out.png").write_bytes(b"an older picture")
    before = listing(folder)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = stylize("--quiet")
    assert (code, err.count("\n")) == (2, 1)
    assert "'out.png' could not be written: the disk is full" in err
    assert listing(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(stylize, folder):
    Path("closed").mkdir()
    Path("closed").chmod(0o500)
    code, _, err = stylize(out="closed/out.png")
    assert (code, err.count("\n")) == (2, 1)


def test_a_write_protected_output(stylize, folder, monkeypatch):
    Path("out.png").write_bytes(b"precious")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root would be let through
    code, _, err = stylize()
    assert code == 2
    assert "write-protected" in err
    assert Path("out.png").read_bytes() == b"precious"


def test_ctrl_c_before_there_is_a_picture(stylize, folder, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = listing(folder)
    monkeypatch.setattr(api, "prepare", interrupted)
    code, out, err = stylize()
    assert (code, out, err) == (130, "", "impasto: stopped\n")
    assert listing(folder) == before


# -- the program ---------------------------------------------------------------------------------------------


def run_program(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "impasto.cli", *arguments]
    return subprocess.run(command, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload]


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(folder):
    reader, writer = os.pipe()
    os.close(reader)
    done = run_program("weights", "list", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [False, True])
def test_a_process_ends_at_once_but_in_order(closed):
    reader, writer = os.pipe()
    code = (
        "import atexit, sys; from impasto.cli.entry import leave;"
        "atexit.register(print, 'registered', file=sys.stderr); print('painted'); leave(3)"
    )
    if closed:
        os.close(reader)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False, env=buffered
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (3, b"registered\n")
    if not closed:
        with os.fdopen(reader, "rb") as stream:
            assert stream.read() == b"painted\n"


def test_the_version(impasto):
    from importlib.metadata import version

    code, out, _ = impasto("--version")
    assert (code, out.strip()) == (0, version("impasto"))


#: Answered before PyTorch is loaded → the exit code.
LIGHT: list[tuple[str, int]] = [
    ("stylize missing.jpg style.png -o out.png", 2),
    ("stylize content.png style.png -o out.gif", 2),
    ("stylize content.png style.png -o out.png --size huge", 2),
    ("stylize content.png style.png -o out.png --budget soon", 2),
    ("texture missing.jpg -o out.png", 2),
    ("reconstruct missing.jpg -o out.png", 2),
    ("blend missing.jpg -o out.png --strength 0.5", 2),
    ("mask missing.jpg -o out.png --faces", 2),
    ("study inits missing.jpg style.png", 2),
    ("stylize --help", 0),
    ("study weights --help", 0),
]


@pytest.mark.slow
def test_paths_and_values_are_checked_and_help_is_printed_before_pytorch_is_loaded(folder):
    """One process for all of them: once it is loaded, it stays so."""
    code = (
        "import sys; from impasto.cli.main import main\n"
        f"for line in {[line for line, _ in LIGHT]!r}:\n"
        "    try: main(line.split())\n"
        "    except SystemExit as end: print(f'@{line}@{end.code}@{\"torch\" in sys.modules}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("@")]
    assert answers == [f"@{line}@{code}@False" for line, code in LIGHT], done.stderr


@pytest.mark.slow
def test_every_command_is_found_where_the_table_says():
    assert {*COMMANDS, "video", "video-report", "studio"} <= {name for name in app if name[0] != "-"}
    assert set(COMMANDS) <= set(app.resolved_commands())  # loads them all
