"""What one painting is made from: content, styles, regions, and earlier frames of a video."""

from impasto.scene.colour_plan import ColourPlan
from impasto.scene.guidance import Guidance
from impasto.scene.scene import Past, Region, Scene, Style, overlay_past, product

__all__ = ["ColourPlan", "Guidance", "Past", "Region", "Scene", "Style", "overlay_past", "product"]
