"""Which style loss transfers patterns and not only the palette: difficult pairs, judged by other measures.

    python benchmarks/losses.py --out OUT --contents DIR --styles DIR --teacher VGG19 [--upper SMALL]
    python benchmarks/losses.py --out OUT --own [--teacher VGG19 …]

``--own`` paints the project's own samples, whose sheet may be published. A cell is one pair painted with one
variant. A cell that is in OUT already is not painted again; table and sheet are made from all cells in OUT.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import api, pictures, samples
from impasto.losses.functions import relaxed_emd_loss
from impasto.machine import keep_memory
from impasto.pictures.geometry import fit, resample
from impasto.studies import metrics
from impasto.training.report import judge
from impasto.training.teacher import Teacher

#: Content × style of difficult pairs: a landmark, a building, tesserae, cylinders, chalk and oil on a face,
#: dots, bottles on bottles, swirls, outlines.
PAIRS = (
    ("taj_mahal", "contents/st_basils_cathedral"),
    ("golden_gate_bridge_day", "styles/antique_mosaic_ducks"),
    ("castle", "styles/leger_contrast_of_forms_1913"),
    ("portrait_woman_margrethe", "styles/red_chalk_woman_in_peasant_dress"),
    ("portrait_blonde_girl", "styles/vermeer_girl_pearl_earring"),
    ("owls", "styles/klimt_farmhouse_birch_trees_1903"),
    ("coffee_cup", "contents/beer_bottles"),
    ("hoover_tower_night", "styles/van_gogh_starry_night_1889"),
    ("venice_canal", "styles/schiele_stein_on_the_danube_1913"),
)
#: Photographs of scikit-image × the project's own paintings.
OWN = (
    ("rocket", "glass"),
    ("chelsea", "mosaic"),
    ("astronaut", "woodcut"),
    ("coffee", "wave"),
    ("astronaut", "facets"),
    ("rocket", "swirl"),
)
VARIANTS: dict[str, dict[str, Any]] = {
    "gram": {},
    # A loss that keeps more of the content is worth something only if it beats this.
    "gram, content x 2": {"content_weight": 0.1},
    "wasserstein": {"style_loss": "wasserstein"},
    "sliced": {"style_loss": "sliced"},
    "histogram": {"style_loss": "histogram"},
    "remd": {"style_loss": "remd"},
    "nearest": {"style_loss": "nearest"},
    "gram,nearest 1:1": {"style_loss": "gram,nearest"},
    "gram,nearest 3:1": {"style_loss": "gram,nearest", "style_loss_weights": (3, 1)},
}


def measure(picture: Tensor, content: Tensor, style: Tensor, teacher: Teacher | None) -> dict[str, float]:
    """All measurements of a picture (1, 3, H, W)."""
    size = (picture.shape[-2], picture.shape[-1])
    content = resample(content, size)
    style = resample(style, fit(*style.shape[-2:], min(max(size), max(style.shape[-2:]))))
    missing, foreign = metrics.pattern_distances(picture, style)
    measures = {
        "pattern missing": missing,
        "pattern foreign": foreign,
        "palette": metrics.palette_distance(picture, style),
        "grain": metrics.grain(picture, style),
        "grain where smooth": metrics.grain_where_smooth(picture, content),
        "edges": metrics.edge_agreement(picture, content),
    }
    if teacher is not None:
        measures["style_rel"] = judge(teacher, picture, content, style).mean
        measures["teacher's nearest"] = nearest(teacher, picture, style)
    return measures


@torch.no_grad()
def nearest(teacher: Teacher, picture: Tensor, style: Tensor) -> float:
    """Cosine distance of the teacher's features to the other picture's nearest, relu3_1 and relu4_1."""
    layers = ("relu3_1", "relu4_1")
    features = [teacher.raw(image, layers) for image in (picture, style)]
    distances = []
    for layer in layers:
        a, b = (by_layer[layer] for by_layer in features)
        a, b = (x[0].flatten(1).T[:: max(1, x[0, 0].numel() // 4096)] for x in (a, b))
        distances.append(float(relaxed_emd_loss(a, b)))
    return statistics.mean(distances)


def pairs(options: argparse.Namespace) -> list[tuple[str, Tensor, Tensor]]:
    """(name, content, style) of each pair."""
    if options.own:
        return [
            (f"{c}-{s}", samples.photograph(c), samples.painting(s, size=options.size * 2)) for c, s in OWN
        ]
    folders = {"contents": options.contents, "styles": options.styles}
    loaded = []
    for content, place in PAIRS:
        folder, name = place.split("/")
        loaded.append(
            (
                f"{content}-{name}",
                pictures.load(options.contents / f"{content}.jpg").pixels,
                pictures.load(folders[folder] / f"{name}.jpg").pixels,
            )
        )
    return loaded


def cell(options: argparse.Namespace, name: str, variant: str) -> Path:
    """Path of a painted cell, without its suffix."""
    return options.out / f"{name}.{variant.replace(' ', '-').replace(':', '-')}"


def paint(options: argparse.Namespace, name: str, variant: str, content: Tensor, style: Tensor) -> None:
    """Paint a cell, unless it has been painted before."""
    path = cell(options, name, variant)
    if path.with_suffix(path.suffix + ".json").exists():
        return
    settings = {"size": options.size, "iterations": tuple(options.iterations), **VARIANTS[variant]}
    begin = time.process_time()
    result = api.stylize(content, style, **settings)
    spent = time.process_time() - begin
    pictures.save(Path(f"{path}.png"), result.pixels)
    Path(f"{path}.json").write_text(json.dumps({"seconds": spent, "evaluations": len(result.trace)}))


def table(options: argparse.Namespace, teacher: Teacher | None) -> list[dict[str, Any]]:
    """One row of figures for each cell, and one for each unpainted content."""
    rows = []
    for name, content, style in pairs(options):
        size = fit(*content.shape[-2:], options.size)
        painted = {"content": (resample(content, size), {"seconds": 0.0, "evaluations": 0})}
        for variant in VARIANTS:
            path = cell(options, name, variant)
            if Path(f"{path}.json").exists():
                facts = json.loads(Path(f"{path}.json").read_text())
                painted[variant] = pictures.load(Path(f"{path}.png")).pixels, facts
        for variant, (picture, facts) in painted.items():
            measured = measure(picture, content, style, teacher)
            rows.append({"pair": name, "variant": variant, **facts, **measured})
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The mean over the pairs that all variants were painted for."""
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    pairs_of = [{row["pair"] for row in rows if row["variant"] == variant} for variant in variants]
    common = set.intersection(*pairs_of)
    names = [key for key in rows[0] if key not in ("pair", "variant", "evaluations")]
    lines = [f"| {len(common)} pairs | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for variant in variants:
        selected = [row for row in rows if row["variant"] == variant and row["pair"] in common]
        means = (statistics.mean(row[name] for row in selected) for name in names)
        lines.append(f"| {variant} | {' | '.join(f'{value:.3g}' for value in means)} |")
    return "\n".join(lines)


def sheet(options: argparse.Namespace, variants: Sequence[str], side: int = 260) -> None:
    """One column a pair: content, style, then a row for each variant."""
    columns = []
    for name, content, style in pairs(options):
        files = [Path(f"{cell(options, name, variant)}.png") for variant in variants]
        images = [content, style, *(pictures.load(path).pixels for path in files if path.exists())]
        columns.append(torch.cat([square(image, side) for image in images], 2))
    tallest = max(column.shape[-2] for column in columns)
    padded = [
        torch.nn.functional.pad(column, (0, 0, 0, tallest - column.shape[-2]), value=1.0)
        for column in columns
    ]
    pictures.save(options.out / "sheet.jpg", torch.cat(padded, 3), quality=85)


def square(picture: Tensor, side: int) -> Tensor:
    """A picture within a white square."""
    canvas = torch.ones(1, 3, side, side)
    height, width = fit(picture.shape[-2], picture.shape[-1], side - 4)
    canvas[..., :height, :width] = resample(picture, (height, width))
    return canvas


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    for name in ("contents", "styles", "teacher", "upper"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--own", action="store_true", help="the project's own samples")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--iterations", type=int, nargs="+", default=[80, 50])
    parser.add_argument("--only", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--show", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--first", type=int, help="number of pairs; default: all")
    options = parser.parse_args(arguments)
    if not options.own and not (options.contents and options.styles):
        parser.error("needs --own, or --contents and --styles")
    keep_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    for variant in options.only:
        for name, content, style in pairs(options)[: options.first]:
            paint(options, name, variant, content, style)
    teacher = Teacher.from_files(options.teacher, options.upper) if options.teacher else None
    rows = table(options, teacher)
    (options.out / "losses.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "losses.md").write_text(markdown(rows) + "\n")
    sheet(options, options.show)
    return rows


if __name__ == "__main__":
    main()
