"""Networks: VGG-shaped encoders, their layers, and reading and downloading their weights."""
