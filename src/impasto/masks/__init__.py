"""Masks: regions of a picture, cut-outs and faces."""
