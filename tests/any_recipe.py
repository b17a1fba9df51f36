"""Random recipes and scenes for property tests, and what holds for the steps of every painting."""

from __future__ import annotations

import math

import torch
from hypothesis import strategies as st
from torch import Tensor

from fakes import checks, picture
from impasto.losses.functions import NORMALISATIONS
from impasto.networks.encoder import PADDINGS
from impasto.painting.engine import Step
from impasto.painting.optimisers import OPTIMISERS
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

WEIGHTS = (
    st.just(0.0) | st.floats(-12.0, 12.0).map(lambda power: 10.0**power) | st.sampled_from([1e-12, 1e12])
)


STYLE_LOSSES = ("gram", "wasserstein", "sliced", "histogram", "remd", "nearest")


LAYERS = ("relu1_1", "conv1_2", "relu2_1", "relu3_1", "conv3_2", "relu4_2", "relu5_1")


def subset(layers: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(layers), min_size=1, max_size=4, unique=True).map(tuple)


@st.composite
def recipes(draw: st.DrawFn, styles: int) -> Recipe:
    content_layers, style_layers = draw(subset(LAYERS)), draw(subset(LAYERS))
    some = st.floats(1e-12, 1e12)
    drawn = {
        "size": draw(st.integers(16, 40) | st.just("original")),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "padding": draw(st.sampled_from(list(PADDINGS))),
        "content_weight": draw(WEIGHTS),
        "content_layers": content_layers,
        "content_layer_weights": draw(st.just(()) | st.tuples(*[some] * len(content_layers))),
        "style_weight": draw(WEIGHTS),
        "style_layers": style_layers,
        "style_layer_weights": draw(st.just(()) | st.tuples(*[some] * len(style_layers))),
        "style_blend": draw(st.just(()) | st.tuples(*[some] * styles)),
        "style_scale": draw(st.floats(0.06, 8.0)),
        "tv_weight": draw(WEIGHTS),
        "normalisation": draw(st.sampled_from(NORMALISATIONS)),
        "margin": draw(st.sampled_from([0, 4, 30, 256])),
        "colours": draw(st.sampled_from(["style", "style", "content", "match", "only"])),
        "style_order": draw(st.sampled_from(["together", "coarse-to-fine"][:styles])),
        "style_rotation": draw(st.just(()) | st.tuples(st.floats(-360.0, 360.0))),
        "init": draw(st.sampled_from(["content", "instant", "noise", "style-colours", "picture"])),
        "optimiser": draw(st.sampled_from(list(OPTIMISERS))),
        "iterations": draw(st.tuples(st.integers(0, 12), st.integers(0, 12))),
        "coarsest": draw(st.sampled_from([1, 16, 40])),
        "tolerance": draw(st.sampled_from([0.0, 1e-6, 0.3])),
        "learning_rate": draw(st.floats(1e-6, 10.0)),
        "history": draw(st.integers(1, 20)),
    }
    if drawn["normalisation"] == "relative":
        losses = draw(st.lists(st.sampled_from(STYLE_LOSSES), min_size=1, max_size=3, unique=True))
        drawn["style_loss"] = tuple(losses)
        drawn["style_loss_weights"] = draw(st.just(()) | st.tuples(*[some] * len(losses)))
        drawn["content_loss"] = draw(st.sampled_from(["features", "features", "self-similarity"]))
        drawn["match_content"] = draw(st.floats(0.0, 1.0))
    if not (drawn["content_weight"] or drawn["style_weight"] or drawn["tv_weight"]):
        drawn["tv_weight"] = 1.0
    return Recipe(**drawn)


@st.composite
def pictures(draw: st.DrawFn) -> Tensor:
    height, width = draw(st.sampled_from([(16, 16), (24, 31), (40, 32), (16, 120), (130, 17), (33, 40)]))
    flat = {"black": 0.0, "white": 1.0, "grey": 0.5, "almost black": 1e-7, "red": [1.0, 0.0, 0.0]}
    kind = draw(st.sampled_from(["noise", "scene", "checks", *flat]))
    if kind == "noise":
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        return torch.rand(1, 3, height, width, generator=generator)
    if kind in ("scene", "checks"):
        return picture(height, width) if kind == "scene" else checks(height, width, 1)
    return torch.tensor(flat[kind]).view(1, -1, 1, 1).expand(1, 3, height, width).contiguous()


def masks(like: Tensor) -> st.SearchStrategy[Tensor | None]:
    """Opaque; half transparent; faint all over; a single opaque pixel row."""
    height, width = like.shape[-2:]
    half, row = torch.ones(1, 1, height, width), torch.zeros(1, 1, height, width)
    half[..., : width // 2], row[..., 3, :] = 0.0, 1.0
    return st.sampled_from([None, None, half, torch.full((1, 1, height, width), 1 / 255), row])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Scene, Recipe]:
    content, count = draw(pictures()), draw(st.integers(1, 2))
    styles = [draw(pictures()) for _ in range(count)]
    given_ = Scene(
        content=content,
        styles=tuple(Style(one, draw(masks(one))) for one in styles),
        content_mask=draw(masks(content)),
        start=draw(pictures()),
    )
    return given_, draw(recipes(count))


def check_steps(steps: list[Step]) -> None:
    """What holds for every run, however it went."""
    assert [s.last for s in steps] == [False] * (len(steps) - 1) + [True]
    best = dict.fromkeys(range(1, steps[0].scales + 1), math.inf)
    for step in steps:
        assert bool(torch.isfinite(step.picture).all())
        assert float(step.picture.min()) >= 0.0
        assert float(step.picture.max()) <= 1.0
        # A loss counts if its gradient was finite too, whatever became of the next proposal.
        if math.isfinite(step.loss) and not (step.event or "").startswith("not finite"):
            best[step.scale] = min(best[step.scale], step.loss)
        assert step.best_loss == best[step.scale]
        assert math.isfinite(step.loss) or step.event
    assert {s.scale for s in steps} == set(best)
