"""The command line: its commands, and what becomes of errors: one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError, Parameter

from impasto import __version__
from impasto.cli import studio
from impasto.cli import video as videos
from impasto.cli.command_line import CommandLine, HelpPages
from impasto.cli.exit_codes import BAD_INPUT, INTERRUPTED
from impasto.cli.messages import as_typed, explain
from impasto.errors import ImpastoError

__all__ = ["app", "main"]

app = CommandLine(
    name="impasto",
    help="Neural style transfer: a photograph painted in the manner of a picture.",
    version=__version__,
    default_parameter=Parameter(negative=(), show_default=as_typed),
    help_formatter=HelpPages(),
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says what became of the picture
)

app.epilogue = """\
Examples:
  impasto demo
  impasto stylize photo.jpg painting.jpg -o out.png
  impasto stylize --help

A list is written with commas or with spaces: --style-blend 2,1 or --style-blend 2 1."""

#: Imported on demand, so that a command does not wait for the flags of the others.
COMMANDS = {
    "stylize": "stylize:stylize",
    "demo": "demo:demo",
    "texture": "synthesis:texture",
    "reconstruct": "synthesis:reconstruct",
    "blend": "blend:blend",
    "mask": "mask:mask",
    "study": "study:study_app",
    "doctor": "doctor:doctor",
    "weights": "weights:weights_app",
}
for _name, _place in COMMANDS.items():
    app.command(f"impasto.cli.{_place}", name=_name)
videos.register(app)
studio.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: runs a command and ends the process with its exit code."""
    # Read by OpenMP when PyTorch is loaded. Threads that wait actively for one that the system has put aside
    # burn its processor time: on a busy machine a picture took 4 to 14 times as long (LOG.md, 2026-11-20).
    # A short spin before they sleep keeps an idle machine as fast as with active waiting.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        code = app(arguments, exit_on_error=False, print_error=False)
    except ImpastoError as error:
        code = _fail(str(error))
    except CycloptsError as error:
        code = _fail(explain(error))
    except KeyboardInterrupt:
        code = _fail("stopped before there was a picture", INTERRUPTED)
    except BrokenPipeError:
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str, code: int = BAD_INPUT) -> int:
    print(f"impasto: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
