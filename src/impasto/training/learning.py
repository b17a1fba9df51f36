"""Learns a style of one's own: the general decoder is trained a little further on the works of one artist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from impasto.feedforward.decoder import decoder_of, load_decoder
from impasto.feedforward.network import InstantNetwork
from impasto.feedforward.style import InstantStyle
from impasto.machine import fast_bfloat16
from impasto.networks.registry import load_encoder
from impasto.pictures.geometry import fit, resample
from impasto.training.data import Crops
from impasto.training.instant import DecoderPlan, DecoderTrainer

__all__ = ["STYLE_SIDE", "StyleLearner"]

#: Longer side in pixels at which a style is learned; instant pictures have this size by default.
STYLE_SIDE = 512
#: Longer side in pixels of the photographs that crops are taken from, at most.
CONTENT_SIDE = 400
#: No colours and directions but the style's own; crops of the style are large, because its motifs are.
PLAN = DecoderPlan(
    batch=2, size=160, style_size=256, lr=7e-4, recolour=0.0, rotate=0.0, identity_share=0.05, variation=0.6
)
#: Last share of the time, over which the learning rate falls to zero.
FINAL = 0.6


class StyleLearner:
    """Trains a decoder for one style, on the CPU.

    Args:
        styles: one or several pictures (1, 3, H, W), sRGB, [0, 1].
        contents: photographs to practise on, of the same form.
        plan: settings of the training.

    Attributes:
        trainer: makes the steps.
    """

    def __init__(
        self, styles: Sequence[Tensor], contents: Sequence[Tensor], plan: DecoderPlan = PLAN
    ) -> None:
        dtype = torch.bfloat16 if fast_bfloat16(torch.device("cpu")) else torch.float32
        self._styles = [_at_most(style, STYLE_SIDE) for style in styles]
        photographs = Crops.of([_at_most(content, CONTENT_SIDE) for content in contents])
        self.trainer = DecoderTrainer(
            load_encoder(dtype=dtype), photographs, Crops.of(self._styles), plan, load_decoder()
        )

    def run(self, seconds: float) -> Iterator[float]:
        """Train for ``seconds``; yields the share of the time that is over, after every step."""
        before = self.trainer.seconds
        for _ in self.trainer.run(seconds, final=FINAL):
            yield min(1.0, (self.trainer.seconds - before) / seconds)

    def style(self) -> InstantStyle:
        """The style with its decoder, as far as it has been learned."""
        decoder = decoder_of(self.trainer.mean_state)
        network = InstantNetwork(load_encoder(), decoder)
        mixture = InstantStyle.blend([network.remember(style) for style in self._styles])
        return InstantStyle(mixture.moments, mixture.banks, dict(decoder.state_dict()))


def _at_most(picture: Tensor, side: int) -> Tensor:
    """A picture (1, 3, H, W) with a longer side of ``side`` pixels at most."""
    size = (int(picture.shape[-2]), int(picture.shape[-1]))
    return resample(picture, fit(*size, min(side, max(size))))
