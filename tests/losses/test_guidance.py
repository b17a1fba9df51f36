"""Guidance by meaning: what suits where, how it is bounded, and what the terms make of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fakes import picture, tiny_encoder
from impasto.errors import RecipeError
from impasto.losses.build import objective_of
from impasto.losses.finishing import FinishingTerm
from impasto.losses.guidance import CAPACITY, PARTS, _clusters, guided
from impasto.losses.nearest import NearestTerm
from impasto.losses.neighbours import StyleDirections, unit_rows
from impasto.losses.tiled import TiledEncoder
from impasto.painting import engine
from impasto.recipe import Recipe
from impasto.scene import Guidance, Region, Scene, Style

CPU = torch.device("cpu")


def halves(above: float, below: float, size: int = 64, *, noise: float = 0.2) -> torch.Tensor:
    """A picture that is even above and grainy below."""
    made = torch.full((1, 3, size, size), above)
    grain = torch.rand(1, 3, size // 2, size, generator=torch.Generator().manual_seed(1)) - 0.5
    made[..., size // 2 :, :] = (below + noise * grain).clamp(0, 1)
    return made


def rows_of(guidance: Guidance) -> torch.Tensor:
    """The part that suits best at each of 8×8 places, by rows."""
    places = torch.arange(8)
    return guidance.on_grid(places, places, guidance.size[0] // 8).argmax(1).view(8, 8)


def test_like_goes_to_like():
    style, content = halves(0.8, 0.2), halves(0.9, 0.4)
    (region,) = guided(Scene(content, (Style(style),)), tiny_encoder(), 1.0).regions
    parts = region.styles[0].parts[0, 0]
    height = len(parts)
    above, below = (set(half.flatten().tolist()) for half in (parts[: height // 3], parts[-(height // 3) :]))
    assert not above & below  # the style's halves are parts of their own
    suits = rows_of(region.guidance)
    assert set(suits[:3].flatten().tolist()) <= above
    assert set(suits[-3:].flatten().tolist()) <= below


def test_it_is_the_same_for_a_style_turned_upside_down():
    """Deep features and lightness outweigh the height in the picture."""
    content = halves(0.9, 0.3)
    (region,) = guided(Scene(content, (Style(halves(0.9, 0.3).flip(-2)),)), tiny_encoder(), 1.0).regions
    parts = region.styles[0].parts[0, 0]
    bright = set(parts[-len(parts) // 3 :].flatten().tolist())
    assert set(rows_of(region.guidance)[:3].flatten().tolist()) <= bright


def test_no_part_is_preferred_much_more_often_than_it_is_there():
    # The whole content is like the small bright part of the style.
    style = torch.full((1, 3, 64, 64), 0.1)
    style[..., 24:40, 24:40] = 0.9
    content = torch.full((1, 3, 64, 64), 0.9)
    content[..., :2, :2] = 0.85
    (region,) = guided(Scene(content, (Style(style),)), tiny_encoder(), 1.0).regions
    mask = region.styles[0].mask
    # What a part counts for is what it covers, up to CAPACITY times as much relative to the mean.
    assert float(mask.min()) > 0
    parts, weights = region.styles[0].parts[0, 0], region.styles[0].mask
    grown = torch.nn.functional.interpolate(parts[None, None].float(), weights.shape[-2:])[0, 0].long()
    share = torch.bincount(grown.flatten(), minlength=PARTS) / grown.numel()
    used = torch.zeros(PARTS).index_add_(0, grown.flatten(), weights.flatten())
    used = used / used.sum()
    assert bool((used <= 1.05 * CAPACITY * share + 1e-6).all())


@given(st.integers(2, 30), st.integers(0, 50))
def test_clusters_are_the_nearest_centres(count, seed):
    rows = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    weights = torch.rand(count, generator=torch.Generator().manual_seed(seed + 1)) + 0.01
    centres, labels = _clusters(rows, weights)
    distances = ((rows[:, None] - centres[None]) ** 2).sum(2)
    assert bool((distances.gather(1, labels[:, None])[:, 0] <= distances.amin(1) + 1e-5).all())


def test_suitability_is_interpolated_between_places_and_held_at_the_edge():
    plane = torch.tensor([[-1.0, -3.0], [-5.0, -7.0]]).view(1, 1, 2, 2)
    guidance = Guidance(plane, (8, 8), margin=2).at((8, 8), 2, CPU)
    # Positions of stride 2 on a canvas of 12 × 12 pixels lie at 1, 3, … 11, so at -1, 1, … 9 of the content.
    found = guidance.on_grid(torch.arange(6), torch.arange(6), 2).view(6, 6).numpy()
    along = np.clip(
        (np.arange(-1, 10, 2) - 2.0) / 4.0, 0.0, 1.0
    )  # 0 at the first place's centre, 1 at the last's
    expected = -1.0 - 4.0 * along[:, None] - 2.0 * along[None]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_part_that_does_not_suit_is_not_matched():
    bank = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    membership = torch.zeros(40, 2)
    membership[:20, 0] = membership[20:, 1] = 1.0
    style = StyleDirections(bank, membership)
    units = unit_rows(bank - style.centre)
    free, _ = style.matches(style.queries(units, torch.zeros(40, 2)))
    assert free.tolist() == list(range(40))
    only_first, _ = style.matches(style.queries(units, torch.tensor([[0.0, -9.0]]).expand(40, -1)))
    assert int(only_first.max()) < 20
    by_hand = (units @ style.units.T)[:, :20].argmax(1)
    assert only_first.tolist() == by_hand.tolist()


RECIPE = Recipe(finishing=5, content_until=16, style_loss="nearest", keep_details=0.5)


@pytest.mark.parametrize("finishing", [False, True])
def test_tiles_change_nothing(finishing):
    encoder = tiny_encoder(dtype=torch.float64)
    content, style = picture(48, 64).double(), picture(24, 32, 2).double()
    scene = guided(Scene(content, (Style(style),)), encoder, 1.0).at((48, 64), 4, CPU)
    scene = replace(scene, start=scene.content.flip(-1))
    image = torch.rand(scene.start.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    whole, tiled = (
        objective_of(encoder, scene, RECIPE, tile=tile, finishing=finishing).evaluate(image)
        for tile in (None, 32)
    )
    assert tiled[0] == pytest.approx(whole[0], rel=1e-11)
    torch.testing.assert_close(tiled[1], whole[1], rtol=0, atol=1e-11 * float(whole[1].abs().max()))


def test_turned_copies_keep_their_parts():
    encoder = tiny_encoder()
    style = halves(0.8, 0.2)
    scene = guided(Scene(halves(0.9, 0.4), (Style(style),)), encoder, 1.0).at((64, 64), 0, CPU)
    term = FinishingTerm(layers=("relu1_1",))
    bank = term.style_statistics(scene, TiledEncoder(encoder))["relu1_1/finishing"]
    bright, parts = bank[:, :-1].mean(1), bank[:, -1]
    (part,) = TiledEncoder(encoder).parts(scene.regions[0].styles[0].pixels, ("relu1_1",))
    above = float(part.features["relu1_1"][..., :16, :].mean())
    labels = scene.regions[0].styles[0].parts[0, 0]
    upper = set(labels[: len(labels) // 3].flatten().tolist())
    chosen = torch.tensor([int(index) in upper for index in parts.tolist()])
    assert float((bright[chosen] - above).abs().median()) < float((bright[~chosen] - above).abs().median())


def test_nearest_matches_the_parts_that_suit():
    encoder = tiny_encoder()
    style, content = halves(0.8, 0.2), halves(0.9, 0.4)
    scene = guided(Scene(content, (Style(style),)), encoder, 8.0).at((64, 64), 0, CPU)
    term = NearestTerm(layers=("relu1_1", "relu2_1"), layer_weights={"relu1_1": 0.5, "relu2_1": 0.5})
    tiled = TiledEncoder(encoder)
    banks = term.style_statistics(scene, tiled)
    pull = term.prepare(scene, tiled)["relu1_1/nearest"].pull
    parts = banks["parts/nearest"][:, 0][pull.matches].long()
    labels = scene.regions[0].styles[0].parts[0, 0]
    upper = set(labels[: len(labels) // 3].flatten().tolist())
    assert {int(index) for index in parts[:4].flatten()} <= upper


@pytest.mark.parametrize("scene", [Scene(None, (Style(picture(32, 32)),)), Scene(picture(32, 32))])
def test_without_content_or_style_nothing_is_guided(scene):
    assert guided(scene, tiny_encoder(), 1.0) is scene


def test_a_region_without_content_is_not_guided_and_the_other_is_painted():
    styles = (Style(halves(0.3, 0.8)),)
    regions = tuple(
        Region(name, torch.full((1, 1, 64, 64), covered), styles)
        for name, covered in (("all", 1.0), ("nothing", 0.0))
    )
    scene = Scene(halves(0.9, 0.4), styles, regions=regions)
    recipe = Recipe(
        size=64,
        coarsest=64,
        iterations=3,
        style_layers=("relu1_1",),
        content_layers=("relu2_1",),
        guidance=1.0,
    )
    *_, last = engine.steps(scene, recipe, tiny_encoder())
    assert np.isfinite(last.loss)
    assert not torch.equal(last.picture, scene.content)


def test_statistics_that_many_pictures_share_know_no_content():
    scene = Scene(picture(32, 32), (Style(picture(32, 32, 2)),))
    with pytest.raises(RecipeError, match="guidance 1 with style statistics that many pictures share"):
        engine.style_statistics(scene, Recipe(size=32, guidance=1.0), tiny_encoder())


def test_the_setting_changes_the_picture_and_nothing_where_it_is_off():
    scene = Scene(halves(0.9, 0.4), (Style(halves(0.3, 0.8)),))

    def painted(**settings: float) -> torch.Tensor:
        recipe = Recipe(
            size=64, coarsest=64, iterations=3, style_loss=("gram", "nearest"), style_layers=("relu1_1",),
            content_layers=("relu2_1",), **settings,
        )  # fmt: skip
        *_, last = engine.steps(scene, recipe, tiny_encoder())
        return last.picture

    assert torch.equal(painted(), painted(guidance=0.0))
    assert not torch.equal(painted(), painted(guidance=1.0))
