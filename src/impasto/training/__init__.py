"""Training of the compact encoder and of the instant decoder: ``python -m impasto.training --help``."""
