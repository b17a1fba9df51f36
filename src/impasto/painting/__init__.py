"""Painting: the loop, its optimisers, and planning of memory and time."""
