"""``impasto learn``: train the instant network for a style of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from impasto.cli.checks import check_inputs
from impasto.cli.exit_codes import INTERRUPTED
from impasto.cli.flags import Output, Quiet
from impasto.cli.lists import PATH_LIST
from impasto.cli.messages import count
from impasto.cli.progress import ProgressBar, working
from impasto.errors import WeightsError
from impasto.files import readable_size
from impasto.quantities import parse_seconds

__all__ = ["learn"]

#: Photographs that come with the package, to practise on.
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")


def learn(
    style: list[Path],
    *,
    output: Output,
    contents: Annotated[list[Path] | None, PATH_LIST] = None,
    budget: str = "5m",
    quiet: Quiet = False,
) -> int:
    """Train the network of `--preset instant` further for one style, or for several works of one artist.

    `impasto stylize`, `video` and `batch` with `--preset instant`, `impasto export` and the studio take the
    file in place of a style picture. Ctrl-C keeps what has been learned so far.

    Parameters
    ----------
    style
        Pictures of the style.
    output
        File to write, FILE.safetensors.
    contents
        Photographs to practise on, best like those that will be painted. Default: four that come with
        Impasto.
    budget
        Time to train for, such as 5m.
    quiet
        Print nothing unless something goes wrong.

    Examples
    --------
    impasto learn painting.jpg -o mine.safetensors
    impasto learn a.jpg b.jpg -o artist.safetensors --budget 15m --contents photo.jpg,cat.jpg
    """
    seconds = parse_seconds(budget)
    check_inputs([*style, *(contents or [])])
    if output.suffix.lower() != ".safetensors":
        raise WeightsError(
            f"the output '{output}' has another ending", "expected FILE.safetensors", "rename it"
        )
    if not output.parent.is_dir():
        raise WeightsError(
            f"the folder of '{output}' does not exist", remedy=f"create it first: mkdir -p '{output.parent}'"
        )
    with working("loading", quiet):
        from impasto import pictures, samples
        from impasto.machine import keep_memory
        from impasto.training.learning import StyleLearner

        loaded = [pictures.load(path) for path in style]
        for picture in loaded:
            pictures.require_usable(picture, "style")
        practice = (
            [pictures.load(path).pixels for path in contents]
            if contents
            else [samples.photograph(name) for name in PHOTOGRAPHS]
        )
        keep_memory()
        learner = StyleLearner([picture.pixels for picture in loaded], practice)
    steps, code = 0, 0
    with ProgressBar(quiet) as bar:
        try:
            for steps, share in enumerate(learner.run(seconds), 1):
                bar.update(share, f"step {steps}")
        except KeyboardInterrupt:
            if not steps:
                raise
            code = INTERRUPTED
        else:
            bar.finish(f"{steps} steps")
    learner.style().save(output)
    if not quiet:
        stopped = f"stopped after {count(steps, 'step')}: " if code else ""
        print(f"{stopped}{output} ({readable_size(output.stat().st_size)})")
    return code
