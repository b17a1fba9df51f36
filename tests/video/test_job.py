"""What is checked before any work is done."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from clips import texture
from impasto import pictures
from impasto.errors import RecipeError, VideoError
from impasto.recipe import Recipe, preset
from impasto.video.clip_context import build_clip_context
from impasto.video.identity import FINISHED
from impasto.video.job import prepare_video
from impasto.video.settings import VideoRecipe

pytestmark = pytest.mark.usefixtures("tiny_jobs")

QUICK = VideoRecipe(
    picture=Recipe(coarsest=48, iterations=(6, 4, 3)),
    following_iterations=2,
    fill_iterations=(2, 2),
    flow_size=96,
)


@pytest.mark.parametrize(
    "which", ["no folder", "the clip itself", "an unknown ending", "a folder in the way"]
)
def test_an_output_that_cannot_be_is_refused_at_once(
    tmp_path: Path, clip: Path, style: Path, which: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    output = {
        "no folder": tmp_path / "nowhere" / "out.mp4",
        "the clip itself": clip,
        "an unknown ending": tmp_path / "out.doc",
        "a folder in the way": tmp_path / "folder.mp4",
    }[which]
    with pytest.raises(VideoError):
        prepare_video(clip, style, output, QUICK)
    assert clip.stat().st_size > 0
    assert not list(tmp_path.glob("*.work"))


def test_a_video_of_which_nothing_would_be_painted_is_refused(
    clip: Path, style: Path, tmp_path: Path
) -> None:
    recipe = QUICK.replace(picture=QUICK.picture.replace(colours="only"))
    with pytest.raises(VideoError, match="colours 'only'"):
        prepare_video(clip, style, tmp_path / "out.mkv", recipe)


def test_a_small_clip_is_enlarged_only_when_a_size_is_asked_for(
    clip: Path, style: Path, tmp_path: Path
) -> None:
    """Also after settings were changed with `replace`, which once counted as asking for the default size."""

    def size(picture: Recipe) -> tuple[int, int]:
        recipe = QUICK.replace(picture=picture).replace(passes=2)
        return prepare_video(clip, style, tmp_path / "out.mkv", recipe, restart=True).size

    assert size(Recipe(coarsest=48)) == (64, 96)
    assert size(Recipe().replace(coarsest=48)) == (64, 96)
    assert size(Recipe(coarsest=48, size=192)) == (128, 192)
    assert size(Recipe(coarsest=48, size="original")) == (64, 96)


def test_one_picture_given_twice_is_two_styles(clip: Path, style: Path, tmp_path: Path) -> None:
    """Settings for each style go by position: the same picture upright and turned is no twice upright one."""
    picture = pictures.load(style)
    recipe = QUICK.replace(picture=QUICK.picture.replace(style_rotation=(0.0, 90.0)))
    statistics = []
    for number, styles in enumerate([[picture, picture], [style, style]]):
        job = prepare_video(clip, styles, tmp_path / f"{number}.mkv", recipe)
        context = build_clip_context(job.styles, job.recipe, job.encoder, *job.size)
        statistics.append(context.style_statistics)
    same, loaded_twice = statistics
    assert same.keys() == loaded_twice.keys()
    for size, layers in loaded_twice.items():
        for layer, targets in layers.items():
            torch.testing.assert_close(same[size][layer], targets)


@pytest.mark.parametrize("wrong", [{"processes": 0}, {"limit": 0}, {"quality": 52}, {"quality": -1}])
def test_values_out_of_range_are_refused(
    clip: Path, style: Path, tmp_path: Path, wrong: dict[str, int]
) -> None:
    with pytest.raises(VideoError, match="processes"):
        prepare_video(clip, style, tmp_path / "out.mp4", QUICK, **wrong)


def test_a_folder_of_another_version_is_resumed_if_it_was_painted_with_the_same_settings(
    clip: Path, style: Path, tmp_path: Path
) -> None:
    """A setting that it does not name is younger than it, and had its default; others had other names."""
    job = prepare_video(clip, style, tmp_path / "out.mkv", QUICK)
    facts = job.store.recall("job") or {}
    del facts["temporal_weight"]
    facts["evaluations"] = facts.pop("following_iterations")
    job.store.remember("job", facts)
    prepare_video(clip, style, tmp_path / "out.mkv", QUICK)
    with pytest.raises(VideoError, match=r"temporal_weight 1.0 → 2.0.*--restart"):
        prepare_video(clip, style, tmp_path / "out.mkv", QUICK.replace(temporal_weight=2.0))
    job.store.remember("job", facts | {"evaluations": 99})
    with pytest.raises(VideoError, match=r"following_iterations 99 → 2.*--restart"):
        prepare_video(clip, style, tmp_path / "out.mkv", QUICK)


def test_a_folder_begun_by_a_version_that_finished_no_frames_goes_on_so(
    clip: Path, style: Path, tmp_path: Path
) -> None:
    """The same with key frames, whose strokes are carried."""
    recipe = QUICK.replace(picture=preset("fast"))
    for then in (
        recipe,
        QUICK.replace(picture=Recipe()),
    ):  # before and after there was a preset that finishes
        job = prepare_video(clip, style, tmp_path / "out.mkv", then, restart=True)
        assert job.recipe.picture.finishing == then.picture.finishing
        facts = job.store.recall("job") or {}
        job.store.remember("job", {name: fact for name, fact in facts.items() if name != FINISHED})
        assert prepare_video(clip, style, tmp_path / "out.mkv", recipe).recipe.picture == Recipe(size=96)
    with pytest.raises(VideoError, match=r"content_weight 0.05 → 1.0.*--restart"):
        prepare_video(clip, style, tmp_path / "out.mkv", recipe.replace(picture=Recipe(content_weight=1.0)))
    key = tmp_path / "key.png"
    Image.fromarray(texture(64, 96)).save(key)
    job = prepare_video(clip, key, tmp_path / "keys.mkv", recipe, keys={0: key})
    assert job.recipe.picture == Recipe(size=96)


def test_a_clip_is_known_by_its_bytes_not_by_its_place(clip: Path, style: Path, tmp_path: Path) -> None:
    prepare_video(clip, style, tmp_path / "out.mkv", QUICK)
    copy = tmp_path / "elsewhere.mkv"
    copy.write_bytes(clip.read_bytes())
    prepare_video(copy, style, tmp_path / "out.mkv", QUICK, limit=1000)  # more than there are
    copy.write_bytes(clip.read_bytes() + b"x")
    with pytest.raises(VideoError, match="clip digest"):
        prepare_video(copy, style, tmp_path / "out.mkv", QUICK)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "instant", "style_blend": (2, 1)}, "2 style weights for 1 style"),
        ({"style_blend": (2, 1)}, "2 style weights for 1 style"),
        ({"guidance": 0.5}, "guidance 0.5"),
        ({"init": "picture"}, "a start from a picture"),
    ],
)
def test_a_recipe_that_the_styles_do_not_fit_is_refused_at_once(
    clip: Path, style: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        prepare_video(clip, style, tmp_path / "out.mkv", VideoRecipe(picture=Recipe(**settings)))
    assert not list(tmp_path.glob("*.work"))


def test_what_can_be_painted_is_not_refused(clip: Path, tmp_path: Path) -> None:
    """Without a style, and from key frames, between which nothing is painted from the recipe's start."""
    prepare_video(clip, [], tmp_path / "out.mkv", VideoRecipe(picture=Recipe(style_weight=0.0)))
    key = tmp_path / "key.png"
    Image.fromarray(texture(64, 96)).save(key)
    recipe = VideoRecipe(picture=Recipe(init="picture"))
    assert prepare_video(clip, key, tmp_path / "keys.mkv", recipe, keys={0: key}).keys


def test_a_style_with_other_transparency_is_another_run(clip: Path, style: Path, tmp_path: Path) -> None:
    pixels = pictures.load(style).pixels
    facts = prepare_video(clip, style, tmp_path / "out.mkv", QUICK).store.recall("job") or {}
    # As in folders of earlier versions, which did not know the alpha.
    assert facts["styles"] == hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:16]
    pictures.save(style, pixels, alpha=torch.full_like(pixels[:, :1], 0.5))
    assert torch.equal(pictures.load(style).pixels, pixels)
    with pytest.raises(VideoError, match=r"other settings \(styles"):
        prepare_video(clip, style, tmp_path / "out.mkv", QUICK)


def test_a_folder_of_masks_may_hold_folders_and_a_missing_mask_is_one_line(
    clip: Path, style: Path, tmp_path: Path
) -> None:
    (tmp_path / "masks" / "older").mkdir(parents=True)
    Image.fromarray(texture(64, 96)).save(tmp_path / "masks" / "0.png")
    for _ in range(2):  # the same run with the folder and without
        prepare_video(clip, style, tmp_path / "out.mkv", QUICK, mask=tmp_path / "masks")
        shutil.rmtree(tmp_path / "masks" / "older", ignore_errors=True)
    with pytest.raises(VideoError, match=r"the mask '.*none\.png' cannot be read: no such file"):
        prepare_video(clip, style, tmp_path / "new.mkv", QUICK, mask=tmp_path / "none.png")
