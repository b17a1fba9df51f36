"""Decoding of uploaded files, in child processes with limits on memory and processor time."""
