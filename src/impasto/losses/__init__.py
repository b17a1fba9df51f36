"""Losses: what is remembered of features, how it is compared, and the objective made of such terms."""
