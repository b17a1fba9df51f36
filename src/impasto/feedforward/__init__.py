"""Feed-forward transfer of any style: features moved in closed form, then drawn by a trained decoder."""
