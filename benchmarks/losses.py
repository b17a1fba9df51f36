"""Which style loss carries the pattern and not the palette alone: hard pairs, judged otherwise.

    python benchmarks/losses.py --out OUT --contents DIR --styles DIR --teacher VGG19 [--upper SMALL]
    python benchmarks/losses.py --out OUT --own [--teacher VGG19 …]

``--own`` paints the project's own samples, whose sheet may go anywhere. A cell that OUT has already is not
painted again; the table and the sheet are made from all that is there.
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
from impasto.painting.planning import keep_memory
from impasto.pictures.geometry import fit, resample
from impasto.studies import metrics
from impasto.training.report import judge
from impasto.training.teacher import Teacher

#: Content × style of the hard pairs: a landmark, a building, tesserae, cylinders, chalk and oil on a face,
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
    # What a loss that keeps more of the content has to beat.
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
    """All that is measured of a picture (1, 3, H, W)."""
    size = (picture.shape[-2], picture.shape[-1])
    content = resample(content, size)
    style = resample(style, fit(*style.shape[-2:], min(max(size), max(style.shape[-2:]))))
    missing, foreign = metrics.pattern_distances(picture, style)
    found = {
        "pattern missing": missing,
        "pattern foreign": foreign,
        "palette": metrics.palette_distance(picture, style),
        "grain": metrics.grain(picture, style),
        "grain where smooth": metrics.grain_where_smooth(picture, content),
        "edges": metrics.edge_agreement(picture, content),
    }
    if teacher is not None:
        found["style_rel"] = judge(teacher, picture, content, style).mean
        found["teacher's nearest"] = nearest(teacher, picture, style)
    return found


@torch.no_grad()
def nearest(teacher: Teacher, picture: Tensor, style: Tensor) -> float:
    """Cosine distance of the teacher's features to the other picture's nearest, relu3_1 and relu4_1."""
    layers = ("relu3_1", "relu4_1")
    both = [teacher.raw(one, layers) for one in (picture, style)]
    each = []
    for layer in layers:
        a, b = (one[layer] for one in both)
        a, b = (x[0].flatten(1).T[:: max(1, x[0, 0].numel() // 4096)] for x in (a, b))
        each.append(float(relaxed_emd_loss(a, b)))
    return statistics.mean(each)


def pairs(given: argparse.Namespace) -> list[tuple[str, Tensor, Tensor]]:
    """(name, content, style) of each pair."""
    if given.own:
        return [(f"{c}-{s}", samples.photograph(c), samples.painting(s, size=given.size * 2)) for c, s in OWN]
    folders = {"contents": given.contents, "styles": given.styles}
    found = []
    for content, place in PAIRS:
        folder, name = place.split("/")
        found.append(
            (
                f"{content}-{name}",
                pictures.load(given.contents / f"{content}.jpg").pixels,
                pictures.load(folders[folder] / f"{name}.jpg").pixels,
            )
        )
    return found


def cell(given: argparse.Namespace, name: str, variant: str) -> Path:
    """Where a painted cell lies, without its ending."""
    return given.out / f"{name}.{variant.replace(' ', '-').replace(':', '-')}"


def paint(given: argparse.Namespace, name: str, variant: str, content: Tensor, style: Tensor) -> None:
    """Paint a cell, unless it is there."""
    path = cell(given, name, variant)
    if path.with_suffix(path.suffix + ".json").exists():
        return
    settings = {"size": given.size, "iterations": tuple(given.iterations), **VARIANTS[variant]}
    begin = time.process_time()
    result = api.stylize(content, style, **settings)
    spent = time.process_time() - begin
    pictures.save(Path(f"{path}.png"), result.pixels)
    Path(f"{path}.json").write_text(json.dumps({"seconds": spent, "evaluations": len(result.trace)}))


def table(given: argparse.Namespace, teacher: Teacher | None) -> list[dict[str, Any]]:
    """Every cell's figures, and those of the content as it is."""
    found = []
    for name, content, style in pairs(given):
        size = fit(*content.shape[-2:], given.size)
        seen = {"content": (resample(content, size), {"seconds": 0.0, "evaluations": 0})}
        for variant in VARIANTS:
            path = cell(given, name, variant)
            if Path(f"{path}.json").exists():
                facts = json.loads(Path(f"{path}.json").read_text())
                seen[variant] = pictures.load(Path(f"{path}.png")).pixels, facts
        for variant, (picture, facts) in seen.items():
            measured = measure(picture, content, style, teacher)
            found.append({"pair": name, "variant": variant, **facts, **measured})
    return found


def markdown(found: Sequence[dict[str, Any]]) -> str:
    """The mean over the pairs that all variants were painted for."""
    variants = list(dict.fromkeys(row["variant"] for row in found))
    have = [{row["pair"] for row in found if row["variant"] == one} for one in variants]
    common = set.intersection(*have)
    names = [key for key in found[0] if key not in ("pair", "variant", "evaluations")]
    lines = [f"| {len(common)} pairs | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for one in variants:
        mine = [row for row in found if row["variant"] == one and row["pair"] in common]
        means = (statistics.mean(row[name] for row in mine) for name in names)
        lines.append(f"| {one} | {' | '.join(f'{value:.3g}' for value in means)} |")
    return "\n".join(lines)


def sheet(given: argparse.Namespace, variants: Sequence[str], side: int = 260) -> None:
    """One column a pair: content, style, then a row for each variant."""
    columns = []
    for name, content, style in pairs(given):
        painted = [Path(f"{cell(given, name, one)}.png") for one in variants]
        shown = [content, style, *(pictures.load(path).pixels for path in painted if path.exists())]
        columns.append(torch.cat([square(one, side) for one in shown], 2))
    tall = max(one.shape[-2] for one in columns)
    padded = [torch.nn.functional.pad(one, (0, 0, 0, tall - one.shape[-2]), value=1.0) for one in columns]
    pictures.save(given.out / "sheet.jpg", torch.cat(padded, 3), quality=85)


def square(picture: Tensor, side: int) -> Tensor:
    """A picture within a white square."""
    found = torch.ones(1, 3, side, side)
    height, width = fit(picture.shape[-2], picture.shape[-1], side - 4)
    found[..., :height, :width] = resample(picture, (height, width))
    return found


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
    parser.add_argument("--first", type=int, help="only so many pairs")
    given = parser.parse_args(arguments)
    if not given.own and not (given.contents and given.styles):
        parser.error("--own, or --contents and --styles")
    keep_memory()
    given.out.mkdir(parents=True, exist_ok=True)
    for variant in given.only:
        for name, content, style in pairs(given)[: given.first]:
            paint(given, name, variant, content, style)
    teacher = Teacher.from_files(given.teacher, given.upper) if given.teacher else None
    found = table(given, teacher)
    (given.out / "losses.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "losses.md").write_text(markdown(found) + "\n")
    sheet(given, given.show)
    return found


if __name__ == "__main__":
    main()
