"""The training of the decoder: it learns, it is seeded, it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from impasto.errors import WeightsError
from impasto.feedforward.decoder import load_decoder
from impasto.networks.registry import load_encoder
from impasto.training.checkpoint import read_checkpoint, write_checkpoint
from impasto.training.data import Crops
from impasto.training.instant import (
    DecoderPlan,
    DecoderTrainer,
    content_distance,
    gram_distance,
    nearest_distance,
    recoloured,
    soft_chroma,
    turned,
)

PLAN = DecoderPlan(batch=2, size=32, style_size=32, lr=3e-3)


def make_trainer(folders: Path) -> DecoderTrainer:
    crops = [Crops(folders / name) for name in ("photos", "paintings")]
    return DecoderTrainer(load_encoder(), *crops, PLAN)


def weights(trainer: DecoderTrainer) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trainer.decoder.state_dict().values()])


class Saved(NamedTuple):
    """A run of one step, which was saved, and the weights that it had after a second one."""

    folder: Path
    mean_state: dict[str, torch.Tensor]
    after_two: torch.Tensor


@pytest.fixture(scope="module")
def saved(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    trainer, folder = make_trainer(folders), tmp_path_factory.mktemp("saved")
    trainer.step(1e-2)
    trainer.save(folder)
    mean_state = {name: value.clone() for name, value in trainer.mean_state.items()}
    trainer.step(1e-3)
    return Saved(folder, mean_state, weights(trainer))


@pytest.mark.slow
def test_the_loss_falls(folders: Path):
    trainer = make_trainer(folders)
    losses = [trainer.step(1e-3)["gram"] for _ in range(16)]
    assert np.mean(losses[-6:]) < 0.9 * np.mean(losses[:4])


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run(folders: Path, saved: Saved):
    resumed = make_trainer(folders)
    resumed.resume(saved.folder)
    resumed.step(1e-3)
    assert resumed.steps == 2
    assert torch.equal(weights(resumed), saved.after_two)


@pytest.mark.slow
def test_what_is_written_is_a_decoder(saved: Saved):
    decoder = load_decoder(saved.folder / "instant.safetensors")
    for name, value in decoder.state_dict().items():
        torch.testing.assert_close(value, saved.mean_state[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_training_starts_from_given_weights(folders: Path, saved: Saved):
    second = make_trainer(folders)
    second.start_from(saved.folder / "instant.safetensors")
    for name, value in second.decoder.state_dict().items():
        torch.testing.assert_close(value, saved.mean_state[name], rtol=1e-3, atol=1e-4)
        assert torch.equal(second.mean_state[name], value)
    assert second.steps == 0
    assert all(p.requires_grad for p in second.decoder.parameters())


@pytest.mark.parametrize("content", [None, b"", b"half", b"other training"])
def test_no_checkpoint_is_one_line(tmp_path: Path, content: bytes | None):
    if content == b"other training":
        write_checkpoint(tmp_path, {"student": {}})
    elif content is not None:
        (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="no checkpoint to resume from") as caught:
        read_checkpoint(tmp_path, ("decoder",))
    assert "\n" not in str(caught.value)


def test_distances_are_zero_for_the_same_and_large_for_others():
    generator = torch.Generator().manual_seed(0)
    f, other = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    head = torch.randn(4, 4, generator=generator)
    for distance in (gram_distance, content_distance):
        assert float(distance(f, f, head).abs().max()) < 1e-6
        assert float(distance(f, other, head).min()) > 1e-2
    assert float(nearest_distance(f, f, head, generator).abs().max()) < 1e-5
    assert float(nearest_distance(f, other, head, generator).min()) > 1e-2


def test_augmentation_keeps_the_values():
    pictures, rng = torch.rand(6, 3, 8, 8), np.random.default_rng(0)
    assert torch.equal(turned(pictures, 0.0, rng), pictures)
    changed = turned(pictures, 1.0, rng)
    assert not torch.equal(changed, pictures)
    torch.testing.assert_close(changed.flatten(2).sort(-1).values, pictures.flatten(2).sort(-1).values)
    assert torch.equal(recoloured(pictures, 0.0, rng), pictures)
    assert not torch.equal(recoloured(pictures, 1.0, rng), pictures)


def test_soft_chroma_keeps_luma_and_averages_chroma():
    state = load_decoder().state_dict() | {
        "picture.weight": torch.randn(3, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    }
    luma = torch.tensor([0.299, 0.587, 0.114])
    before, after = (s["picture.weight"] for s in (state, soft_chroma(state)))
    grey = [torch.einsum("c,cijk->ijk", luma, kernel) for kernel in (before, after)]
    torch.testing.assert_close(grey[1], grey[0])
    chroma = after - grey[1]
    torch.testing.assert_close(chroma, chroma.mean((2, 3), keepdim=True).expand_as(chroma))
    torch.testing.assert_close(after.sum((2, 3)), before.sum((2, 3)), atol=1e-5, rtol=1e-5)
    assert soft_chroma(state).keys() == state.keys()
