"""Distilling the compact encoder from VGG-19: ``python -m impasto.training --help``."""
