"""Feed-forward transfer of any style: features are mapped in closed form, then drawn by a trained decoder."""
