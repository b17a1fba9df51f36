"""Work that is the same at every evaluation, recorded once and repeated: on a GPU as a CUDA graph.

To launch the thousand small operations of an evaluation takes longer than a GPU needs to do them; a graph is
launched as one operation. **No GPU was at hand:** only the CPU's part of this has been run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Recorder", "Work", "recorded", "recorder_for"]

#: A function of a picture that computes some tensors.
Work: TypeAlias = Callable[[Tensor], tuple[Tensor, ...]]
#: Does some work, and returns its results and a function that computes them anew in the same memory.
Recorder: TypeAlias = Callable[
    [Callable[[], tuple[Tensor, ...]]], tuple[tuple[Tensor, ...], Callable[[], object]]
]
#: How far a repetition may be from the work itself, of the largest number: sums on a GPU have no fixed order.
TOLERANCE = 1e-2


def recorder_for(device: torch.device) -> Recorder | None:
    """The recorder for work on a device; None: there is nothing to gain."""
    return cuda_graph if device.type == "cuda" else None


def cuda_graph(work: Callable[[], tuple[Tensor, ...]]) -> tuple[tuple[Tensor, ...], Callable[[], object]]:
    """A :data:`Recorder` for the current CUDA device."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # libraries set themselves up at the first calls, which cannot be recorded
        for _ in range(2):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work()
    graph.replay()  # while it is recorded, nothing is computed
    return results, graph.replay


def recorded(work: Work, image: Tensor, recorder: Recorder) -> Work:
    """The same work, recorded for pictures like ``image``; with a warning the work itself if that fails.

    Args:
        work: reads no memory that may have been given back when it is done again, and waits for no result.
        image: the first picture; its repetition is compared with the work.
    """
    given = image.clone()
    try:
        with torch.cuda.device_of(image):
            results, repeat = recorder(lambda: work(given))
        agrees = all(map(_close, results, work(image)))
    except RuntimeError as error:
        agrees, reason = False, str(error).partition("\n")[0]
    else:
        reason = "the repetition differs"
    if not agrees:
        warnings.warn(f"evaluations are not recorded on {image.device}, and slower: {reason}", stacklevel=2)
        return work

    def again(image: Tensor) -> tuple[Tensor, ...]:
        given.copy_(image)
        repeat()
        return tuple(result.clone() for result in results)

    return again


def _close(repeated: Tensor, done: Tensor) -> bool:
    scale = done.abs().max().clamp_min(1e-30)
    return bool((repeated - done).abs().max() <= TOLERANCE * scale) or not bool(done.isfinite().all())
