"""`make bench`: whole commands, seconds an evaluation and to equal loss, growth with the size, a profile.

Writes results.json, results.md and growth.svg into --out. Programs that are compared are timed in
turn, A B A B, in one run; median, minimum and maximum are reported. Nothing here is asserted.

    python benchmarks/speed.py --out benchmarks/results [--weights VGG19] [--content P --style P] [--quick]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import torch
from memory import Usage, measured
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
#: Style layers of the comparison at equal loss, for which weights through conv3_2 suffice.
EXACT = ("relu1_1", "relu2_1", "relu3_1")
PRESETS = ("instant", "draft", "fast", "classic", "fine", "finest")
FEW = ("--iterations", "2", "1", "--coarse-finishing", "1", "--finishing", "1", "--paint-size", "64")


def spread(values: list[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
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
    """A function that evaluates the objective once, for a noise picture of ``size``² pixels."""
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    style = Style(torch.rand(1, 3, min(size, 512), min(size, 512)))
    scene = Scene(image, (style,)).at((size, size), 0, image.device)
    function = objective_of(encoder, scene, recipe, tile=tile)
    canvas = 1.0 - image
    return lambda: function.evaluate(canvas)


def evaluations(size: int, rounds: int) -> dict[str, Any]:
    """(a) seconds an evaluation, relu1_1 … relu5_1, forward and backward, by encoder and precision."""
    dtype = choose_dtype("auto", torch.device("cpu"))
    image = torch.rand(1, 3, size, size)
    network = TutorialNetwork(random_vgg19(), STYLE)
    tutorial = Tutorial(network, image, image.flip(-1), STYLE, ("relu3_2",), 0.05)
    actions: dict[str, Callable[[], object]] = {
        "tutorial, VGG-19 float32": lambda: tutorial.evaluate(1 - image),
    }
    for precision in dict.fromkeys((torch.float32, dtype)):
        name = str(precision).removeprefix("torch.")
        actions[f"VGG-19 {name}"] = objective(full_width(precision), size, Recipe())
        actions[f"compact {name}"] = objective(load_encoder("compact", dtype=precision), size, Recipe())
    return {"size": size, "seconds": in_turn(actions, rounds)}


def limit(size: int, rounds: int, side: int) -> dict[str, Any]:
    """(d) FLOP/s of full-width VGG-19 over that of a product of ``side``² matrices in the same precision."""
    dtype = choose_dtype("auto", torch.device("cpu"))
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    evaluate = objective(full_width(dtype), size, Recipe())
    seconds = in_turn({"product": lambda: a @ b, "evaluation": evaluate}, rounds)
    flop, inputs, pixels = 0.0, 3, size * size
    for block, (count, width) in enumerate(zip((2, 2, 4, 4, 1), (64, 128, 256, 512, 512), strict=True)):
        for _ in range(count):
            flop += 2 * 2 * 9 * inputs * width * pixels / 4**block  # forward, and backward to the input
            inputs = width
        flop += 2 * 3 * width * width * pixels / 4**block  # Gram matrix and its derivative
    rates = {
        "product": 2 * side**3 / seconds["product"]["median"] / 1e9,
        "evaluation": flop / seconds["evaluation"]["median"] / 1e9,
    }
    return {"GFLOP/s": rates, "share": rates["evaluation"] / rates["product"]}


def pair(content_file: Path | None, style_file: Path | None, size: int) -> tuple[Tensor, Tensor]:
    """Content, cropped to a square of ``size`` pixels a side, and style with a long side of ``size``."""
    content = pictures.load(content_file).pixels if content_file else samples.photograph("chelsea")
    style = pictures.load(style_file).pixels if style_file else samples.painting("swirl")
    side = min(content.shape[-2:])
    top, left = (content.shape[-2] - side) // 2, (content.shape[-1] - side) // 2
    content = content[..., top : top + side, left : left + side]
    return resample(content, (size, size)), resample(style, fit(style.shape[-2], style.shape[-1], size))


def equal_loss(
    state: dict[str, Tensor], content: Tensor, style: Tensor, iterations: int, most: int = 120
) -> dict[str, Any]:
    """(b) seconds until Impasto reaches the loss of the tutorial's loop after ``iterations`` evaluations.

    Both losses are those of one float32 objective with the tutorial's zero padding; it is not timed.

    Args:
        most: evaluations of Impasto's at one scale.
    """
    coarse = min(60, most)
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
    seconds: list[float] = []  # at each evaluation of the tutorial's loop
    final = tutorial.run(iterations, lambda _, elapsed, __: seconds.append(elapsed))
    target = judged(final)
    dtype = choose_dtype("auto", torch.device("cpu"))
    figures: dict[str, Any] = {"target": target, "tutorial": seconds[-1], "iterations": iterations}
    full = Encoder(state, OXFORD, padding="zeros").compute_in(dtype)
    painting = recipe.replace(size=size, iterations=(coarse, coarse, most))
    figures["VGG-19"] = _until(steps(_scene(content, style), painting, full), judged, target, 0.0)
    begin = time.perf_counter()
    compact = load_encoder("compact", dtype=dtype)
    quickly = Recipe(size=size, iterations=(coarse, coarse, min(25, most)))
    for step in steps(_scene(content, style), quickly, compact):
        start = step.picture
    spent = time.perf_counter() - begin
    polish = painting.replace(init="picture", coarsest=size, iterations=min(80, most))
    scene = Scene(content, (Style(style),), start=start)
    figures["compact, then VGG-19"] = _until(steps(scene, polish, full), judged, target, spent)
    return figures


def _scene(content: Tensor, style: Tensor) -> Scene:
    return Scene(content, (Style(style),))


def _until(painting: Any, judged: Callable[[Tensor], float], target: float, spent: float) -> dict[str, Any]:
    """Seconds until the loss is ``target``, after ``spent`` seconds; computing the loss is not timed."""
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


def commands(
    content: Tensor, style: Tensor, presets: Sequence[str], rounds: int, flags: Sequence[str] = ()
) -> dict[str, Any]:
    """Seconds and peak bytes of ``impasto stylize`` with each preset, from its start to the written file.

    They are run in turn, ``finest`` once only, and started by a process that stays small, see
    :func:`memory.measured`.

    Args:
        flags: more of them, to see that the commands run; the first one is not measured well then.
    """
    size = max(content.shape[-2:])
    rows: dict[str, list[Usage]] = {name: [] for name in presets}
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(max_workers=1, mp_context=spawn) as starter,
    ):
        files = [pictures.save(Path(folder) / f"{i}.png", x) for i, x in enumerate((content, style))]

        def run(preset: str) -> Usage:
            words = ["--preset", preset, "--size", str(size), *(flags if preset != "instant" else ())]
            return starter.submit(measured, *files, Path(folder) / "out.png", words).result()

        if not flags:
            run(presets[0])  # reads the libraries from the disk; does not count
        for round_ in range(rounds):
            for name in presets:
                if name != "finest" or not round_:
                    rows[name].append(run(name))
    return {
        name: {
            "seconds": spread([usage.seconds for usage in found]),
            "bytes": spread([1e6 * usage.peak for usage in found]),
        }
        for name, found in rows.items()
    }


def _grow(queue: Any, name: str, size: int, tile: int | None) -> None:
    keep_memory()
    dtype = choose_dtype("auto", torch.device("cpu"))
    encoder = load_encoder("compact", dtype=dtype) if name == "compact" else full_width(dtype)
    action = objective(encoder, size, Recipe(), tile)
    begin = time.perf_counter()
    action()
    # Not ru_maxrss: it survives exec, and would include the peak of the parent.
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    queue.put(
        {"encoder": name, "size": size, "tile": tile, "bytes": peak, "seconds": time.perf_counter() - begin}
    )


def growth(cases: list[tuple[str, int, int | None]]) -> list[dict[str, Any]]:
    """(c) time and peak memory of one evaluation, each case in a separate process."""
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
    dtype = choose_dtype("auto", torch.device("cpu"))
    action = objective(load_encoder("compact", dtype=dtype), size, Recipe())
    action()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(3):
            action()
    rows = sorted(profiler.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    return [{"operator": row.key, "share": row.self_cpu_time_total / total} for row in rows[:10]]


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    for name, tiled in sorted({(row["encoder"], row["tile"] is not None) for row in rows}):
        line = [r for r in rows if r["encoder"] == name and (r["tile"] is not None) == tiled]
        label = f"{name}, tiles" if tiled else name
        megapixels = [r["size"] ** 2 / 1e6 for r in line]
        axes[0].loglog(megapixels, [r["seconds"] for r in line], marker="o", label=label)
        axes[1].loglog(megapixels, [r["bytes"] / 1e9 for r in line], marker="o", label=label)
    for axis, name in zip(axes, ("seconds an evaluation", "peak memory, GB"), strict=True):
        axis.set_xlabel("megapixels")
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path)


def table(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    evaluation = results["evaluations"]
    reference = evaluation["seconds"]["tutorial, VGG-19 float32"]["median"]
    lines = [f"Machine: {results['machine']['device_name']}, {results['machine']['threads']} threads.", ""]
    lines += [
        f"| one evaluation at {evaluation['size']}² | median s | min | max | times faster |",
        "|---|---|---|---|---|",
    ]
    for name, s in evaluation["seconds"].items():
        lines.append(
            f"| {name} | {s['median']:.3f} | {s['min']:.3f} | {s['max']:.3f} "
            f"| {reference / s['median']:.1f} |"
        )
    limits = results["limit"]
    lines += [
        "",
        f"Share of a matrix product's FLOP/s, full-width VGG-19: {limits['share']:.0%} "
        f"({limits['GFLOP/s']['evaluation']:.0f} of {limits['GFLOP/s']['product']:.0f} GFLOP/s).",
    ]
    if "equal_loss" in results:
        equal = results["equal_loss"]
        lines += [
            "",
            f"Loss of the tutorial's loop after {equal['iterations']} evaluations ({equal['target']:.4f}):",
            "",
        ]
        lines += [
            "| program | seconds | times faster |",
            "|---|---|---|",
            f"| tutorial | {equal['tutorial']:.1f} | 1 |",
        ]
        for name in ("VGG-19", "compact, then VGG-19"):
            note = "" if equal[name]["reached"] else f" (not reached: {equal[name]['loss']:.4f})"
            lines.append(
                f"| {name} | {equal[name]['seconds']:.1f}{note} "
                f"| {equal['tutorial'] / equal[name]['seconds']:.1f} |"
            )
    lines += [
        "",
        f"`impasto stylize` at {results['size']}², from its start to the written file, against 500 "
        f"evaluations of the tutorial's loop without its start, {500 * reference:.0f} s:",
        "",
        "| preset | median s | min | max | times faster | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results["presets"].items():
        s = row["seconds"]
        lines.append(
            f"| `{name}` | {s['median']:.1f} | {s['min']:.1f} | {s['max']:.1f} "
            f"| {500 * reference / s['median']:.0f} | {row['bytes']['median'] / 1e6:.0f} |"
        )
    if results.get("growth"):
        lines += ["", "| encoder | side | tile | seconds | peak GB |", "|---|---|---|---|---|"]
        for r in results["growth"]:
            lines.append(
                f"| {r['encoder']} | {r['size']} | {r['tile'] or '–'} | {r['seconds']:.2f} "
                f"| {r['bytes'] / 1e9:.2f} |"
            )
    lines += ["", "| operator (compact) | share |", "|---|---|"]
    lines += [f"| {row['operator']} | {row['share']:.0%} |" for row in results["profile"]]
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
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args(arguments)
    size, rounds = (64, 1) if options.quick else (options.size, options.rounds)
    keep_memory()
    content, style = pair(options.content, options.style, size)
    results: dict[str, Any] = {"machine": describe(torch.device("cpu")), "size": size}
    names, flags = (("instant", "fast"), FEW) if options.quick else (PRESETS, ())
    results["presets"] = commands(content, style, names, max(1, rounds // 2), flags)
    results["evaluations"] = evaluations(size, rounds)
    results["limit"] = limit(size, rounds, 512 if options.quick else 4096)
    if options.weights or options.quick:
        state = read_state(options.weights) if options.weights else random_vgg19()
        counts = (3, 4) if options.quick else (options.iterations, 120)
        results["equal_loss"] = equal_loss(dict(state), content, style, *counts)
    sides = [64] if options.quick else [256, 512, 1024, 2048]
    cases: list[tuple[str, int, int | None]] = [
        (name, side, None) for name in ("compact", "vgg19") for side in sides
    ]
    cases += [
        (name, side, 64 if options.quick else 768)
        for name in ("compact", "vgg19")
        for side in [*sides[2:], *([] if options.quick else [4096])]
    ]
    results["growth"] = growth(cases)
    results["profile"] = profile(size)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "results.md").write_text(table(results))
    plot(results["growth"], options.out / "growth.svg")
    print(table(results))
    return results


if __name__ == "__main__":
    main()
