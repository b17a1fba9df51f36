"""The command ``impasto``: hands the words typed to the helper of ``--warm``, or else to the command line.

Nothing is imported here before that is decided, because the command line alone takes a quarter of a second.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command of this process's arguments, and exit with its exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["stylize"] and "--warm" in arguments:
        from impasto.cli.warm import run

        sys.exit(run(arguments))
    from impasto.cli.main import main as run_here

    try:
        run_here(arguments)
    except SystemExit as end:
        if arguments[:1] != ["stylize"]:
            raise
        leave(end.code if isinstance(end.code, int) else 0)


def leave(code: int) -> None:
    """End the process without taking Python and PyTorch apart, which takes a sixth of a second.

    What is registered to be done at the end is done, and output is flushed.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the program that reads the output has closed it
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
