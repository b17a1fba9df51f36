"""``impasto stylize``: what it writes, what it keeps, what it says."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor

from fakes import SMALL, picture
from impasto import __version__, pictures
from impasto.cli import stylize as command
from impasto.cli.flags import merge
from impasto.losses.objective import Objective
from impasto.pictures.geometry import resample
from impasto.recipe import PRESETS, Recipe, preset


def recipe_in(path: str) -> Recipe:
    """The recipe that a picture carries."""
    return Recipe.from_json(pictures.read_metadata(path) or "")


@pytest.mark.slow
def test_it_writes_a_picture_with_its_recipe_inside(stylize, folder):
    code, out, err = stylize("--seed", "5", "--content-weight", "0.25")
    assert code == 0
    assert "painted out.png (40×30, 2 iterations" in out
    assert err.startswith("impasto: ")  # progress, line by line where stderr is no terminal
    with Image.open("out.png") as written:
        assert (written.size, written.mode) == ((40, 30), "RGB")
        assert "icc_profile" in written.info
    chosen = {
        "size": 40,
        "paint_size": 40,
        "coarsest": 40,
        "iterations": (2,),
        "seed": 5,
        "content_weight": 0.25,
        "init": "content",  # as settings of the layout want it
    }
    assert recipe_in("out.png") == preset("fast").replace(**chosen)
    assert sorted(path.name for path in folder.iterdir()) == ["content.png", "out.png", "style.png"]


def test_quiet_says_nothing(stylize):
    assert stylize("--quiet") == (0, "", "")
    assert stylize("-q") == (0, "", "")


def test_one_iteration_is_one_iteration(stylize):
    assert "1 iteration, " in stylize("--iterations", "1")[1]


@pytest.mark.slow
def test_progress_in_a_pipe_ends_at_a_hundred(stylize):
    err = stylize("--iterations", "20", "--tolerance", "0")[2]
    shares = [int(line.split("%")[0].removeprefix("impasto: ")) for line in err.splitlines()]
    assert shares == [5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


# -- runs that are kept --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_saved_run_is_complete_and_can_be_painted_again(stylize, impasto):
    assert stylize("--save-run", "run", "--iterations", "4", "--seed", "3", "--init", "noise")[0] == 0
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
    assert environment["versions"]["impasto"] == __version__
    assert torch.__version__.startswith(environment["versions"]["torch"].split("+")[0])
    assert environment["finished"] is True
    assert environment["inputs"] == ["content.png", "style.png"]
    assert environment["losses"]["total"] == pytest.approx(trace[-1]["best_loss"])
    assert (run / "picture.png").read_bytes() == Path("out.png").read_bytes()
    again = ["stylize", "content.png", "style.png", "-o", "again.png", "--recipe", "run/recipe.json"]
    assert impasto(*again)[0] == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


@pytest.mark.slow
def test_a_saved_run_is_replaced_only_with_overwrite(stylize):
    assert stylize("--save-run", "run", "--seed", "1")[0] == 0
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    code, _, err = stylize("--save-run", "run", "--seed", "2", out="other.png")
    assert (code, err.count("\n")) == (2, 1)
    assert "add --overwrite" in err
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before
    assert not Path("other.png").exists()
    assert stylize("--save-run", "run", "--seed", "2", "--overwrite")[0] == 0
    assert Recipe.from_json(Path("run/recipe.json").read_text()).seed == 2


def test_an_empty_folder_is_as_good_as_a_new_one(stylize):
    Path("run").mkdir()
    assert stylize("--save-run", "run")[0] == 0
    assert Path("run/picture.png").is_file()


def test_a_run_is_not_saved_over_its_own_input_and_nothing_is_painted_for_it(stylize, impasto, monkeypatch):
    assert stylize("--save-run", "run")[0] == 0
    monkeypatch.setattr(Objective, "evaluate", lambda *_: pytest.fail("it was painted"))
    flags = ["-o", "out.png", "--save-run", "run", "--overwrite"]
    code, _, err = impasto("stylize", "run/picture.png", "style.png", *flags)
    assert (code, err.count("\n")) == (2, 1)
    assert "would replace the input 'run/picture.png'" in err


def test_a_run_that_cannot_be_recorded_says_so_and_keeps_the_picture(stylize):
    Path("run/recipe.json/in-the-way").mkdir(parents=True)
    code, _, err = stylize("--quiet", "--save-run", "run", "--overwrite")
    assert (code, err.count("\n")) == (2, 1)
    assert "recipe.json" in err
    assert pictures.load("out.png").size == (30, 40)
    assert not list(Path("run").glob("*.partial*"))


# -- recipes -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_flags_go_over_the_recipe_file_and_defaults_do_not(impasto, folder):
    full = Recipe(size=36, coarsest=36, iterations=(3,), tv_weight=0.5, style_layers=("relu1_1", "relu2_1"))
    Path("r.json").write_text(full.to_json())
    arguments = ["stylize", "content.png", "style.png", "-o", "out.png", "--recipe", "r.json"]
    assert impasto(*arguments, "--tv-weight", "0.25")[0] == 0
    assert recipe_in("out.png") == full.replace(tv_weight=0.25)
    # A flag with the default's value is a flag all the same.
    assert impasto(*arguments, "--tv-weight", "0")[0] == 0
    assert recipe_in("out.png") == full.replace(tv_weight=0.0)


@pytest.mark.slow
def test_a_recipe_file_goes_over_a_preset_and_flags_over_both(impasto, folder):
    Path("r.json").write_text(json.dumps({"style_weight": 7.0, "tv_weight": 0.5}))
    flags = ["--preset", "draft", "--recipe", "r.json", "--tv-weight", "0.25"]
    assert impasto("stylize", "content.png", "style.png", "-o", "out.png", "--size", "40", *flags)[0] == 0
    draft = PRESETS["draft"][1]
    assert draft
    own = {"style_weight": 7.0, "tv_weight": 0.25, "size": 40, "init": "content"}
    assert recipe_in("out.png") == Recipe(**draft | own)


def test_every_default_is_the_recipes_own():
    # Nothing on the command line repeats a default: without flags the recipe is the preset's.
    signature = inspect.signature(command.stylize).parameters
    assert not set(Recipe.model_fields) & set(signature) - {"recipe"}
    assert signature["settings"].default is None
    assert signature["preset"].default is None
    assert merge(None, None, None) == preset("fast")
    assert signature["max_pixels"].default == pictures.DEFAULT_MAX_PIXELS


# -- flags that go together ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"finishing": (3,), "coarse_finishing": 0}, "--finishing 3 only divides the time among the scales"),
        ({"iterations": (3, 6)}, "--iterations 3,6 only divides the time among the scales"),
        ({"tolerance": 0.1}, "--tolerance is ignored"),
    ],
)
def test_a_budget_says_what_it_overrides(capsys, settings, says):
    command._note_unused(0.3, settings, None, False, False)
    assert capsys.readouterr().err == f"impasto: --budget decides when to stop: {says}\n"


@pytest.mark.slow
def test_a_budget_stops_in_time(impasto, folder):
    small = ("--size", "32", "--paint-size", "32", "--coarsest", "32", "--tolerance", "0.1")
    paint = ["stylize", "content.png", "style.png", "-o", "out.png", "--preset", "classic", *small]
    assert impasto(*paint, "--budget", "0.3s", "--quiet") == (0, "", "")


def test_overwrite_alone_says_that_it_does_nothing(stylize):
    assert "--overwrite is ignored without --save-run" in stylize("--overwrite")[2]


@pytest.mark.slow
@pytest.mark.parametrize("masks", [["left.png,right.png"], ["left.png", "right.png"]])
def test_masks_are_written_with_commas_or_spaces(impasto, folder, masks):
    left = torch.zeros(1, 3, 48, 64)
    left[..., :32] = 1.0
    pictures.save("left.png", left)
    pictures.save("right.png", 1.0 - left)
    pictures.save("other.png", picture(48, 48, 7))
    quick = [*SMALL, "--iterations", "2"]
    paint = ["stylize", "content.png", "style.png", "other.png", "-o", "out.png", *quick]
    assert impasto(*paint, "--mask", *masks)[0] == 0
    expected = pictures.load("out.png").pixels
    assert impasto(*paint, "--mask", "left.png", "--mask", "right.png")[0] == 0
    assert torch.equal(pictures.load("out.png").pixels, expected)


@pytest.mark.slow
def test_two_styles_are_blended(impasto, folder):
    pictures.save("other.png", picture(48, 48, 7))
    quick = [*SMALL, "--iterations", "3"]
    results = {}
    for name, blend in {
        "even": [],
        "first": ["--style-blend", "1,0"],
        "second": ["--style-blend", "0", "1"],
        "mixed": ["--style-blend", "0.5", "--style-blend", "0.5"],
    }.items():
        code, _, err = impasto(
            "stylize", "content.png", "style.png", "other.png", "-o", f"{name}.png", *quick, *blend
        )
        assert code == 0, err
        results[name] = pictures.load(f"{name}.png").pixels
    assert torch.equal(results["even"], results["mixed"])
    assert not torch.equal(results["first"], results["second"])
    impasto("stylize", "content.png", "style.png", "-o", "alone.png", *quick)
    assert torch.equal(pictures.load("alone.png").pixels, results["first"])


# -- pictures in and out -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_alpha_in_alpha_out(stylize):
    alpha = torch.zeros(1, 1, 48, 64)
    alpha[..., 8:40, 8:56] = 1.0
    pictures.save("content.png", picture(48, 64), alpha=alpha)
    assert stylize("--save-run", "run")[0] == 0
    assert stylize("--preview-every", "2", "--iterations", "3", out="previewed.png")[0] == 0
    for name in ("out.png", "run/picture.png", "previewed.png"):
        loaded = pictures.load(name)
        assert loaded.alpha is not None
        assert float(loaded.alpha[0, 0, 0, 0]) == 0.0
        assert float(loaded.alpha[0, 0, 15, 20]) == 1.0
        assert loaded.alpha.shape == (1, 1, 30, 40)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags", "kind"),
    [("o.jpg", ["--quality", "80"], "JPEG"), ("o.webp", [], "WEBP"), ("o.tif", ["--bit-depth", "16"], "TIFF"),
     ("o.TIFF", [], "TIFF")],
)  # fmt: skip
def test_other_formats(stylize, name, flags, kind):
    assert stylize(*flags, out=name)[0] == 0
    assert recipe_in(name).size == 40
    assert pictures.load(name).size == (30, 40)
    if kind == "TIFF":
        assert tifffile.imread(name).dtype == (np.uint16 if flags else np.uint8)
    else:
        with Image.open(name) as written:
            assert written.format == kind


@pytest.mark.slow
def test_previews_are_whole_pictures_of_the_work_so_far(stylize, monkeypatch):
    sizes: list[tuple[int, int]] = []
    save = pictures.save

    def watched(path: str | os.PathLike[str], *arguments: object, **options: object) -> Path:
        saved = save(path, *arguments, **options)  # type: ignore[arg-type]
        with Image.open(saved) as written:
            written.load()
            sizes.append(written.size)
        return saved

    monkeypatch.setattr(pictures, "save", watched)
    assert stylize("--iterations", "7", "--preview-every", "3")[0] == 0
    assert sizes == [(40, 30)] * 3  # after 3 and 6, and the finished one


@pytest.mark.slow
def test_size_original_and_another_start(stylize):
    assert stylize("--size", "original", "--coarsest", "64", "--init-image", "style.png")[0] == 0
    assert pictures.load("out.png").size == (48, 64)
    assert recipe_in("out.png").init == "picture"


@pytest.mark.slow
def test_an_odd_name_is_a_name(impasto, folder):
    name = "Grüße an\u2009alle – 🎨 'x' %s.png"
    Path("content.png").rename(name)
    quick = [*SMALL, "--iterations", "2"]
    assert impasto("stylize", name, "style.png", "-o", f"out {name}", *quick)[0] == 0
    assert pictures.load(f"out {name}").size == (30, 40)


# -- Ctrl-C --------------------------------------------------------------------------------------------------


@pytest.mark.slow
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
    assert not list(folder.rglob("*.partial*"))


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_an_evaluation(stylize, monkeypatch):
    evaluate, calls = Objective.evaluate, []

    def interrupted(self: Objective, image: Tensor) -> tuple[float, Tensor, dict[str, float]]:
        calls.append(image)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(self, image)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    code, out, err = stylize("--iterations", "20")
    assert code == 130
    assert "stopped: the best picture so far out.png (40×30, 3 iterations" in out
    assert "100%" not in err
    assert pictures.load("out.png").size == (30, 40)


# -- layers --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_layers_hold_content_masks_and_painting(stylize):
    mask = torch.zeros(1, 3, 48, 64)
    mask[..., :32] = 1
    pictures.save("left.png", mask)
    assert stylize("--layers", "out.ora", "--mask", "left.png")[0] == 0
    with zipfile.ZipFile("out.ora") as archive:
        layers = ElementTree.fromstring(archive.read("stack.xml")).findall("stack/layer")
        read = {layer.get("name"): np.asarray(Image.open(archive.open(layer.get("src")))) for layer in layers}
    assert list(read) == ["painting", "mask 1", "content"]
    with Image.open("out.png") as painted:
        assert np.array_equal(read["painting"], np.asarray(painted))
    assert (read["mask 1"][:, :18] == 255).all()
    assert (read["mask 1"][:, 22:] == 0).all()
    content = pictures.to_uint8(resample(pictures.load("content.png").pixels, (30, 40)))
    assert np.array_equal(read["content"], content)


@pytest.mark.slow
def test_layers_in_a_deep_tiff(stylize):
    assert stylize("--layers", "layers.tif", "--bit-depth", "16", out="out.tif")[0] == 0
    with tifffile.TiffFile("layers.tif") as file:
        pages = [page.asarray() for page in file.pages]
    assert [page.dtype for page in pages] == [np.uint16, np.uint16]
    assert np.array_equal(pages[1], tifffile.imread("out.tif"))


@pytest.mark.parametrize(
    ("layers", "message"),
    [("a.psd", "expected .ora, .tif, .tiff"), ("no/a.ora", "the folder of the output"),
     ("out.tif", "--layers names the output"), ("style.tif", "is also an input")],
)  # fmt: skip
def test_a_file_for_layers_is_checked_before_painting(impasto, monkeypatch, layers, message):
    monkeypatch.setattr(Objective, "evaluate", lambda *_: pytest.fail("it was painted"))
    Image.open("style.png").save("style.tif")
    code, _, err = impasto("stylize", "content.png", "style.tif", "-o", "out.tif", "--layers", layers)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
