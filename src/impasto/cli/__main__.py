"""``python -m impasto.cli``: the same as the command ``impasto``."""

from impasto.cli.entry import main

main()
