"""Masks: regions with styles of their own, objects cut out of a picture, faces."""
