"""``python -m impasto.training``: distil the compact encoder, or train instant transfer; resume either."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError
from torch import Tensor

from impasto.errors import ImpastoError, RecipeError
from impasto.machine import choose_device, fast_bfloat16, keep_memory
from impasto.networks.encoder import CENTRED, Encoder
from impasto.networks.registry import load_encoder
from impasto.quantities import parse_seconds
from impasto.recipe import Recipe
from impasto.training.data import Crops
from impasto.training.distil import Trainer, TrainingPlan
from impasto.training.instant import DecoderPlan, DecoderTrainer
from impasto.training.report import judge, paint
from impasto.training.student import WIDTHS, export
from impasto.training.teacher import TARGETS, Teacher

app = App(name="python -m impasto.training", default_parameter=Parameter(negative=()))

#: How the pictures of a report are painted: small, so that a report takes seconds.
REPORT_RECIPE = Recipe(size=192, coarsest=96, iterations=(60, 40))


@app.default
def distil(
    *,
    teacher: Path,
    data: Path,
    out: Path,
    upper: Path | None = None,
    budget: str = "2h",
    final: float = 0.3,
    resume: bool = False,
    widen: dict[str, int] | None = None,
    report_every: int = 300,
    device: str = "auto",
    plan: Annotated[TrainingPlan | None, Parameter(name="*")] = None,
) -> None:
    """Distil the compact encoder from a VGG-19.

    Parameters
    ----------
    teacher
        Oxford's VGG-19: .safetensors, .pth or Keras .h5. It may end early, with --upper for the rest.
    data
        Folder with the folders photos and paintings. 5 % of each is held out.
    out
        Folder for checkpoint.pt and compact.safetensors; made if its parent exists.
    upper
        Compressed network with heads, for the levels that the teacher lacks.
    budget
        Wall time of this call: 20m, 2h.
    final
        Share of the budget over which the learning rate falls to zero.
    resume
        Continue from the checkpoint in OUT.
    widen
        Channels to add to a convolution before training: --widen.conv2_1 16. Silent channels are dropped.
    report_every
        Steps between two reports, each with a checkpoint.
    device
        auto, cpu, cuda, cuda:1, mps.
    """
    console = Console()
    seconds = parse_seconds(budget)
    plan = plan or TrainingPlan()
    for name, count in (widen or {}).items():
        if name not in WIDTHS:
            raise RecipeError(f"widen {name}", f"one of {', '.join(WIDTHS)}")
        if count < 1:
            raise RecipeError(f"widen {name} by {count} channels", "1 or more")
    _check_share(final)
    _make_folder(out)
    keep_memory()
    network = Teacher.from_files(teacher, upper)
    photos, paintings = Crops(data / "photos"), Crops(data / "paintings")
    held_out = [Crops(data / name, held_out=True) for name in ("photos", "paintings")]
    rng = np.random.default_rng(99)
    pairs = [(held_out[0].draw(1, 192, rng), held_out[1].draw(1, 192, rng)) for _ in range(4)]
    unseen = torch.cat([crops.draw(24, 192, rng) for crops in held_out])
    chosen_device = choose_device(device)
    trainer = Trainer(network, photos, paintings, unseen, plan, fit=not resume, device=chosen_device)
    if resume:
        trainer.resume(out)
    if widen is not None:
        trainer.reshape(widen)
    _report(console, trainer, pairs, {})
    for record in trainer.run(seconds, final=final, every=50):
        console.print(f"step {trainer.steps}  {trainer.seconds:.0f} s  loss {record['loss']:.3f}")
        if trainer.steps % report_every == 0:
            _report(console, trainer, pairs, record)
            trainer.save(out)
    _report(console, trainer, pairs, {})
    trainer.save(out)


@app.command
def instant(
    *,
    data: Path,
    out: Path,
    budget: str = "2h",
    final: float = 0.3,
    resume: bool = False,
    start: Path | None = None,
    soft_chroma: bool = False,
    save_every: int = 300,
    plan: Annotated[DecoderPlan | None, Parameter(name="*")] = None,
) -> None:
    """Train the decoder of instant transfer on the CPU.

    Parameters
    ----------
    data
        Folder with the folders photos and paintings. 5 % of each is held out.
    out
        Folder for checkpoint.pt and instant.safetensors; made if its parent exists.
    budget
        Wall time of this call: 20m, 2h. With --resume, 0s only writes instant.safetensors anew.
    final
        Share of the budget over which the learning rate falls to zero.
    resume
        Continue from the checkpoint in OUT.
    start
        Begin with the weights in this file, for example those of the package, instead of random ones.
    soft_chroma
        At the beginning, let the last convolution average chroma over its 3×3 pixels: less coloured fringes.
    save_every
        Steps between two checkpoints.
    """
    seconds = 0.0 if budget == "0s" else parse_seconds(budget)
    _check_share(final)
    _make_folder(out)
    keep_memory()
    encoder = load_encoder(dtype=torch.bfloat16 if fast_bfloat16(torch.device("cpu")) else torch.float32)
    photos, paintings = Crops(data / "photos"), Crops(data / "paintings")
    trainer = DecoderTrainer(encoder, photos, paintings, plan or DecoderPlan())
    if resume:
        trainer.resume(out)
    elif start:
        trainer.start_from(start)
    if soft_chroma:
        trainer.soften_chroma()
    for losses in trainer.run(seconds, final=final) if seconds else ():
        if trainer.steps % 50 == 0:
            values = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
            print(f"step {trainer.steps}  {trainer.seconds:.0f} s  {values}", flush=True)
        if trainer.steps % save_every == 0:
            trainer.save(out)
    trainer.save(out)


def _check_share(final: float) -> None:
    if not 0.0 <= final <= 1.0:
        raise RecipeError(f"final {final}", "a share from 0 to 1")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise RecipeError(
            f"the folder {str(out)!r} cannot be made: {error.strerror}", "a folder in a folder that exists"
        ) from None


def _report(
    console: Console, trainer: Trainer, pairs: list[tuple[Tensor, Tensor]], record: dict[str, float]
) -> None:
    """Print the variance explained on held-out crops, the error on canvases, and scores of painted pictures.

    Args:
        pairs: contents and styles (1, 3, H, W) of the pictures that are painted for the scores.
        record: of the latest training step; empty: the error on canvases is left out.
    """
    state = {k: v.float() for k, v in export(trainer.student, trainer.mean_state).items()}
    encoder = Encoder(state, CENTRED, pooling=trainer.plan.pooling).to(trainer.device)
    outputs = paint(encoder, pairs, REPORT_RECIPE)
    scores = [judge(trainer.teacher, out, c, s) for out, (c, s) in zip(outputs, pairs, strict=True)]
    table = Table(title=f"step {trainer.steps}, {trainer.seconds / 60:.0f} min")
    for name in ("", *TARGETS):
        table.add_column(name)
    explained = trainer.explained()
    table.add_row("explained", *(f"{explained[t]:.3f}" for t in TARGETS))
    if record:
        table.add_row("error on canvases", *(f"{record[f'canvas_{t}']:.3f}" for t in TARGETS))
    console.print(table)
    console.print("style_rel " + " ".join(f"{score.mean:.3f}" for score in scores))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. A user's error is printed as one line, with exit code 2."""
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except (ImpastoError, CycloptsError, OSError, SafetensorError) as error:  # a full disk, say
        print(f"impasto.training: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("impasto.training: stopped; --resume continues from the last checkpoint", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
