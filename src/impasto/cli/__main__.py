"""``python -m impasto.cli``: the same as the command ``impasto``."""

from impasto.cli.main import main

main()
