"""Runs a study's plan with a progress bar and prints a summary."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from impasto.cli.checks import check_inputs
from impasto.cli.exit_codes import FAILED_CELLS, INTERRUPTED
from impasto.cli.messages import count
from impasto.cli.painting import say
from impasto.cli.progress import ProgressBar, working

if TYPE_CHECKING:
    from impasto.studies.plan import StudyPlan
    from impasto.studies.results import StudyOutcome
    from impasto.studies.runner import StudyProgress

__all__ = ["STUDY", "StudyOptions", "run"]

STUDY = Group("Study", sort_key=0)
#: Pictures that are no files, see ``impasto.studies.sources``.
SAMPLES = ("photograph:", "painting:", "inset:")


@Parameter(name="*")
@dataclass(frozen=True)
class StudyOptions:
    """How a study is run.

    Attributes
    ----------
    output
        Folder of the study; an interrupted study is resumed there. Default: the study's name.
    judge
        Network that measures the results, which must not be the one that painted them: random, compact,
        vgg19, vgg19-original. auto: compact for pictures painted with a VGG-19, otherwise random.
    judge_weights
        File to load the judge's weights from.
    workers
        Number of pictures to paint at the same time; 0: as many as cores and memory allow, or
        one for each GPU.
    on
        Where to paint. local: on this machine; ray: the Ray cluster of this machine, or one that is started;
        ray://HOST:PORT: a cluster; auto: a Ray that runs already, or else local.
    gpus_per_piece
        GPUs that a picture takes on a Ray cluster; 0.5 shares one between two.
    device
        auto, cpu, cuda, cuda:1, xpu or mps.
    quiet
        Print nothing unless something goes wrong.
    """

    output: Annotated[Path | None, Parameter(name=["--output", "-o"], group=STUDY, metavar="FOLDER")] = None
    judge: Annotated[str, Parameter(group=STUDY, metavar="NAME")] = "auto"
    judge_weights: Annotated[Path | None, Parameter(group=STUDY)] = None
    workers: Annotated[int, Parameter(group=STUDY)] = 0
    on: Annotated[str, Parameter(group=STUDY, metavar="PLACE")] = "local"
    gpus_per_piece: Annotated[float, Parameter(group=STUDY)] = 0.0
    device: Annotated[str, Parameter(group=STUDY)] = "auto"
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], group=STUDY)] = False


def run(plan: StudyPlan, options: StudyOptions | None, folder: Path | None = None) -> int:
    """Run or resume a study and print a summary; returns the exit code.

    Args:
        folder: of the study. Default: ``options.output``, or else a folder with the plan's name.
    """
    options = options or StudyOptions()
    folder = folder or options.output or Path(plan.name)
    pictures = (*plan.contents, *plan.styles, *plan.references)
    check_inputs(Path(spec) for spec in pictures if not spec.startswith(SAMPLES))
    latest: StudyProgress | None = None
    with working("loading", options.quiet):
        from impasto.studies.runner import run_study
    try:
        with ProgressBar(options.quiet, plan.name) as bar:

            def show(progress: StudyProgress) -> None:
                nonlocal latest
                latest = progress
                bar.update(progress.share, f"{progress.done}/{progress.cells} cells, {progress.label}")

            outcome = run_study(
                plan,
                folder,
                judge=options.judge,
                judge_weights=options.judge_weights,
                workers=options.workers,
                on=options.on,
                gpus_per_piece=options.gpus_per_piece,
                device=options.device,
                on_progress=show,
            )
            bar.finish(f"{len(outcome.tasks)}/{len(outcome.tasks)} cells")
    except KeyboardInterrupt:
        kept = (
            "nothing was begun" if latest is None else f"{count(latest.done, 'cell')} of {latest.cells} kept"
        )
        print(f"impasto: stopped: {kept}; the same command does the rest", file=sys.stderr)
        return INTERRUPTED
    return _summarise(outcome, options.quiet)


def _summarise(outcome: StudyOutcome, quiet: bool) -> int:
    for cell, error in outcome.failures.items():
        print(f"impasto: cell {cell} failed: {error}", file=sys.stderr)
    cells = len(outcome.tasks)
    earlier = cells - outcome.painted - len(outcome.failures)
    line = f"{count(cells, 'cell')}, {outcome.painted} painted now, {earlier} painted earlier"
    say(quiet, f"{outcome.folder / 'report.html'} ({line}, {outcome.seconds:.0f} s)")
    return FAILED_CELLS if outcome.failures else 0
