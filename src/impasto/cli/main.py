"""The table of commands, and the entry point, which turns errors into one line on stderr and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import CycloptsError, Parameter

from impasto import __version__
from impasto.cli.command_line import CommandLine, HelpPages
from impasto.cli.exit_codes import BAD_INPUT, INTERRUPTED
from impasto.cli.loading import let_threads_sleep
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
    suppress_keyboard_interrupt=False,  # `main` reports Ctrl-C itself.
)

app.epilogue = """\
Examples:
  impasto demo
  impasto stylize photo.jpg painting.jpg -o out.png
  impasto stylize --help

A list is written with commas or with spaces: --style-blend 2,1 or --style-blend 2 1."""

#: Command → module and function. Imported on demand, so that no command waits for the flags of another.
COMMANDS = {
    "stylize": "stylize:stylize",
    "batch": "batch:batch",
    "demo": "demo:demo",
    "texture": "synthesis:texture",
    "reconstruct": "synthesis:reconstruct",
    "blend": "blend:blend",
    "mask": "mask:mask",
    "learn": "learn:learn",
    "export": "export:export",
    "study": "study:study_app",
    "video": "video:video",
    "propagate": "propagate:propagate",
    "video-report": "video:video_report",
    "studio": "studio:studio_app",
    "doctor": "doctor:doctor",
    "weights": "weights:weights_app",
}
for _name, _function in COMMANDS.items():
    app.command(f"impasto.cli.{_function}", name=_name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit the process with its exit code.

    Args:
        arguments: the words after ``impasto``; default: those of this process.
    """
    let_threads_sleep()
    try:
        code = app(arguments, exit_on_error=False, print_error=False)
    except ImpastoError as error:
        code = _fail(str(error))
    except CycloptsError as error:
        code = _fail(explain(error))
    except KeyboardInterrupt:
        code = _fail("stopped", INTERRUPTED)
    except BrokenPipeError:
        code = 0  # The program that reads the output, such as `head`, has closed it.
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str, code: int = BAD_INPUT) -> int:
    print(f"impasto: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
