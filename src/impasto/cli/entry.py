"""The command ``impasto``: hands the words typed to the helper of ``--warm``, or else to the command line.

Nothing is imported here before that is decided, because the command line alone takes a quarter of a second.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command of this process's arguments, and exit with its exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["stylize"] and "--warm" in arguments:
        from impasto.cli.warm import run

        sys.exit(run(arguments))
    from impasto.cli.main import main as run_here

    run_here(arguments)


if __name__ == "__main__":
    main()
