"""Key frames: what is refused, and which frames are worth painting."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes import picture
from impasto import pictures
from impasto.errors import PictureError, VideoError
from impasto.video.cuts import Shot
from impasto.video.key_frames import KeyFrame, coverage, load_keys, suggest


def test_keys_are_loaded_in_the_order_of_the_clip(tmp_path: Path) -> None:
    for number in (1, 2):
        pictures.save(tmp_path / f"{number}.png", picture(36, 48, number))
    keys = load_keys({7: tmp_path / "2.png", 0: tmp_path / "1.png"}, (72, 96), 8)
    assert [key.index for key in keys] == [0, 7]
    assert torch.equal(keys[0].pixels, pictures.load(tmp_path / "1.png").pixels)


@pytest.mark.parametrize(
    ("index", "size", "message"),
    [(8, (36, 48), r"key 8 \('.*b\.png'\) is not in the clip; frames are counted from 0 to 7"),
     (-1, (36, 48), "key -1"), (3, (36, 60), "is 60×36 pixels; the clip is 96×72, of another shape"),
     (3, (72, 96), "is 96×72 pixels; the first key is 48×36; give all keys the same size")],
)  # fmt: skip
def test_a_key_that_does_not_fit_is_one_line(
    tmp_path: Path, index: int, size: tuple[int, int], message: str
) -> None:
    pictures.save(tmp_path / "a.png", picture(36, 48))
    pictures.save(tmp_path / "b.png", picture(*size))
    with pytest.raises(VideoError, match=message):
        load_keys({0: tmp_path / "a.png", index: tmp_path / "b.png"}, (72, 96), 8)
    with pytest.raises(PictureError, match="there is no file"):
        load_keys({0: tmp_path / "none.png"}, (72, 96), 8)


def test_transparent_areas_are_not_painted_and_their_hidden_colours_do_not_count(tmp_path: Path) -> None:
    alpha = torch.zeros(1, 1, 32, 32)
    alpha[..., :16] = 1.0
    pixels = torch.where(alpha > 0, torch.tensor(0.8), torch.tensor(0.0)).expand(1, 3, 32, 32)
    key = KeyFrame(0, pixels, alpha)
    assert torch.allclose(key.painting((32, 32)), torch.full((1, 3, 32, 32), 0.8), atol=0.01)
    assert torch.equal(key.cover((32, 32)), alpha)
    assert torch.equal(KeyFrame(0, pixels).cover((4, 4)), torch.ones(1, 1, 4, 4))
    pictures.save(tmp_path / "empty.png", picture(36, 48), alpha=torch.zeros(1, 1, 36, 48))
    with pytest.raises(PictureError, match="the key 3 picture is transparent all over"):
        load_keys({3: tmp_path / "empty.png"}, (72, 96), 8)


def test_coverage_is_the_product_of_the_steps() -> None:
    assert coverage([0, 0.5, 0.25, 0.5], 1, Shot(0, 4)).tolist() == [0.5, 1.0, 0.25, 0.125]
    assert coverage([9, 9, 0, 0.5], 3, Shot(2, 4)).tolist() == [0.5, 1.0]


def test_frames_that_cover_most_are_suggested() -> None:
    """Compared with all choices: greedy is within 1 − 1/e of the best (a submodular sum), and usually it."""
    random = np.random.RandomState(0)
    shots = [Shot(0, 3), Shot(3, 9)]
    for _ in range(5):
        steps = random.uniform(0.3, 1.0, 9).tolist()

        def covered(keys: tuple[int, ...], steps: list[float] = steps) -> float:
            return sum(
                float(np.max([coverage(steps, k, s) for k in keys if s.first <= k < s.end] or [0], 0).sum())
                for s in shots
            )

        for count in (1, 2, 3):
            best = max(covered(keys) for keys in itertools.combinations(range(9), count))
            assert covered(tuple(suggest(steps, shots, count))) >= (1 - 1 / np.e) * best
    still = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert suggest(still, shots, 2) == [0, 3]  # one for each shot, the longer one first
    assert len(suggest(still, shots, 20)) == 9
