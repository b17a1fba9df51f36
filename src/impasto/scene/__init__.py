"""What one painting is made from: content, styles, regions, and earlier frames of a film."""

from impasto.scene.scene import Past, Region, Scene, Style

__all__ = ["Past", "Region", "Scene", "Style"]
