"""What one painting is made from: content, styles, regions, and earlier frames of a video."""

from impasto.scene.scene import Past, Region, Scene, Style, overlay_past

__all__ = ["Past", "Region", "Scene", "Style", "overlay_past"]
