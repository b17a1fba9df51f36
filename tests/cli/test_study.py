"""``impasto study …``: flags become plans; what does not apply, or is varied, is no flag."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from impasto.cli import study, study_run
from impasto.cli.main import app
from impasto.cli.study import setting_and_values
from impasto.errors import RecipeError
from impasto.studies import named
from impasto.studies.plan import StudyPlan

STUDIES = sorted(named.DEFAULTS)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[StudyPlan]:
    """The plans that the commands would carry out."""
    collected: list[StudyPlan] = []

    def run(plan: StudyPlan, options: object, folder: Path | None = None) -> int:
        collected.append(plan)
        return 0

    monkeypatch.setattr(study, "run", run)
    return collected


#: The shortest call of each study.
CALLS = {name: [name] for name in STUDIES} | {
    "layers": ["layers", "photograph:chelsea"],
    "style-of": ["style-of", "painting:wave"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_page_shows_the_defaults_of_the_study_and_no_flag_for_what_it_varies(
    impasto, plans, monkeypatch, name
):
    """Every default that the help page shows is what the first cell is painted with."""
    monkeypatch.setenv("COLUMNS", "300")
    assert impasto("study", *CALLS[name])[0] == 0
    recipe = plans[0].cells()[0].recipe
    out = impasto("study", name, "--help")[1]
    varied = set.intersection(*({*value.settings} for axis in plans[0].vary for value in axis.values[-1:]))
    varied -= {"content_weight", "style_weight"}  # `weights` varies any two; `content-layers` multiplies one
    assert not [setting for setting in varied if f"--{setting.replace('_', '-')} " in out]
    for setting in ("size", "iterations", "tolerance", "precision", "margin", "tv_weight", "encoder"):
        (line,) = (x for x in out.splitlines() if x.startswith(f"│ --{setting.replace('_', '-')} "))
        value = getattr(recipe, setting)
        text = (
            ",".join(map(str, value))
            if isinstance(value, tuple)
            else f"{value:g}"
            if isinstance(value, float)
            else value
        )
        assert f"[default: {text}]" in line
    assert "[default: the size: one scale]" in out
    assert recipe.coarsest == recipe.size


@pytest.mark.slow
def test_flags_reach_the_plan(impasto, plans):
    impasto("study", "inits", "--seeds", "4", "7", "--size", "64", "--iterations", "9")
    impasto("study", "weights", "--x", "tv_weight=0.1", "1", "--y", "style_scale=0.5,1", "--seed", "3")
    impasto("study", "layers", "painting:wave", "--of", "style", "--layers", "relu1_1,relu1_1+relu2_1")
    impasto("study", "styles", "--contents", "a.jpg,b.jpg", "--styles", "c.jpg", "--starts", "noise")
    inits, weights, layers, styles = plans
    assert inits.axes["start"] == ("content", "noise, seed 4", "noise, seed 7")
    assert (inits.base["size"], inits.base["coarsest"], inits.base["iterations"]) == (64, 64, [9])
    assert weights.axes["tv_weight"] == ("0.1", "1")
    assert weights.axes["style_scale"] == ("0.5", "1")
    assert weights.seeds == (3,)
    assert layers.axes["layers"] == ("relu1_1", "relu1_1+relu2_1")
    assert (styles.contents, styles.styles, styles.axes["start"]) == (
        ("a.jpg", "b.jpg"),
        ("c.jpg",),
        ("from noise",),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["layers", "style.png", "--seeds", "a"], "--seeds a: a whole number is expected"),
        (["layers", "none.png"], "there is no file"),
        (["layers", "style.png", "--style-loss", "sliced"], "only the content loss is used"),
        (["layers", "style.png", "--of", "style", "--content-weight", "2"], "only the style loss is used"),
        (["weights", "--x", "content_weight"], "a setting and its values"),
        (["weights", "--x", "colour=1,2"], "unknown setting 'colour'"),
        (["weights", "--content-weight", "2"], "--content-weight and --x content_weight"),
        (["claims", "--only", "nothing"], "no study 'nothing'"),
        (["inits", "--judge", "compact"], "optimised under it"),
        (["inits", "--seed", "3"], "--seed does not apply: the study varies it, see --seeds"),
        (["optimisers", "--history", "3"], "--history does not apply: the study varies it"),
        (["style-of", "painting:wave", "--content-weight", "3"], "there is no content"),
        (["styles", "--feather", "0.1"], "there are no masks in a study"),
        (["custom", "none.yaml"], "cannot be read"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_nothing(impasto, folder, arguments, says):
    code, _, err = impasto("study", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert says in err
    assert sorted(path.name for path in folder.iterdir()) == ["content.png", "style.png"]


def test_settings_and_their_values():
    assert setting_and_values(["content-weight=0.1", "1"]) == ("content_weight", [0.1, 1])
    layers = setting_and_values(["style_layers=relu1_1+relu2_1", "relu3_1"])
    assert layers == ("style_layers", [["relu1_1", "relu2_1"], "relu3_1"])
    for wrong in ([], ["content_weight"], ["=1"], ["content_weight="], ["colour=1"]):
        with pytest.raises(RecipeError):
            setting_and_values(wrong)


def test_the_claims_are_run_one_after_the_other(impasto, monkeypatch):
    folders = []
    monkeypatch.setattr(study, "run", lambda plan, options, folder: folders.append(folder) or 0)
    assert impasto("study", "claims", "--only", "nan", "starts", "-o", "studies")[0] == 0
    assert folders == [Path("studies/nan"), Path("studies/starts")]
    shutil.rmtree("studies")
    code, _, err = impasto("study", "claims", "--only", "nan", "-o", "style.png/studies")
    assert (code, err.count("\n")) == (2, 1)
    assert "no folder 'style.png/studies'" in err


def test_studies_need_their_extra(impasto, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    code, _, err = impasto("study", "inits", "--size", "32")
    assert (code, err.count("\n")) == (2, 1)
    assert "pip install 'impasto[studies]'" in err


def test_every_study_has_a_command():
    assert set(named.DEFAULTS) < set(app["study"])
    assert study_run.SAMPLES == ("photograph:", "painting:", "inset:")
