"""Frames that follow each other, with the tiny encoder: temporal term, still parts, drift, what is new."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch

from clips import moving_square, texture
from fakes import tiny_encoder
from impasto.errors import RecipeError
from impasto.losses.functions import temporal_loss
from impasto.losses.objective import Objective, Past, StyleSource
from impasto.painting.engine import Limits, Sources, steps, style_grams
from impasto.recipe import Recipe
from impasto.video import motion, sequence
from impasto.video.sequence import Earlier
from impasto.video.settings import VideoRecipe
from impasto.video.store import from_pixels

PICTURE = Recipe(size="original", coarsest=48, iterations=(12, 8, 6))
QUICK = VideoRecipe(picture=PICTURE, evaluations=3, fill_evaluations=(4, 3))
STYLE = (StyleSource(from_pixels(texture(64, 64, 7))),)


def studio(recipe: VideoRecipe = QUICK, height: int = 64, width: int = 96) -> sequence.Studio:
    return sequence.open_studio(STYLE, recipe, tiny_encoder(), height, width)


def test_temporal_loss_against_numpy() -> None:
    random = np.random.RandomState(0)
    image, past, trust = random.rand(3, 5, 7), random.rand(3, 5, 7), random.rand(5, 7)
    slow = 0.0
    for c in range(3):
        for y in range(5):
            for x in range(7):
                slow += trust[y, x] * (image[c, y, x] - past[c, y, x]) ** 2
    found = temporal_loss(
        *(torch.from_numpy(one)[None] for one in (image, past)), torch.from_numpy(trust)[None, None]
    )
    assert float(found) == pytest.approx(slow / (3 * 5 * 7), rel=1e-12)


def test_temporal_gradient_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    image, past = (torch.rand(1, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    trust = torch.rand(1, 1, 4, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: temporal_loss(x, past, trust), image.requires_grad_(True))


def test_gram_targets_handed_in_change_nothing() -> None:
    encoder, content = tiny_encoder(), from_pixels(texture(64, 96))
    fresh = Sources(content, STYLE)
    known = Sources(content, STYLE, grams=style_grams(fresh, PICTURE, encoder))
    ends = [list(steps(one, PICTURE, encoder))[-1] for one in (fresh, known)]
    assert torch.equal(ends[0].picture, ends[1].picture)
    assert ends[0].loss == ends[1].loss


def test_past_frames_are_a_named_term() -> None:
    content = from_pixels(texture(64, 96))
    past = Past(torch.zeros_like(content), torch.ones_like(content[:, :1]), 2.0)
    total, terms = Objective(tiny_encoder(), PICTURE, content, STYLE, past=(past, past))(content)
    assert float(terms["temporal"]) == pytest.approx(4.0 * float(content.square().mean()), rel=1e-5)
    assert float(total) == pytest.approx(sum(float(v) for v in terms.values()), rel=1e-5)


def walk(frames: list[torch.Tensor], desk: sequence.Studio) -> list[sequence.Painted]:
    painted = [sequence.paint(frames[0], desk)]
    for index in range(1, len(frames)):
        earlier = [
            Earlier(frames[index - j], painted[index - j].pixels)
            for j in desk.recipe.long_term
            if index - j >= 0
        ]
        painted.append(
            sequence.follow(frames[index], earlier, painted[-1].reference, desk, first=painted[0].pixels)
        )
    return painted


def test_a_still_clip_is_painted_once() -> None:
    frame = from_pixels(texture(64, 96))
    painted = walk([frame] * 4, studio())
    assert all(torch.equal(one.pixels, painted[0].pixels) for one in painted)
    assert [one.evaluations for one in painted[1:]] == [0.0] * 3


@pytest.mark.parametrize(("tolerance", "within"), [(0.02, 0.0), (0.0, 0.01)])
def test_two_hundred_noisy_still_frames_do_not_drift(tolerance: float, within: float) -> None:
    """Not at all by default; mean and contrast within 1 % where every frame is painted anew."""
    generator = torch.Generator().manual_seed(0)
    ground = from_pixels(texture(48, 48)) * 0.8 + 0.1
    recipe = QUICK.replace(still_tolerance=tolerance, evaluations=2, fill_evaluations=(1,))
    desk = studio(recipe, 48, 48)
    first = last = sequence.paint(ground, desk)
    for _ in range(200):
        noisy = sequence.quantise(ground + 0.008 * torch.randn(ground.shape, generator=generator))
        last = sequence.follow(noisy, [Earlier(noisy, last.pixels)], last.reference, desk, first=first.pixels)
    assert float(last.pixels.mean() / first.pixels.mean()) == pytest.approx(1.0, abs=within)
    assert float(last.pixels.std() / first.pixels.std()) == pytest.approx(1.0, abs=within)


def test_a_slow_fade_is_followed() -> None:
    """Each frame differs from the last by less than the tolerance, the last from the first by far more."""
    ground = from_pixels(texture(64, 96))
    frames = [sequence.quantise(ground * (1 - 0.012 * k)) for k in range(30)]
    painted = walk(frames, studio())
    assert sum(one.evaluations > 0 for one in painted[1:]) >= 5
    assert float((painted[-1].reference - frames[-1]).abs().mean()) < 0.04


def test_what_stands_still_beside_motion_is_copied_bit_by_bit() -> None:
    frames = [from_pixels(frame) for frame in moving_square(4)]
    painted = walk(frames, studio())
    for before, now in pairwise(painted):
        assert torch.equal(before.pixels[..., 54:, 70:], now.pixels[..., 54:, 70:])
        assert now.evaluations > 0


def test_a_frame_that_shares_nothing_is_painted_as_a_picture() -> None:
    before, now = from_pixels(texture(64, 96, 1)), from_pixels(255 - texture(64, 96, 8))
    desk = studio()
    painted = sequence.follow(now, [Earlier(before, before)], before, desk)
    assert painted.known == 0.0
    assert painted.evaluations > 8


def test_drift_is_taken_back_a_little_at_a_time() -> None:
    first = from_pixels(texture(48, 64, 2)) * 0.5 + 0.2
    assert (sequence.correct_drift(first * 0.995, first) - first).abs().max() < 1e-3
    pale = (first - 0.4) * 0.5 + 0.4
    once = sequence.correct_drift(pale, first)
    assert float(once.std() / pale.std()) == pytest.approx(1.01, abs=1e-3)
    for _ in range(80):
        pale = sequence.correct_drift(pale, first)
    assert (pale - first).abs().max() < 1e-3


def test_new_parts_take_the_paintings_colours() -> None:
    filmed = from_pixels(texture(48, 64, 1))
    mixing = torch.tensor([[0.2, 0.5, 0.1], [0.3, 0.2, 0.2], [0.1, 0.1, 0.6]])
    painted = torch.einsum("ij,njhw->nihw", mixing, filmed) + 0.05
    known = torch.ones(1, 1, 48, 64)
    known[..., 40:] = 0.0
    found = sequence.recolour(filmed, painted * known, known)
    assert (found - painted).abs().max() < 0.03


def test_an_outline_is_not_borrowed_as_a_stroke() -> None:
    strokes = 0.05 * torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    drawn = strokes.clone()
    drawn[..., 48] += 0.5
    even = sequence._even(drawn)
    assert even[..., 48].abs().mean() < 0.2 * drawn[..., 48].abs().mean()
    apart = (slice(None), slice(None), slice(None), slice(0, 36))
    assert float(even[apart].std() / strokes[apart].std()) == pytest.approx(1.0, abs=0.1)
    assert sequence._even(torch.zeros(1, 3, 8, 8)).abs().max() == 0.0
    # Where the past knows nothing, its line is not to be seen; that it has strokes is.
    known = torch.ones(1, 1, 64, 96)
    known[..., 36:60] = 0.0
    past = (Past((0.5 + drawn).clamp(0, 1), known, 1.0),)
    filled, _ = sequence._fill(torch.full((1, 3, 64, 96), 0.5), past, studio(), None)
    line = (filled[..., 48] - (filled[..., 45] + filled[..., 51]) / 2).mean()
    assert abs(float(line)) < 0.1
    assert float(filled[..., 40:46].std()) > 0.01


def test_long_term_reaches_back_over_what_covered() -> None:
    """The square passes over the ground; with J = 1, 4 the ground comes back as it was."""
    frames = [from_pixels(frame) for frame in moving_square(6, 64, 96, 16, step=10)]
    far = walk(frames, studio(QUICK.replace(long_term=(1, 4), temporal_weight=100.0)))
    near = walk(frames, studio(QUICK.replace(long_term=(1,), temporal_weight=100.0)))
    # Columns 28–37 are covered in frame 2 and free in frames 0 and 4.
    gone = (slice(None), slice(None), slice(22, 34), slice(38, 46))
    assert (far[5].pixels[gone] - far[1].pixels[gone]).square().mean() <= (
        near[5].pixels[gone] - near[1].pixels[gone]
    ).square().mean()


def test_later_passes_start_from_a_blend() -> None:
    frames = [from_pixels(frame) for frame in moving_square(2)]
    desk = studio()
    base = sequence.paint(frames[0], desk).pixels
    neighbour = sequence.paint(frames[1], desk).pixels
    painted = sequence.follow(frames[0], [Earlier(frames[1], neighbour)], frames[1], desk, base=base)
    assert painted.evaluations == desk.recipe.evaluations


def test_a_mask_leaves_the_film() -> None:
    filmed, painted = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1.0
    laid = sequence.lay_over(painted, filmed, mask)
    assert laid[..., :2].min() == 1.0
    assert laid[..., 2:].max() == 0.0
    assert sequence.lay_over(painted, filmed, None) is painted


def test_sampling_again_and_again_keeps_the_contrast() -> None:
    picture = from_pixels(texture(64, 64, 4)) * 0.6 + 0.2
    flow = np.full((64, 64, 2), 0.5, np.float32)
    moved = picture
    for step in range(20):
        moved = motion.warp(moved, flow if step % 2 else -flow)
    inner = (slice(None), slice(None), slice(12, -12), slice(12, -12))
    assert float(moved[inner].std() / picture[inner].std()) == pytest.approx(1.0, abs=0.02)
    # No frequency gains, and the lower six tenths lose nothing, wherever between two pixels the place is.
    for fraction in (0.1, 0.25, 0.5, 0.9):
        taps = motion._taps(torch.tensor(fraction, dtype=torch.float64))
        wave = torch.exp(1j * torch.outer(torch.linspace(0, 3.14159, 50), torch.arange(-4.0, 6.0)))
        gain = (wave.to(torch.complex128) @ torch.stack(taps).to(torch.complex128)).abs()
        assert float(gain.max()) <= 1.002
        assert float(gain[: len(gain) * 6 // 10].min()) > 0.99


@pytest.mark.parametrize(
    "settings", [{"passes": 0}, {"long_term": ()}, {"flow": "guess"}, {"temporal_weight": -1}, {"sped": 2}]
)
def test_wrong_settings_are_one_line(settings: dict[str, object]) -> None:
    with pytest.raises(RecipeError) as caught:
        VideoRecipe(**settings)
    assert "\n" not in str(caught.value)


def test_long_term_always_has_the_frame_before() -> None:
    assert VideoRecipe(long_term="4,2").long_term == (1, 2, 4)
    assert dataclasses.asdict(Earlier(torch.zeros(1), torch.zeros(1))).keys() == {"filmed", "painted"}


def test_a_large_frame_is_judged_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles change a frame by rounding alone."""
    frames = [from_pixels(frame) for frame in moving_square(2)]
    whole = walk(frames, studio())[-1].pixels
    monkeypatch.setattr(sequence, "_WHOLE", 0)
    monkeypatch.setattr(sequence, "_TILED", Limits(tile=64))
    assert (walk(frames, studio())[-1].pixels - whole).abs().mean() < 2 / 255
