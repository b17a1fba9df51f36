"""Trains the decoder for instant transfer.

The loss has four parts: the relative distance of the Gram matrices to the style's at five layers; the
distance of features to the nearest ones of the style (centred cosine, matched anew at each step, as in Kolkin
et al. 2022); a little of the distance to the content's features; and, where style and content are the same
picture, the difference from it. Beside these, fine variation in flat areas is penalised, and most of all
what repeats there with the period of the features' positions.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import WeightsError
from impasto.feedforward.colours import colour_cost
from impasto.feedforward.decoder import Decoder, load_decoder
from impasto.feedforward.maps import transport
from impasto.feedforward.network import decoder_inputs
from impasto.feedforward.noise import PERIOD, noise_field
from impasto.feedforward.statistics import BANK_LAYERS, LEVELS, feature_moments
from impasto.feedforward.style import remember
from impasto.files import replacing
from impasto.machine import autocast
from impasto.networks.encoder import Encoder
from impasto.pictures.colour import LUMA
from impasto.training.checkpoint import read_checkpoint, write_checkpoint
from impasto.training.data import Crops
from impasto.training.pixel_losses import chroma_excess, grid_pattern, lost_forms, variation

__all__ = ["DecoderPlan", "DecoderTrainer", "export_decoder", "recoloured", "soft_chroma", "turned"]

GRAM_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
NEAREST_LAYERS = ("relu2_1", "relu3_1", "relu4_1")
CONTENT_LAYER = "relu3_2"


@dataclass(frozen=True)
class DecoderPlan:
    """The settings of a training run, stored in its checkpoint. The attributes are also flags with this help.

    Attributes:
        batch: Pairs of a content and a style in each step.
        size: Side of the content's crops in pixels.
        style_size: Side of the styles' crops in pixels.
        lr: Learning rate of Adam.
        gram: Weight of the relative distance of Gram matrices.
        gram_shares: Factors of the five layers relu1_1 to relu5_1 in that distance.
        nearest: Weight of the cosine distance to the nearest style features.
        content: Weight of the relative distance of relu3_2 to the content's.
        identity: Weight of the mean absolute difference from the content where it is also the style.
        identity_share: Share of the steps in which the content is also the style.
        variation: Weight of fine variation where the content is flat.
        grid: Weight of what repeats every four pixels where the content is flat.
        forms: Weight of the forms of the content that are lost, in lightness, at three scales.
        chroma: Weight of fine chroma beyond the style's.
        recolour: Share of the styles with permuted or inverted colours.
        rotate: Share of the styles that are rotated by 90°, 180° or 270°.
        seed: Seed of everything random.
    """

    batch: int = 2
    size: int = 160
    style_size: int = 192
    lr: float = 1.5e-3
    gram: float = 1.0
    gram_shares: tuple[float, float, float, float, float] = (0.15, 0.15, 0.2, 0.3, 0.3)
    nearest: float = 1.0
    content: float = 0.015
    identity: float = 5.0
    identity_share: float = 0.1
    variation: float = 0.3
    grid: float = 2.0
    forms: float = 0.3
    chroma: float = 0.3
    recolour: float = 0.2
    rotate: float = 0.5
    seed: int = 0


class DecoderTrainer:
    """The decoder with its running mean, optimiser and random state; :meth:`step` makes one training step.

    Args:
        encoder: ``compact``; it is not changed.
        photos, paintings: where contents and styles are cropped from.
        plan: settings of this run.
        decoder: the one to go on training; None: one of random weights.
    """

    def __init__(
        self,
        encoder: Encoder,
        photos: Crops,
        paintings: Crops,
        plan: DecoderPlan,
        decoder: Decoder | None = None,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.encoder, self.photos, self.paintings, self.plan = encoder, photos, paintings, plan
        self.rng = np.random.default_rng(plan.seed)
        self.generator = torch.Generator().manual_seed(plan.seed)
        self.decoder = Decoder()
        if decoder is not None:
            self.decoder.load_state_dict(decoder.state_dict())
        self.optimiser = torch.optim.Adam(self.decoder.parameters(), plan.lr, betas=(0.9, 0.99))
        self.heads = {layer: encoder.head(layer) for layer in (*GRAM_LAYERS, CONTENT_LAYER)}
        self.steps, self.seconds = 0, 0.0
        if decoder is None:
            self._calibrate()
        self.mean_state = {k: v.detach().clone() for k, v in self.decoder.state_dict().items()}

    def start_from(self, path: Path) -> None:
        """Take over the weights in a decoder's file, with the scales of its inputs.

        Raises:
            WeightsError: the file is missing or not a decoder.
        """
        self.decoder.load_state_dict(load_decoder(path).state_dict())
        self.mean_state = {k: v.detach().clone() for k, v in self.decoder.state_dict().items()}

    def soften_chroma(self) -> None:
        """Apply :func:`soft_chroma` to the weights and to their running mean."""
        self.decoder.load_state_dict(soft_chroma(self.decoder.state_dict()))
        self.mean_state = soft_chroma(self.mean_state)

    def run(self, seconds: float, *, final: float = 0.3) -> Iterator[dict[str, float]]:
        """Train for ``seconds`` of wall time; yields the losses of every step.

        Args:
            final: last share of the time, over which the learning rate falls to zero.
        """
        begin, before = time.perf_counter(), self.seconds
        while (done := (time.perf_counter() - begin) / seconds) < 1.0:
            share = min(1.0, (1.0 - done) / final) if final else 1.0
            losses = self.step(self.plan.lr * share * min(1.0, (self.steps + 1) / 100))
            self.seconds = before + time.perf_counter() - begin
            yield losses

    def step(self, lr: float) -> dict[str, float]:
        """Make one step of Adam at this learning rate; returns the losses by name, weights included."""
        content, style, same = self._draw()
        inputs, of_content, of_style = self._inputs(content, style)
        inputs = {k: v.contiguous(memory_format=torch.channels_last) for k, v in inputs.items()}
        with autocast(content.device):
            painted = self.decoder(inputs)
        losses = self._losses(painted, of_content, of_style)
        if self.plan.variation:
            losses["variation"] = self.plan.variation * variation(painted, content)
        if self.plan.grid:
            losses["grid"] = self.plan.grid * grid_pattern(painted, content)
        if self.plan.forms:
            losses["forms"] = self.plan.forms * lost_forms(painted, content)
        if self.plan.chroma:
            losses["chroma"] = self.plan.chroma * chroma_excess(painted, style)
        if same:
            losses["identity"] = self.plan.identity * (painted - content).abs().mean()
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.steps += 1
        self._average()
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(0.999, (1 + self.steps) / (10 + self.steps))
        for name, value in self.decoder.state_dict().items():
            self.mean_state[name].lerp_(value, 1 - decay)

    def _draw(self) -> tuple[Tensor, Tensor, bool]:
        """Contents and styles, (N, 3, H, H) each, and whether they are the same pictures."""
        plan, rng = self.plan, self.rng
        style = self.paintings.draw(plan.batch, plan.style_size, rng)
        style = turned(recoloured(style, plan.recolour, rng), plan.rotate, rng)
        if rng.random() < plan.identity_share:
            style[: plan.batch // 2] = self.photos.draw(plan.batch // 2, plan.style_size, rng)
            return style, style, True
        return self.photos.draw(plan.batch, plan.size, rng), style, False

    @torch.no_grad()
    def _inputs(
        self, content: Tensor, style: Tensor
    ) -> tuple[dict[str, Tensor], Mapping[str, Tensor], Mapping[str, Tensor]]:
        """The decoder's inputs, and the raw features of the contents and of the styles, by layer."""
        layers = tuple(dict.fromkeys((*LEVELS, *GRAM_LAYERS, *NEAREST_LAYERS, CONTENT_LAYER)))
        of_content = self.encoder(content, layers).raw
        of_style = of_content if style is content else self.encoder(style, layers).raw
        styles = remember(of_style, self.generator)
        maps = {
            k: transport(feature_moments(of_content[k]), styles.moments[k], cost=colour_cost(k))
            for k in LEVELS
        }
        noise = {layer: self._noise(of_content[layer]) for layer in BANK_LAYERS}
        return decoder_inputs(of_content, styles, maps, self.heads, noise), of_content, of_style

    def _noise(self, features: Tensor) -> Tensor:
        """A random window of the fixed noise for each picture, with a random sign for each channel."""
        n, c, h, w = features.shape
        parts = []
        for _ in range(n):
            top, left = (int(x) for x in self.rng.integers(PERIOD, size=2))
            signs = torch.from_numpy(self.rng.integers(2, size=(1, c, 1, 1)) * 2.0 - 1.0).float()
            parts.append(noise_field(c, h, w, top, left) * signs)
        return torch.cat(parts)

    def _calibrate(self) -> None:
        """Set the decoder's scales so that the inputs of each level have an RMS of 1."""
        totals = dict.fromkeys(LEVELS, 0.0)
        for _ in range(8):
            content, style, _ = self._draw()
            inputs, _, _ = self._inputs(content, style)
            for layer in LEVELS:
                totals[layer] += float(inputs[layer].square().mean()) / 8
        for layer in LEVELS:
            self.decoder.get_buffer(f"scale_{layer}").fill_(totals[layer] ** -0.5)

    def _losses(
        self, painted: Tensor, of_content: Mapping[str, Tensor], of_style: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The losses that are computed from features, weights included."""
        layers = tuple(dict.fromkeys((*GRAM_LAYERS, *NEAREST_LAYERS, CONTENT_LAYER)))
        features = self.encoder(painted, layers).raw
        grams = [
            share * gram_distance(features[k], of_style[k].detach(), self.heads[k]).mean()
            for k, share in zip(GRAM_LAYERS, self.plan.gram_shares, strict=True)
        ]
        matches = [
            nearest_distance(features[k], of_style[k], self.heads[k], self.generator).mean()
            for k in NEAREST_LAYERS
        ]
        distance = content_distance(
            features[CONTENT_LAYER], of_content[CONTENT_LAYER], self.heads[CONTENT_LAYER]
        )
        return {
            "gram": self.plan.gram * torch.stack(grams).sum(),
            "nearest": self.plan.nearest * torch.stack(matches).mean(),
            "content": self.plan.content * distance.mean(),
        }

    def save(self, folder: Path) -> None:
        """Write ``checkpoint.pt``, to resume from, and ``instant.safetensors``, to paint with."""
        state = {
            "decoder": self.decoder.state_dict(),
            "mean": self.mean_state,
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
            "rng": self.rng.bit_generator.state,
            "generator": self.generator.get_state(),
            "plan": dataclasses.asdict(self.plan),
        }
        write_checkpoint(folder, state)
        export_decoder(self.mean_state, folder / "instant.safetensors", steps=self.steps)

    def resume(self, folder: Path) -> None:
        """Continue from the checkpoint in ``folder``.

        Raises:
            WeightsError: there is none, or it is damaged.
        """
        keys = ("decoder", "mean", "optimiser", "steps", "seconds", "rng", "generator")
        state = read_checkpoint(folder, keys)
        try:
            self.decoder.load_state_dict(state["decoder"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"the checkpoint in '{folder}' is one of another decoder ({str(error).splitlines()[0]})",
                remedy="leave --resume out to begin anew",
            ) from None
        self.mean_state, self.steps, self.seconds = state["mean"], state["steps"], state["seconds"]
        self.rng.bit_generator.state = state["rng"]
        self.generator.set_state(state["generator"])


def export_decoder(state: Mapping[str, Tensor], path: Path, *, steps: int) -> None:
    """Write a decoder's weights as float16, for :func:`impasto.feedforward.decoder.load_decoder`."""
    from safetensors.torch import save_file

    with replacing(path) as partial:
        tensors = {name: value.half().contiguous() for name, value in state.items()}
        save_file(tensors, partial, metadata={"encoder": "compact", "steps": str(steps)})


def soft_chroma(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A decoder's weights with a last convolution that averages chroma over its 3×3 pixels.

    Luma keeps its kernel, and so its sharpness; fringes of colour of a pixel or two are blurred. Before the
    sigmoid, to which luma and chroma are only nearly independent.
    """
    kernel = state["picture.weight"]  # (3, C, 3, 3)
    luma = (kernel * kernel.new_tensor(LUMA)[:, None, None, None]).sum(0, keepdim=True)
    even = (kernel - luma).mean((2, 3), keepdim=True)
    return {**state, "picture.weight": luma + even}


def recoloured(pictures: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Some pictures of a batch (N, 3, H, W) with their channels permuted, and some of these inverted."""
    changed = pictures.clone()
    for i in range(len(changed)):
        if rng.random() < share:
            changed[i] = changed[i][torch.from_numpy(rng.permutation(3))]
            if rng.random() < 0.3:
                changed[i] = 1.0 - changed[i]
    return changed


def turned(pictures: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Some square pictures of a batch (N, 3, H, H) rotated by 90°, 180° or 270°."""
    changed = pictures.clone()
    for i in range(len(changed)):
        if rng.random() < share:
            changed[i] = torch.rot90(changed[i], int(rng.integers(1, 4)), (1, 2))
    return changed


def gram_distance(features: Tensor, style: Tensor, head: Tensor | None) -> Tensor:
    """2 ‖A − B‖² / (‖A‖² + ‖B‖²) of the Gram matrices of features after the head: (N,), from 0 to 2."""
    a, b = (_gram(x, head) for x in (features, style))
    return 2 * (a - b).square().sum((1, 2)) / (a.square() + b.square()).sum((1, 2))


def _gram(features: Tensor, head: Tensor | None) -> Tensor:
    """Gram matrices (N, D, D), float32, of features (N, C, H, W) after the head (D, C)."""
    f = features.permute(0, 2, 3, 1).flatten(1, 2)
    gram = (f.mT @ f).float() / f.shape[1]
    return gram if head is None else head @ gram @ head.T


def content_distance(features: Tensor, content: Tensor, head: Tensor | None) -> Tensor:
    """‖F − C‖² / ‖C‖² of features after the head: (N,)."""
    difference, target = features.float() - content.float(), content.float()
    if head is not None:
        difference, target = (F.conv2d(x, head[:, :, None, None]) for x in (difference, target))
    return difference.square().sum((1, 2, 3)) / target.square().sum((1, 2, 3))


def nearest_distance(features: Tensor, style: Tensor, head: Tensor | None, rng: torch.Generator) -> Tensor:
    """Mean of 1 − cosine to the nearest style feature, both centred on the style's mean: (N,).

    The mean is over 512 random positions, each of which is compared with 1024 random features of the style.
    """
    q, k = _sample(features, 512, rng), _sample(style, 1024, rng)
    if head is not None:
        q, k = q @ head.T, k @ head.T
    mean = k.mean(1, keepdim=True)
    q, k = F.normalize(q - mean, dim=-1), F.normalize(k - mean, dim=-1)
    with torch.no_grad():
        index = (q @ k.mT).argmax(-1)
    matches = torch.gather(k, 1, index[..., None].expand(-1, -1, k.shape[-1]))
    return 1 - (q * matches).sum(-1).mean(1)


def _sample(features: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """At most ``count`` features of (N, C, H, W) at random positions, the same for all N: (N, K, C)."""
    f = features.permute(0, 2, 3, 1).flatten(1, 2)
    if f.shape[1] > count:
        f = f[:, torch.randperm(f.shape[1], generator=rng)[:count]]
    return f.float()
