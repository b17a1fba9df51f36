"""A term of the caller's own: whole and in tiles, by name, left out where it does not apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from fakes import array, checks, picture, tiny_encoder, tiny_state
from impasto.errors import RecipeError
from impasto.losses.objective import Objective
from impasto.losses.pixels import TotalVariationTerm
from impasto.losses.terms import Part, Term
from impasto.losses.tiled import TiledEncoder
from impasto.scene import Scene, Style

SIZE = (48, 80)
IMAGE = picture(*SIZE, 2).double()
SCENE = Scene(picture(*SIZE, 1).double(), (Style(checks(40, 40).double()),))
DEEP = "relu2_1"


@dataclass(frozen=True, kw_only=True)
class Sparseness(Term):
    """(Σ|f|)² / (n Σf²) of a layer: 1 if all features are alike, less the fewer of them are active."""

    name: str = "sparseness"
    layers: tuple[str, ...] = (DEEP,)

    def gather(self, part: Part, memory: Any) -> Tensor:
        features = part.features[DEEP]
        return torch.stack([features.abs().sum(), features.square().sum(), torch.ones_like(features).sum()])

    def judge(self, gathered: Tensor, memory: Any) -> Tensor:
        return gathered[0] ** 2 / (gathered[1] * gathered[2])


@dataclass(frozen=True, kw_only=True)
class Contrast(Term):
    """Standard deviation over the mean of each colour, against the content's; two losses by name."""

    name: str = "contrast"

    def applies(self, scene: Scene) -> bool:
        return scene.content is not None

    def prepare(self, scene: Scene, encoder: TiledEncoder) -> Tensor:
        assert scene.content is not None
        assert not torch.is_grad_enabled()
        return scene.content.std((0, 2, 3), unbiased=False) / scene.content.mean((0, 2, 3))

    def gather(self, part: Part, memory: Tensor) -> Mapping[str, Tensor]:
        image = part.without_halo(part.image)
        counted = torch.ones_like(image).sum((0, 2, 3))
        return {"first": image.sum((0, 2, 3)), "second": image.square().sum((0, 2, 3)), "count": counted}

    def judge(self, gathered: Mapping[str, Tensor], memory: Tensor) -> Mapping[str, Tensor]:
        mean, second = gathered["first"] / gathered["count"], gathered["second"] / gathered["count"]
        gap = (second - mean**2).sqrt() / mean - memory
        return {"red": gap[0] ** 2, "others": gap[1:].square().sum()}


def objective(*terms: Term, tile: int | None = None, scene: Scene = SCENE) -> Objective:
    return Objective(tiny_encoder(dtype=torch.float64), scene, terms, tile=tile)


def expected() -> dict[str, float]:
    state = {key: array(value) for key, value in tiny_state().items() if key[4:7] in ("1_1", "1_2", "2_1")}
    features = oracles.encode(state, array(IMAGE[0]), [DEEP])[DEEP]
    ratios = [
        np.std(array(x[0]), axis=(1, 2)) / np.mean(array(x[0]), axis=(1, 2)) for x in (IMAGE, SCENE.content)
    ]
    gap = ratios[0] - ratios[1]
    return {
        "sparseness": 2.0 * np.abs(features).sum() ** 2 / (features.size * (features**2).sum()),
        "contrast/red": 5.0 * gap[0] ** 2,
        "contrast/others": 5.0 * (gap[1] ** 2 + gap[2] ** 2),
    }


@pytest.mark.parametrize("tile", [None, 16, 32])
def test_ratios_of_sums_are_exact_in_tiles(tile):
    terms = Sparseness(weight=2.0), Contrast(weight=5.0)
    judged = objective(*terms, tile=tile)
    assert len(judged.encoder.tiles(SIZE, judged.layers, wrap=False)) == {None: 1, 16: 15, 32: 6}[tile]
    total, gradient, losses = judged.evaluate(IMAGE)
    twin = expected()
    assert losses == pytest.approx(twin, rel=1e-6)
    assert total == pytest.approx(sum(twin.values()), rel=1e-6)
    whole_total, whole_gradient, whole_losses = objective(*terms).evaluate(IMAGE)
    assert total == pytest.approx(whole_total, rel=1e-12)
    assert losses == pytest.approx(whole_losses, rel=1e-12)
    scale = float(whole_gradient.abs().max())
    assert scale > 0.0
    torch.testing.assert_close(gradient, whole_gradient, rtol=0, atol=1e-12 * scale)
    assert judged.losses(IMAGE) == pytest.approx(losses, rel=1e-12)


def test_the_gradient_in_tiles_is_that_of_finite_differences():
    judged, step = objective(Sparseness(), Contrast(weight=5.0), tile=16), 1e-6
    gradient = judged.evaluate(IMAGE)[1]
    # Pixels beside a seam, in a corner and inside.
    for channel, row, column in [(0, 15, 31), (1, 16, 32), (2, 0, 0), (0, 40, 70)]:
        shift = torch.zeros_like(IMAGE)
        shift[0, channel, row, column] = step
        ahead, behind = (sum(judged.losses(IMAGE + sign * shift).values()) for sign in (1, -1))
        slope = (ahead - behind) / (2 * step)
        assert float(gradient[0, channel, row, column]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_the_tiles_of_a_ratio_are_not_judged_one_by_one():
    # What would go wrong: the mean of the tiles' ratios is another number.
    judged = objective(Sparseness(), tile=16)
    parts = list(judged.encoder.parts(IMAGE, (DEEP,)))
    term = Sparseness()
    each = [float(term.judge(term.gather(part, None), None)) for part in parts]
    assert abs(np.mean(each) - judged.losses(IMAGE)["sparseness"]) > 1e-3


def test_a_term_that_does_not_apply_is_left_out():
    texture = Scene(None, SCENE.styles, aspect=SIZE)
    assert objective(Contrast(), Sparseness(), scene=texture).losses(IMAGE).keys() == {"sparseness"}
    assert objective(Contrast(), Sparseness()).losses(IMAGE).keys() == {
        "sparseness", "contrast/red", "contrast/others",
    }  # fmt: skip
    with pytest.raises(RecipeError, match="no term applies to these pictures"):
        objective(Contrast(), scene=texture)


def test_layers_of_terms_left_out_are_not_computed():
    assert objective(Sparseness(weight=0.0), TotalVariationTerm()).layers == ()
    assert objective(Sparseness(), TotalVariationTerm()).layers == (DEEP,)


def test_one_term_twice_needs_two_names():
    judged = objective(Sparseness(), Sparseness(name="again", weight=3.0))
    losses = judged.losses(IMAGE)
    assert losses["again"] == pytest.approx(3.0 * losses["sparseness"])
    with pytest.raises(RecipeError, match=r"two terms called 'sparseness'.*rename one"):
        objective(Sparseness(), Sparseness()).evaluate(IMAGE)


def test_other_weights_share_what_was_prepared():
    judged = objective(Sparseness(), Contrast())
    other = judged.reweighted({"contrast": 4.0})
    assert other.losses(IMAGE)["contrast/red"] == pytest.approx(4.0 * judged.losses(IMAGE)["contrast/red"])
    assert other.losses(IMAGE)["sparseness"] == judged.losses(IMAGE)["sparseness"]
    assert judged.reweighted({"sparseness": 0.0}).layers == ()


def test_a_term_needs_to_gather_and_to_judge():
    with pytest.raises(TypeError, match="gather"):
        Term(name="empty")  # type: ignore[abstract]
    assert Sparseness().prepare(SCENE, TiledEncoder(tiny_encoder())) is None
    assert Sparseness().style_statistics(SCENE, TiledEncoder(tiny_encoder())) == {}
    assert Sparseness().applies(Scene(None))
