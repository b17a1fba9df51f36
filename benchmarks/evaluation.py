"""One evaluation of the default preset by part, in CPU seconds, by versions of the package in turn.

    python benchmarks/evaluation.py [--size 512] [--rounds 15] [NAME=SRC …]

SRC is a folder that holds a version's ``impasto`` package, such as the ``src`` of a git worktree; without
any, the installed package is measured alone. Every version has a process of its own, with one thread; they
measure in turn, A B A B, while the others wait. CPU seconds depend little on what else the machine does, and
the ratio of two versions still less. Terms include their derivatives with respect to the features.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from impasto import samples
from impasto.losses.build import objective_of, terms_of
from impasto.losses.terms import Term
from impasto.losses.tiled import Part, TiledEncoder, as_mapping
from impasto.machine import choose_dtype, keep_memory
from impasto.networks.encoder import Encoder, Features
from impasto.networks.registry import load_encoder
from impasto.painting.engine import MemoryLimits
from impasto.pictures.geometry import add_margin, resample
from impasto.recipe import Recipe, preset
from impasto.scene import Scene, Style
from impasto.scene.preparing import preprocess

#: Stage of painting → its size relative to the finished picture's, and whether it is the finishing pass.
STAGES = {"coarse": (0.5, False), "finishing": (1.0, True)}

Actions = dict[str, Callable[[], object]]


def scene_of(recipe: Recipe, shape: tuple[int, int]) -> Scene:
    """A photograph and a painting at one scale, with the photograph as the canvas."""
    content = resample(samples.photograph("chelsea"), shape)
    scene = Scene(content, (Style(samples.painting("glass", size=max(shape))),))
    at_scale = preprocess(scene, recipe, min_style_side=16).at(shape, recipe.margin, content.device)
    return replace(at_scale, start=add_margin(content, recipe.margin))


def actions_of(size: int, *, finishing: bool) -> Actions:
    """Name of a part → does it once, for a picture of ``size`` × ¾ ``size`` pixels."""
    recipe, shape = preset("fast"), (size * 3 // 4, size)
    encoder = load_encoder(dtype=choose_dtype("auto", torch.device("cpu")))
    scene = scene_of(recipe, shape)
    canvas = scene.start
    assert canvas is not None
    share = recipe.fine_content if finishing else 1.0
    objective = objective_of(encoder, scene, recipe, content_share=share, finishing=finishing)
    optimiser = MemoryLimits().optimiser(recipe, shape, recipe.finishing[0] if finishing else 0)
    loss, gradient, _ = objective.evaluate(canvas)
    leaf = canvas.clone().requires_grad_()
    total = torch.stack([x.sum() for x in encoder(leaf, objective.layers).raw.values()]).sum()
    terms = [t for t in terms_of(recipe, finishing=finishing) if t.applies(scene)]
    terms = [t for t in terms if share or t.name != "content"]
    return {
        "evaluation": lambda: objective.evaluate(canvas),
        "step": lambda: optimiser.propose(canvas, loss, gradient),
        "encoder, forward": lambda: encoder(leaf, objective.layers),
        "encoder, back": lambda: torch.autograd.grad(total, leaf, retain_graph=True),
        **{type(term).__name__: term_action(term, encoder, scene, canvas) for term in terms},
    }


def term_action(term: Term, encoder: Encoder, scene: Scene, canvas: Tensor) -> Callable[[], object]:
    """Computes a term's losses and their derivative from features that are already there."""
    tiled = TiledEncoder(encoder)
    with torch.no_grad():
        memory = term.prepare(scene, tiled)
        (part,) = tiled.parts(canvas, term.layers)
    leaves = {layer: x.detach().requires_grad_() for layer, x in part.features.raw.items()}

    def judge() -> object:
        gathered = term.gather(Part(part.tile, canvas, Features(leaves, encoder.head)), memory)
        losses = as_mapping(term.judge(gathered, memory)).values()
        return torch.autograd.grad(torch.stack(list(losses)).sum(), list(leaves.values()))

    return judge


def work(size: int) -> None:
    """Answer every line with the CPU seconds that each part takes once, in JSON: stage → part → seconds."""
    torch.set_num_threads(1)
    keep_memory()
    stages = {
        stage: actions_of(round(size * share), finishing=finishing)
        for stage, (share, finishing) in STAGES.items()
    }
    measure(stages)  # the first time is another one
    for _ in sys.stdin:
        print(json.dumps(measure(stages)), flush=True)


def measure(stages: dict[str, Actions]) -> dict[str, dict[str, float]]:
    return {stage: {part: cpu_seconds(action) for part, action in a.items()} for stage, a in stages.items()}


def cpu_seconds(action: Callable[[], object]) -> float:
    begin = time.process_time()
    action()
    return time.process_time() - begin


def compare(versions: dict[str, str], size: int, rounds: int) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Stage → part → version → its CPU seconds in each round."""
    processes = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--work", "--size", str(size)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **({"PYTHONPATH": source} if source else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, source in versions.items()
    }
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for _ in range(rounds):
        for name, process in processes.items():
            assert process.stdin is not None
            assert process.stdout is not None
            print("once more", file=process.stdin, flush=True)
            for stage, parts in json.loads(process.stdout.readline()).items():
                for part, seconds in parts.items():
                    found.setdefault(stage, {}).setdefault(part, {}).setdefault(name, []).append(seconds)
    for process in processes.values():
        process.communicate()
    return found


def table(found: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Medians in milliseconds, and the median of the ratios to the first version's, in Markdown."""
    names = list(next(iter(next(iter(found.values())).values())))
    lines = [f"| CPU ms | {' | '.join(names)} | ratio |", "|---" * (len(names) + 2) + "|"]
    for stage, parts in found.items():
        for part, by_version in parts.items():
            medians = (f"{1000 * statistics.median(by_version[name]):.1f}" for name in names)
            ratios = [b / a for a, b in zip(by_version[names[0]], by_version[names[-1]], strict=True)]
            lines.append(f"| {stage}: {part} | {' | '.join(medians)} | {statistics.median(ratios):.3f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> str:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", metavar="NAME=SRC", help="folders of versions to compare")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.size)
        return ""
    versions = dict(version.split("=", 1) for version in options.versions) or {"installed": ""}
    text = table(compare(versions, options.size, options.rounds))
    print(text)
    return text


if __name__ == "__main__":
    main()
