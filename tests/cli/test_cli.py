"""The command line as a user meets it: one line for every mistake, and whole files for everything else."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from fakes import checks, picture, tiny_state
from impasto import api, pictures, samples
from impasto.cli import main
from impasto.losses.objective import Objective
from impasto.recipe import PRESETS, Recipe

#: A tenth of a second a run: small and shallow in evaluations, with all of the default layers.
QUICK = {"--size": "40", "--coarsest": "40", "--iterations": "2"}


def painting(
    *more: str, content: str = "content.png", style: str = "style.png", out: str = "out.png"
) -> list[str]:
    """A quick `stylize`, with ``more`` flags over it."""
    quick = [part for flag, value in QUICK.items() if flag not in more for part in (flag, value)]
    return ["stylize", content, style, "-o", out, *quick, *more]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a content, a style, and a home without weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_HOME", str(tmp_path / "home"))
    pictures.save("content.png", picture(48, 64))
    pictures.save("style.png", checks(48, 48))
    return tmp_path


@pytest.fixture
def impasto(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process: (exit code, what it said, what it complained of)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main(list(arguments))
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: name → content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# -------------------------------------------------------------------------------------------- bad input


def png(path: str, *size: int) -> None:
    Image.new("RGB", size, (90, 120, 150)).save(path)


def jpeg(path: str, keep: float = 1.0) -> None:
    Image.fromarray((picture(64, 64)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(path, "JPEG")
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(len(data) * keep)])


HTML = "<!DOCTYPE html><html><body>404 Not Found</body></html>"


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
    png("column.png", 3000, 1)
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


#: What is typed → what the one line must say.
BAD: list[tuple[list[str], str]] = [
    # files that are no pictures
    (painting(content="missing.jpg"), "no file 'missing.jpg'"),
    (painting(style="missing.jpg"), "no file 'missing.jpg'"),
    (painting("--init-image", "missing.jpg"), "no file 'missing.jpg'"),
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
    (painting("--size", "0"), "size = '0'"),
    (painting("--size", "-40"), "size"),
    (painting("--size", "huge"), "size = 'huge'"),
    (painting("--size", "70000"), "size = '70000'"),
    (painting("--size", "1e3"), "size = '1e3'"),
    (painting("--size", "9"), "9×7 pixels"),
    (painting("--padding", "circular", "--size", "50"), "both sides must be multiples"),
    # layers and weights
    (painting("--style-layers", "relu9_1"), "unknown layer 'relu9_1'"),
    (painting("--content-layers", "fc7"), "unknown layer 'fc7'"),
    (painting("--style-layers", "relu1_1,relu2_1,block1_conv1"), "'relu1_1' is named 2 times"),
    (painting("--style-layers", "relu5_4"), "end at relu5_1"),
    (painting("--style-layers", ""), "unknown layer ''"),
    (painting("--style-layer-weights", "1,2"), "2 style layer weights for 5 style layers"),
    (painting("--content-weight", "-1"), "content_weight = '-1'"),
    (painting("--style-weight", "nan"), "style_weight = 'nan'"),
    (painting("--tv-weight", "inf"), "tv_weight = 'inf'"),
    (painting("--tv-weight", "1e13"), "tv_weight = '1e13'"),
    (painting("--content-weight", "0", "--style-weight", "0"), "all 0"),
    (painting("--style-blend", "1,2"), "2 style weights for 1 style pictures"),
    (painting("--style-blend", "0"), "style blend is 0"),
    (painting("--style-blend", "1,,2"), "style_blend"),
    (painting("--style-scale", "0"), "style_scale = '0'"),
    (painting("--iterations", "-1"), "iterations"),
    (painting("--iterations", "many"), "iterations = 'many'"),
    (painting("--learning-rate", "0"), "learning_rate = '0'"),
    (painting("--seed", "-1"), "seed"),
    (painting("--seed", "99999999999999999999"), "seed"),
    # choices
    (painting("--encoder", "vgg16"), "vgg16"),
    (painting("--normalisation", "l2"), "l2"),
    (painting("--optimiser", "sgd"), "sgd"),
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
    (painting("--bit-depth", "12"), "12"),
    (painting("--preview-every", "-1"), "preview every -1"),
    (painting("--save-run", "nowhere/run"), "make 'nowhere' first"),
    (painting("--save-run", "recipe.json"), "recipe.json"),
    # presets, memory and time
    (painting("--preset", "instant"), "instant"),
    (painting("--budget", "soon"), "soon"),
    (painting("--budget=-3s"), "-3s"),
    (painting("--budget", "0"), "'0'"),
    (painting("--max-memory", "much"), "much"),
    (painting("--max-memory", "0"), "'0'"),
    (painting("--tile", "10"), "tiles of 10 pixels"),
    # recipes
    (painting("--recipe", "missing.json"), "missing.json"),
    (painting("--recipe", "a-folder"), "a-folder"),
    (painting("--recipe", "broken.json"), "not JSON"),
    (painting("--recipe", "list.json"), "not a JSON object"),
    (painting("--recipe", "typo.json"), "unknown setting 'contentweight'"),
    (painting("--recipe", "wrong.json"), "size = 'wide'"),
    (painting("--recipe", "latin.json"), "not text"),
    (painting("--recipe", "content.png"), "content.png"),
    # words
    (painting("--frobnicate", "3"), "--frobnicate"),
    (["stylize", "content.png", "style.png"], "--output"),
    (["stylize", "content.png", "-o", "out.png"], "style"),
    (["stylize"], "content"),
    (painting("--size"), "--size"),
    (["stylise", "content.png", "style.png", "-o", "out.png"], "stylise"),
    (["weights", "fetch", "vgg99"], "vgg99"),
    (["weights", "verify", "vgg99"], "vgg99"),
    (["weights", "verify", "vgg19"], "vgg19"),
    (["weights", "fetch"], "name"),
    (["weights", "burn"], "burn"),
    (["demo", "--photograph", "mona-lisa"], "no photograph 'mona-lisa'"),
    (["demo", "--size", "8"], "pixels"),
    (["demo", "--size", "0"], "size"),
    (["demo", "-o", "nowhere/demo"], "nowhere/demo"),
    (["demo", "-o", "content.png"], "content.png"),
]  # fmt: skip


def shortly(arguments: list[str]) -> str:
    """A line of the table by what is special about it."""
    usual = {*painting(), *QUICK.values()}
    return " ".join(part for part in arguments if part not in usual) or " ".join(arguments)


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[shortly(arguments) for arguments, _ in BAD])
def test_bad_input_gives_one_line_and_leaves_nothing(impasto, folder, arguments, says):
    make_bad_files()
    before = listing(folder)
    code, out, err = impasto(*arguments)
    lines = [line for line in err.splitlines() if "%" not in line or not line.startswith("impasto: 0%")]
    assert len(lines) == 1, err
    assert lines[0].startswith("impasto: ")
    assert len(lines[0]) > len("impasto: ") + 10
    assert "Traceback" not in err
    assert says in lines[0]
    assert out == ""
    assert code == 2
    assert listing(folder) == before


def test_the_table_is_as_long_as_promised_and_good_input_would_not_pass_for_bad(impasto, folder):
    assert len(BAD) >= 40
    before = listing(folder)
    code, _, _ = impasto(*painting())
    assert code == 0
    assert listing(folder) != before


def test_a_full_disk_leaves_the_older_picture(impasto, folder, monkeypatch):
    Path("out.png").write_bytes(b"an older picture")
    before = listing(folder)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = impasto(*painting("--quiet"))
    assert (code, err.count("\n")) == (2, 1)
    assert "'out.png' could not be written: the disk is full" in err
    assert listing(folder) == before


def test_a_run_that_cannot_be_recorded_says_so_and_keeps_the_picture(impasto, folder, monkeypatch):
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    code, _, err = impasto(*painting("--quiet", "--save-run", "run"))
    assert (code, err.count("\n")) == (2, 1)
    assert "No space left on device" in err
    assert pictures.load("out.png").size == (30, 40)
    assert not list(Path("run").glob("*.partial"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(impasto, folder):
    Path("closed").mkdir()
    Path("closed").chmod(0o500)
    code, _, err = impasto(*painting(out="closed/out.png"))
    assert (code, err.count("\n")) == (2, 1)


def test_a_write_protected_output(impasto, folder, monkeypatch):
    Path("out.png").write_bytes(b"precious")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root would be let through
    code, _, err = impasto(*painting())
    assert code == 2
    assert "write-protected" in err
    assert Path("out.png").read_bytes() == b"precious"


# -------------------------------------------------------------------------------------------- good paths


def test_stylize_writes_a_picture_with_its_recipe_inside(impasto, folder):
    code, out, err = impasto(*painting("--seed", "5", "--content-weight", "0.25"))
    assert code == 0
    assert "painted out.png (40×30, 2 evaluations" in out
    assert err.startswith("impasto: ")  # progress, where stderr is no terminal: a line for each scale
    with Image.open("out.png") as written:
        assert (written.size, written.mode) == ((40, 30), "RGB")
        assert "icc_profile" in written.info
    recipe = Recipe.from_json(pictures.read_metadata("out.png") or "")
    assert recipe == Recipe(size=40, coarsest=40, iterations=(2,), seed=5, content_weight=0.25)
    assert sorted(path.name for path in folder.iterdir()) == ["content.png", "out.png", "style.png"]


def test_quiet_says_nothing(impasto):
    assert impasto(*painting("--quiet")) == (0, "", "")
    assert impasto(*painting("-q")) == (0, "", "")


def test_a_saved_run_is_complete_and_can_be_painted_again(impasto, folder):
    assert (
        impasto(*painting("--save-run", "run", "--iterations", "4", "--seed", "3", "--init", "noise"))[0] == 0
    )
    run = Path("run")
    assert sorted(path.name for path in run.iterdir()) == [
        "environment.json", "picture.png", "recipe.json", "trace.jsonl",
    ]  # fmt: skip
    recipe = Recipe.from_json((run / "recipe.json").read_text())
    assert (recipe.seed, recipe.iterations, recipe.init) == (3, (4,), "noise")
    trace = [json.loads(line) for line in (run / "trace.jsonl").read_text().splitlines()]
    assert [entry["evaluation"] for entry in trace] == [1, 2, 3, 4]
    for entry in trace:
        assert {"scale", "iteration", "seconds", "loss", "best_loss", "event", "style/relu1_1"} <= set(entry)
        assert (entry["height"], entry["width"]) == (30, 40)
    environment = json.loads((run / "environment.json").read_text())
    assert environment["versions"]["impasto"] == "0.1.0"
    assert torch.__version__.startswith(environment["versions"]["torch"].split("+")[0])
    assert environment["finished"] is True
    assert environment["inputs"] == ["content.png", "style.png"]
    assert environment["losses"]["total"] == pytest.approx(trace[-1]["best_loss"])
    assert (run / "picture.png").read_bytes() == Path("out.png").read_bytes()
    again = ["stylize", "content.png", "style.png", "-o", "again.png", "--recipe", "run/recipe.json"]
    assert impasto(*again)[0] == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    assert impasto(*painting("--save-run", "run"))[0] == 0, "a folder that is there may be used again"


def test_flags_go_over_the_recipe_file_and_defaults_do_not(impasto, folder):
    full = Recipe(size=36, coarsest=36, iterations=(3,), tv_weight=0.5, style_layers=("relu1_1", "relu2_1"))
    Path("r.json").write_text(full.to_json())
    arguments = ["stylize", "content.png", "style.png", "-o", "out.png", "--recipe", "r.json"]
    assert impasto(*arguments, "--tv-weight", "0.25")[0] == 0
    found = Recipe.from_json(pictures.read_metadata("out.png") or "")
    assert found == full.replace(tv_weight=0.25)
    # A flag with the default's value is a flag all the same.
    assert impasto(*arguments, "--tv-weight", "0")[0] == 0
    assert Recipe.from_json(pictures.read_metadata("out.png") or "") == full.replace(tv_weight=0.0)


def test_a_recipe_file_goes_over_a_preset_and_flags_over_both(impasto, folder):
    Path("r.json").write_text(json.dumps({"style_weight": 7.0, "tv_weight": 0.5}))
    flags = ["--preset", "draft", "--recipe", "r.json", "--tv-weight", "0.25"]
    assert impasto("stylize", "content.png", "style.png", "-o", "out.png", "--size", "40", *flags)[0] == 0
    draft = PRESETS["draft"][1]
    assert draft
    expected = Recipe(**(draft | {"style_weight": 7.0, "tv_weight": 0.25, "size": 40}))
    assert Recipe.from_json(pictures.read_metadata("out.png") or "") == expected


def test_two_styles_are_blended(impasto, folder):
    pictures.save("other.png", picture(48, 48, 7))
    command, content, style, *quick = painting("--iterations", "6", out="mixed.png")
    arguments = [command, content, style, "other.png", *quick[2:]]
    results = {}
    for name, blend in (("even", []), ("first", ["1,0"]), ("second", ["0,1"]), ("mixed", ["0.5", "0.5"])):
        flags = [part for value in blend for part in ("--style-blend", value)]
        code, _, err = impasto(*arguments, "-o", f"{name}.png", *flags)
        assert code == 0, err
        results[name] = pictures.load(f"{name}.png").pixels
    assert torch.equal(results["even"], results["mixed"])
    assert not torch.equal(results["first"], results["second"])
    impasto(*painting("--iterations", "6", out="alone.png"))
    assert torch.equal(pictures.load("alone.png").pixels, results["first"])


def test_alpha_in_alpha_out(impasto, folder):
    alpha = torch.zeros(1, 1, 48, 64)
    alpha[..., 8:40, 8:56] = 1.0
    pictures.save("content.png", picture(48, 64), alpha=alpha)
    assert impasto(*painting("--save-run", "run"))[0] == 0
    assert impasto(*painting("--preview-every", "2", "--iterations", "3", out="previewed.png"))[0] == 0
    for name in ("out.png", "run/picture.png", "previewed.png"):
        found = pictures.load(name)
        assert found.alpha is not None
        assert float(found.alpha[0, 0, 0, 0]) == 0.0
        assert float(found.alpha[0, 0, 15, 20]) == 1.0
        assert found.alpha.shape == (1, 1, 30, 40)


@pytest.mark.parametrize(
    ("name", "flags", "kind"),
    [("o.jpg", ["--quality", "80"], "JPEG"), ("o.webp", [], "WEBP"), ("o.tif", ["--bit-depth", "16"], "TIFF"),
     ("o.TIFF", [], "TIFF")],
)  # fmt: skip
def test_other_formats(impasto, folder, name, flags, kind):
    assert impasto(*painting(*flags, out=name))[0] == 0
    assert Recipe.from_json(pictures.read_metadata(name) or "").size == 40
    assert pictures.load(name).size == (30, 40)
    if kind == "TIFF":
        assert tifffile.imread(name).dtype == (np.uint16 if flags else np.uint8)
    else:
        with Image.open(name) as written:
            assert written.format == kind


def test_previews_are_whole_pictures_of_the_work_so_far(impasto, folder, monkeypatch):
    seen: list[tuple[int, tuple[int, int]]] = []
    save = pictures.save

    def watched(path: str | os.PathLike[str], *arguments: object, **options: object) -> Path:
        saved = save(path, *arguments, **options)  # type: ignore[arg-type]
        with Image.open(saved) as written:
            written.load()
            seen.append((len(seen), written.size))
        return saved

    monkeypatch.setattr(pictures, "save", watched)
    assert impasto(*painting("--iterations", "7", "--preview-every", "3"))[0] == 0
    assert [size for _, size in seen] == [(40, 30)] * 3  # after 3 and 6, and the finished one


def test_size_original_and_another_start(impasto, folder):
    assert impasto(*painting("--size", "original", "--init-image", "style.png"))[0] == 0
    assert pictures.load("out.png").size == (48, 64)
    assert Recipe.from_json(pictures.read_metadata("out.png") or "").init == "picture"


def test_an_odd_name_is_a_name(impasto, folder):
    name = "Grüße an\u2009alle – 🎨 'x' %s.png"
    Path("content.png").rename(name)
    assert impasto(*painting(content=name, out=f"out {name}"))[0] == 0
    assert pictures.load(f"out {name}").size == (30, 40)


def test_help_names_every_setting_with_its_default_and_range(impasto, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = impasto("stylize", "--help")
    assert code == 0
    text = " ".join(out.replace("│", " ").split())
    for name, field in Recipe.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert field.description
        assert " ".join(field.description.split()[:5]) in text, name
    assert "(≥ 1, ≤ 65536)" in text
    assert "[default: 512]" in text
    assert "[default: compact]" in text
    assert "[default: (60,)]" in text
    for command in ("demo", "doctor", "weights"):
        code, out, _ = impasto(command, "--help")
        assert code == 0
        assert command in out
    code, out, _ = impasto("--version")
    assert (code, out.strip()) == (0, "0.1.0")


def test_every_default_is_the_recipes_own():
    # Nothing on the command line repeats a default: without flags the recipe is `Recipe()`.
    import inspect

    signature = inspect.signature(main.stylize).parameters
    assert not set(Recipe.model_fields) & set(signature) - {"recipe"}
    assert signature["settings"].default is None
    assert main._merge("fast", None, None) == Recipe()
    assert signature["max_pixels"].default == pictures.DEFAULT_MAX_PIXELS


def test_weights_list_and_doctor(impasto, folder, monkeypatch):
    code, out, err = impasto("weights", "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["compact", "vgg19", "vgg19-original"]
    assert "impasto weights fetch vgg19 " in lines[1].replace(")", " ")
    code, out, err = impasto("doctor")
    assert (code, err) == (0, "")
    for word in (
        "python",
        "torch",
        "device",
        "threads",
        "fast_bfloat16",
        "compact",
        "self-test",
        "evaluations",
    ):
        assert word in out
    assert not (folder / "home").exists()


def test_the_demo_paints_a_photograph_in_every_style(impasto, folder, monkeypatch):
    quick = Recipe(size=32, coarsest=32, iterations=(1,))
    monkeypatch.setattr(main, "Recipe", lambda **given: quick.replace(**given))
    monkeypatch.setattr(samples, "painting", partial(samples.painting, size=96))
    code, out, _ = impasto("demo", "--size", "32", "-o", "show")
    assert code == 0
    names = {path.name for path in Path("show").iterdir()}
    assert names == {"chelsea.png"} | {
        f"{prefix}-{style}.png" for prefix in ("style", "chelsea") for style in main.DEMO_STYLES
    }
    assert len(main.DEMO_STYLES) >= 3
    assert str(Path("show").resolve()) in out
    assert " s in all" in out


# --------------------------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_saves_the_best_picture_so_far(folder):
    arguments = ["stylize", "content.png", "style.png", "-o", "out.png", "--save-run", "run"]
    long = ["--size", "64", "--coarsest", "64", "--iterations", "1000000", "--tolerance", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto.cli", *arguments, *long],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # What a shell starts in the background inherits deafness to Ctrl-C, these tests among it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    stuck = threading.Timer(60, process.kill)
    stuck.start()
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("impasto: 0%"), first
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        stuck.cancel()
        process.kill()
    assert "Traceback" not in err
    assert process.returncode == 130
    assert "stopped: the best picture so far out.png (64×48" in out
    assert pictures.load("out.png").size == (48, 64)
    environment = json.loads(Path("run/environment.json").read_text())
    assert environment["finished"] is False
    assert environment["losses"]["total"] > 0
    assert not list(folder.rglob("*.partial"))


def test_ctrl_c_before_there_is_a_picture(impasto, folder, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = listing(folder)
    monkeypatch.setattr(api, "prepare", interrupted)
    code, out, err = impasto(*painting())
    assert (code, out, err.count("\n")) == (130, "", 1)
    assert err.startswith("impasto: stopped")
    assert listing(folder) == before


def test_ctrl_c_in_the_middle_of_an_evaluation(impasto, folder, monkeypatch):
    evaluate, looks = Objective.evaluate, []

    def interrupted(self: Objective, image: Tensor) -> tuple[float, Tensor, dict[str, float]]:
        looks.append(image)
        if len(looks) == 6:  # two were for the forecast
            raise KeyboardInterrupt
        return evaluate(self, image)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    code, out, _ = impasto(*painting("--iterations", "20"))
    assert code == 130
    assert "stopped: the best picture so far out.png (40×30, 3 evaluations" in out
    assert pictures.load("out.png").size == (30, 40)


def test_a_closed_pipe_is_no_error(folder):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "impasto.cli", "weights", "list"],
        stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert done.stderr == ""
