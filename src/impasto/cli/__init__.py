"""The command line: ``impasto.cli.main.main``."""
