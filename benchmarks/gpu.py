"""What a GPU takes for a default picture, a reference run, a large picture and an instant frame.

Never run on a GPU so far: none was at hand. On a CPU it runs too, which shows only that it runs. Nothing is
asserted; the aims stand beside the figures.

    python benchmarks/gpu.py [--device cuda] [--quick]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from reference import random_vgg19

from impasto import api, samples
from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork, StyledRegion
from impasto.losses.build import objective_of
from impasto.machine import choose_device, choose_dtype, describe
from impasto.networks.encoder import OXFORD, Encoder
from impasto.networks.registry import load_encoder
from impasto.recipe import Recipe, preset
from impasto.scene import Scene, Style


def seconds(work: Callable[[], object], device: torch.device, repetitions: int = 1) -> float:
    """Seconds of a repetition, after one that does not count; a GPU is waited for at both ends."""
    work()
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(repetitions):
        work()
    synchronise(device)
    return (time.perf_counter() - begin) / repetitions


def synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)


def painting(
    recipe: Recipe, device: torch.device, encoder: Encoder | None = None, tile: int | None = None
) -> Callable[[], object]:
    """A function that paints a sample, from loaded pictures and weights."""
    content, style = samples.photograph("chelsea"), samples.painting("swirl")
    run = api.prepare(content, style, recipe, encoder=encoder, device=str(device), tile=tile)
    return lambda: api.run(run)


def instant_frame(device: torch.device) -> Callable[[], object]:
    """A function that brings a frame of 480×270 to the device and paints it."""
    encoder = load_encoder(device=device, dtype=choose_dtype("auto", device))
    network = InstantNetwork(encoder, load_decoder(device=device))
    region = StyledRegion(network.remember(samples.painting("swirl", size=480).to(device)))
    frame = torch.rand(1, 3, 270, 480)
    return lambda: network.paint(frame.to(device), [region])


def share_of_limit(encoder: Encoder, size: int, device: torch.device) -> float:
    """The FLOP/s of an evaluation with VGG-19 over those of a large matrix product in the same precision."""
    side = min(8 * size, 8192)
    a, b = (torch.randn(side, side, device=device).to(encoder.compute_dtype) for _ in range(2))
    image = torch.rand(1, 3, size, size)
    scene = Scene(image, (Style(torch.rand(1, 3, size, size)),)).at((size, size), 0, device)
    judged = objective_of(encoder, scene, Recipe())
    canvas = 1.0 - image.to(device)
    flop = sum(4 * weight.numel() * size**2 / 4 ** (int(name[4]) - 1) for name, weight in weights(encoder))
    judged.evaluate(canvas)  # the second one is recorded
    rate = flop / seconds(lambda: judged.evaluate(canvas), device, 20)
    return rate / (2 * side**3 / seconds(lambda: a @ b, device, 20))


def weights(encoder: Encoder) -> list[tuple[str, torch.Tensor]]:
    """Those of the convolutions that Recipe's layers need."""
    return [(conv, encoder.get_buffer(f"{conv}__weight")) for conv in encoder.convs if conv <= "conv5_1"]


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Print a table; returns figure → value."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args(arguments)
    device, quick = choose_device(options.device), options.quick
    size, count = (64, 1) if quick else (512, 500)
    vgg = Encoder(random_vgg19(), OXFORD).to(device).compute_in(choose_dtype("auto", device))
    default = preset("fast").replace(size=size)
    reference = Recipe(size=size, coarsest=size, iterations=(count,), tolerance=0.0)
    large = Recipe(size=128 if quick else 8192, iterations=(1,) if quick else (30, 30, 20, 10, 5, 4, 3))
    rows = {
        "default picture, s": (0.5, seconds(painting(default, device), device)),
        "reference run with VGG-19, s": (3.0, seconds(painting(reference, device, vgg), device)),
        "large picture in tiles, s": (
            60.0,
            seconds(painting(large, device, tile=64 if quick else 2048), device),
        ),
        "instant frames a second": (200.0, 1 / seconds(instant_frame(device), device, 2 if quick else 200)),
        "share of the device's limit": (1.0, share_of_limit(vgg, size, device)),
    }
    print(describe(device)["device_name"])
    print("| at " + str(device) + " | measured | aim |\n|---|---|---|")
    for name, (aim, value) in rows.items():
        print(f"| {name} | {value:.3g} | {aim:g} |")
    return {name: value for name, (_, value) in rows.items()}


if __name__ == "__main__":
    main()
