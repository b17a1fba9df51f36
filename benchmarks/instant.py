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
    """Time a style and a picture, five times each.

    On a busy machine the minimum is the figure to use, or the processor time over the number of cores, which
    is a lower bound.
    """
    keep_memory()
    network = InstantNetwork(load_encoder(dtype=choose_dtype("auto", torch.device("cpu"))), load_decoder())
    content = resample(samples.photograph("chelsea"), (size * 3 // 4, size))
    painting = samples.painting("swirl", size=size)
    style = network.remember(painting)
    work = {
        "style": lambda: network.remember(painting),
        "picture": lambda: network.paint(content, [StyledRegion(style)]),
    }
    for name, function in work.items():
        seconds, processor = [], []
        for _ in range(5):
            begin, begin_processor = time.perf_counter(), time.process_time()
            function()
            seconds.append(time.perf_counter() - begin)
            processor.append(time.process_time() - begin_processor)
        print(
            f"{name}: minimum {min(seconds):.2f} s, maximum {max(seconds):.2f} s, "
            f"of the processor {min(processor):.2f} s"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {peak:.0f} MB; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
