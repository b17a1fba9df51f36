"""`make bench`: what an evaluation costs, how soon a loss is reached, how it grows, where the time goes.

Writes results.json, results.md and growth.svg into --out. Figures of two programs that are compared are
taken in turn, A B A B, in one run; medians and spread are given. Nothing here is asserted.

    python benchmarks/speed.py --out benchmarks/results [--weights VGG19] [--content P --style P] [--quick]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import torch
from reference import Tutorial, TutorialNetwork, random_vgg19
from torch import Tensor

from impasto import pictures, samples
from impasto.losses.build import objective_of
from impasto.machine import choose_dtype, describe, keep_memory
from impasto.networks.encoder import OXFORD, Encoder
from impasto.networks.registry import load_encoder
from impasto.networks.weights import read_state
from impasto.painting.engine import steps
from impasto.pictures.geometry import fit, resample
from impasto.recipe import Recipe
from impasto.scene import Scene, Style

matplotlib.use("Agg")

STYLE = Recipe().style_layers
EXACT = ("relu1_1", "relu2_1", "relu3_1")


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def in_turn(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each action, taken in turn after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for round_ in range(rounds + 1):
        for name, action in actions.items():
            begin = time.perf_counter()
            action()
            if round_:
                seconds[name].append(time.perf_counter() - begin)
    return {name: spread(values) for name, values in seconds.items()}


def full_width(dtype: torch.dtype, state: dict[str, Tensor] | None = None) -> Encoder:
    return Encoder(state or random_vgg19(), OXFORD).compute_in(dtype)


def objective(encoder: Encoder, size: int, recipe: Recipe, tile: int | None = None) -> Callable[[], object]:
    """One evaluation of a noise picture of ``size``² pixels."""
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    style = Style(torch.rand(1, 3, min(size, 512), min(size, 512)))
    scene = Scene(image, (style,)).at((size, size), 0, image.device)
    judged = objective_of(encoder, scene, recipe, tile=tile)
    other = 1.0 - image
    return lambda: judged.evaluate(other)


def evaluations(size: int, rounds: int) -> dict[str, Any]:
    """(a) seconds an evaluation, relu1_1 … relu5_1, forward and backward, by encoder and precision."""
    best = choose_dtype("auto", torch.device("cpu"))
    image = torch.rand(1, 3, size, size)
    network = TutorialNetwork(random_vgg19(), STYLE)
    tutorial = Tutorial(network, image, image.flip(-1), STYLE, ("relu3_2",), 0.05)
    actions: dict[str, Callable[[], object]] = {
        "tutorial, VGG-19 float32": lambda: tutorial.evaluate(1 - image),
        "VGG-19 float32": objective(full_width(torch.float32), size, Recipe()),
        f"VGG-19 {best}": objective(full_width(best), size, Recipe()),
        "compact float32": objective(load_encoder("compact"), size, Recipe()),
        f"compact {best}": objective(load_encoder("compact", dtype=best), size, Recipe()),
    }
    return {"size": size, "seconds": in_turn(actions, rounds)}


def limit(size: int, rounds: int) -> dict[str, Any]:
    """(d) FLOP/s of full-width VGG-19 over that of a large matrix product in the same precision."""
    best = choose_dtype("auto", torch.device("cpu"))
    a, b = (torch.randn(4096, 4096).to(best) for _ in range(2))
    evaluate = objective(full_width(best), size, Recipe())
    found = in_turn({"product": lambda: a @ b, "evaluation": evaluate}, rounds)
    flop, inputs, pixels = 0.0, 3, size * size
    for block, (count, width) in enumerate(zip((2, 2, 4, 4, 1), (64, 128, 256, 512, 512), strict=True)):
        for _ in range(count):
            flop += 2 * 2 * 9 * inputs * width * pixels / 4**block  # forward, and backward to the input
            inputs = width
        flop += 2 * 3 * width * width * pixels / 4**block  # Gram matrix and its derivative
    rates = {
        "product": 2 * 4096**3 / found["product"]["median"] / 1e9,
        "evaluation": flop / found["evaluation"]["median"] / 1e9,
    }
    return {"GFLOP/s": rates, "share": rates["evaluation"] / rates["product"]}


def pair(content: Path | None, style: Path | None, size: int) -> tuple[Tensor, Tensor]:
    c = pictures.load(content).pixels if content else samples.photograph("chelsea")
    s = pictures.load(style).pixels if style else samples.painting("swirl")
    side = min(c.shape[-2:])  # a square, as the evaluations above are
    top, left = (c.shape[-2] - side) // 2, (c.shape[-1] - side) // 2
    c = c[..., top : top + side, left : left + side]
    return resample(c, (size, size)), resample(s, fit(s.shape[-2], s.shape[-1], size))


def equal_loss(state: dict[str, Tensor], content: Tensor, style: Tensor, iterations: int) -> dict[str, Any]:
    """(b) seconds until the loss is reached that the tutorial's loop has after ``iterations``.

    Both are judged by one float32 objective with the tutorial's zero padding, outside the clock.
    """
    recipe = Recipe(style_layers=EXACT, content_layers="relu3_2", padding="zeros", margin=0)
    size = max(content.shape[-2:])
    scene = Scene(content, (Style(style),))
    scene = scene.at(scene.size, 0, content.device)
    judge = objective_of(Encoder(state, OXFORD, padding="zeros"), scene, recipe)

    def judged(picture: Tensor) -> float:
        with torch.no_grad():
            return float(judge(picture)[0])

    tutorial = Tutorial(
        TutorialNetwork(state, (*EXACT, "relu3_2")), content, style, EXACT, ("relu3_2",), 0.05
    )
    clock: list[float] = []
    final = tutorial.run(iterations, lambda _, seconds, __: clock.append(seconds))
    target = judged(final)
    best = choose_dtype("auto", torch.device("cpu"))
    found: dict[str, Any] = {"target": target, "tutorial": clock[-1], "iterations": iterations}
    full = Encoder(state, OXFORD, padding="zeros").compute_in(best)
    painting = recipe.replace(size=size, iterations=(60, 60, 120))
    found["VGG-19"] = _until(steps(_sources(content, style), painting, full), judged, target, 0.0)
    begin = time.perf_counter()
    small = load_encoder("compact", dtype=best)
    for step in steps(_sources(content, style), Recipe(size=size, iterations=(60, 60, 25)), small):
        start = step.picture
    spent = time.perf_counter() - begin
    polish = painting.replace(init="picture", coarsest=size, iterations=80)
    sources = Scene(content, (Style(style),), start=start)
    found["compact, then VGG-19"] = _until(steps(sources, polish, full), judged, target, spent)
    return found


def _sources(content: Tensor, style: Tensor) -> Scene:
    return Scene(content, (Style(style),))


def _until(painting: Any, judged: Callable[[Tensor], float], target: float, spent: float) -> dict[str, Any]:
    """Seconds until ``target``; the judge's own time does not count."""
    begin, judging, loss = time.perf_counter(), 0.0, float("inf")
    for step in painting:
        if step.scale < step.scales or step.iteration % 4:
            continue
        now = time.perf_counter()
        loss = judged(step.picture)
        judging += time.perf_counter() - now
        if loss <= target:
            break
    seconds = spent + time.perf_counter() - begin - judging
    return {"seconds": seconds, "reached": loss <= target, "loss": loss, "evaluations": step.evaluations}


def presets(content: Tensor, style: Tensor, rounds: int) -> dict[str, Any]:
    """What each preset of the embedded encoder costs, taken in turn, and how near the style it ends."""
    from impasto import api
    from impasto.recipe import preset

    size = max(content.shape[-2:])
    losses: dict[str, float] = {}

    def paint(name: str) -> None:
        recipe = preset(name)
        result = api.stylize(content, style, recipe=recipe, size=size)
        grams = [
            v for term, v in result.losses.items() if term.startswith("style/") and "nearest" not in term
        ]
        losses[name] = sum(grams) / recipe.style_loss_shares()["gram"]

    found = in_turn({name: (lambda name=name: paint(name)) for name in ("draft", "fast", "fine")}, rounds)  # type: ignore[misc]
    return {name: {"seconds": seconds, "style": losses[name]} for name, seconds in found.items()}


START = """
import sys, time
begin = time.perf_counter()
import torch
libraries = time.perf_counter()
from impasto import api
from impasto.painting import engine
from impasto.recipe import Recipe
job = api.prepare(sys.argv[1], sys.argv[2], Recipe())
next(engine.steps(job.scene, job.recipe, job.encoder))
print(libraries - begin, time.perf_counter() - libraries)
"""


def start_up(content: Tensor, style: Tensor, rounds: int) -> dict[str, Any]:
    """Seconds from a fresh interpreter to the first evaluation: PyTorch's own import, and the rest."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        files = [str(pictures.save(Path(folder) / f"{i}.png", one)) for i, one in enumerate((content, style))]
        for _ in range(rounds + 1):
            done = subprocess.run(
                [sys.executable, "-c", START, *files], capture_output=True, text=True, check=True
            )
            found.append([float(value) for value in done.stdout.split()])
    return {name: spread([row[i] for row in found[1:]]) for i, name in enumerate(("PyTorch", "Impasto"))}


def _grow(queue: Any, which: str, size: int, tile: int | None) -> None:
    keep_memory()
    best = choose_dtype("auto", torch.device("cpu"))
    encoder = load_encoder("compact", dtype=best) if which == "compact" else full_width(best)
    action = objective(encoder, size, Recipe(), tile)
    begin = time.perf_counter()
    action()
    # Not ru_maxrss: it survives exec, and would show what the parent had.
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    queue.put(
        {"encoder": which, "size": size, "tile": tile, "bytes": peak, "seconds": time.perf_counter() - begin}
    )


def growth(cases: list[tuple[str, int, int | None]]) -> list[dict[str, Any]]:
    """(c) time and peak memory of one evaluation, each case in a process of its own."""
    context, rows = multiprocessing.get_context("spawn"), []
    for case in cases:
        queue = context.Queue()
        process = context.Process(target=_grow, args=(queue, *case))
        process.start()
        rows.append(queue.get(timeout=3600))
        process.join()
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def profile(size: int) -> list[dict[str, Any]]:
    """(e) where an evaluation of the default encoder spends its time."""
    best = choose_dtype("auto", torch.device("cpu"))
    action = objective(load_encoder("compact", dtype=best), size, Recipe())
    action()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        for _ in range(3):
            action()
    rows = sorted(seen.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    return [{"operator": row.key, "share": row.self_cpu_time_total / total} for row in rows[:10]]


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    for which, tiled in sorted({(row["encoder"], row["tile"] is not None) for row in rows}):
        own = [r for r in rows if r["encoder"] == which and (r["tile"] is not None) == tiled]
        label = f"{which}, tiles" if tiled else which
        pixels = [r["size"] ** 2 / 1e6 for r in own]
        axes[0].loglog(pixels, [r["seconds"] for r in own], marker="o", label=label)
        axes[1].loglog(pixels, [r["bytes"] / 1e9 for r in own], marker="o", label=label)
    for axis, name in zip(axes, ("seconds an evaluation", "peak memory, GB"), strict=True):
        axis.set_xlabel("megapixels")
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path)


def table(found: dict[str, Any]) -> str:
    """The results in Markdown."""
    a = found["evaluations"]
    reference = a["seconds"]["tutorial, VGG-19 float32"]["median"]
    lines = [f"Machine: {found['machine']['device_name']}, {found['machine']['threads']} threads.", ""]
    lines += [
        f"| one evaluation at {a['size']}² | median s | min | max | times faster |",
        "|---|---|---|---|---|",
    ]
    for name, s in a["seconds"].items():
        lines.append(
            f"| {name} | {s['median']:.3f} | {s['min']:.3f} | {s['max']:.3f} "
            f"| {reference / s['median']:.1f} |"
        )
    share = found["limit"]
    lines += [
        "",
        f"Share of a matrix product's FLOP/s, full-width VGG-19: {share['share']:.0%} "
        f"({share['GFLOP/s']['evaluation']:.0f} of {share['GFLOP/s']['product']:.0f} GFLOP/s).",
    ]
    if "equal_loss" in found:
        b = found["equal_loss"]
        lines += [
            "",
            f"Loss of the tutorial's loop after {b['iterations']} evaluations ({b['target']:.4f}):",
            "",
        ]
        lines += [
            "| program | seconds | times faster |",
            "|---|---|---|",
            f"| tutorial | {b['tutorial']:.1f} | 1 |",
        ]
        for name in ("VGG-19", "compact, then VGG-19"):
            note = "" if b[name]["reached"] else f" (not reached: {b[name]['loss']:.4f})"
            lines.append(
                f"| {name} | {b[name]['seconds']:.1f}{note} | {b['tutorial'] / b[name]['seconds']:.1f} |"
            )
    lines += [
        "",
        f"A whole picture at {found['size']}² against 500 evaluations of the tutorial's loop, "
        f"{500 * reference:.0f} s:",
        "",
        "| preset | median s | min | max | times faster | Gram loss at the end |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in found["presets"].items():
        s = row["seconds"]
        lines.append(
            f"| `{name}` | {s['median']:.1f} | {s['min']:.1f} | {s['max']:.1f} "
            f"| {500 * reference / s['median']:.0f} | {row['style']:.3f} |"
        )
    begin = found["start_up"]
    lines += [
        "",
        "From a fresh interpreter to the first evaluation: "
        f"PyTorch's import {begin['PyTorch']['median']:.2f} s, the rest {begin['Impasto']['median']:.2f} s.",
    ]
    if found.get("growth"):
        lines += ["", "| encoder | side | tile | seconds | peak GB |", "|---|---|---|---|---|"]
        for r in found["growth"]:
            lines.append(
                f"| {r['encoder']} | {r['size']} | {r['tile'] or '–'} | {r['seconds']:.2f} "
                f"| {r['bytes'] / 1e9:.2f} |"
            )
    lines += ["", "| operator (compact) | share |", "|---|---|"]
    lines += [f"| {row['operator']} | {row['share']:.0%} |" for row in found["profile"]]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--weights", type=Path, help="VGG-19 (conv1_1 … conv3_2 suffice) for time to equal loss"
    )
    parser.add_argument("--content", type=Path)
    parser.add_argument("--style", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="tiny: for correctness alone")
    given = parser.parse_args(arguments)
    size, rounds = (64, 1) if given.quick else (given.size, given.rounds)
    keep_memory()
    content, style = pair(given.content, given.style, size)
    found: dict[str, Any] = {"machine": describe(torch.device("cpu")), "size": size}
    found["evaluations"] = evaluations(size, rounds)
    found["limit"] = limit(size, rounds)
    found["presets"] = presets(content, style, max(1, rounds // 2))
    found["start_up"] = start_up(content, style, rounds)
    if given.weights or given.quick:
        state = read_state(given.weights) if given.weights else random_vgg19()
        found["equal_loss"] = equal_loss(dict(state), content, style, 3 if given.quick else given.iterations)
    sides = [64] if given.quick else [256, 512, 1024, 2048]
    cases: list[tuple[str, int, int | None]] = [
        (which, s, None) for which in ("compact", "vgg19") for s in sides
    ]
    cases += [
        (which, s, 64 if given.quick else 768)
        for which in ("compact", "vgg19")
        for s in [*sides[2:], *([] if given.quick else [4096])]
    ]
    found["growth"] = growth(cases)
    found["profile"] = profile(size)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "results.md").write_text(table(found))
    plot(found["growth"], given.out / "growth.svg")
    print(table(found))
    return found


if __name__ == "__main__":
    main()
