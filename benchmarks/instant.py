"""Seconds and peak memory of instant transfer: ``python benchmarks/instant.py [SIZE]``; asserts nothing."""

from __future__ import annotations

import os
import resource
import sys
import time

import torch

from impasto import samples
from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork, StyledRegion
from impasto.machine import choose_dtype, keep_memory
from impasto.networks.registry import load_encoder
from impasto.pictures.geometry import resample


def main(size: int = 512) -> None:
    """Time a style and a picture, five times each; on a busy machine the minimum is the figure to use."""
    keep_memory()
    network = InstantNetwork(load_encoder(dtype=choose_dtype("auto", torch.device("cpu"))), load_decoder())
    content = resample(samples.photograph("chelsea"), (size * 3 // 4, size))
    painting = samples.painting("swirl", size=size)
    seconds: dict[str, list[float]] = {"style": [], "picture": []}
    for _ in range(5):
        begin = time.perf_counter()
        style = network.remember(painting)
        middle = time.perf_counter()
        network.paint(content, [StyledRegion(style)])
        seconds["style"].append(middle - begin)
        seconds["picture"].append(time.perf_counter() - middle)
    for name, values in seconds.items():
        print(f"{name}: minimum {min(values):.2f} s, maximum {max(values):.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {peak:.0f} MB; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
