"""Losses: statistics of features, the functions that compare them, and the objective made of such terms."""
