"""Makes the page's icons from the project's own wave, and the gallery's thumbnails of all eight styles.

``python docs/studio/icons.py``
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from impasto import pictures, samples

PAGE = Path(__file__).resolve().parents[2] / "src" / "impasto" / "studio" / "page"
ICONS, STYLES = PAGE / "icons", PAGE / "styles"
PAINTED = 2048
#: A style's size in the studio, and the side of its thumbnail.
STYLE, THUMBNAIL = 768, 256
#: Middle and side of the square, as shares of the painting's width: the crest reaching for the sun.
MIDDLE, SIDE = (0.62, 0.26), 0.48
#: Maskable icons lose up to a fifth on each side.
WIDER = 0.62


def square(picture: Image.Image, middle: tuple[float, float], side: float) -> Image.Image:
    """A square of the painting, moved inside where it would reach over an edge."""
    width, height = picture.size
    edge = min(round(side * width), height)
    left = min(max(round(middle[0] * width) - edge // 2, 0), width - edge)
    top = min(max(round(middle[1] * width) - edge // 2, 0), height - edge)
    return picture.crop((left, top, left + edge, top + edge))


def write(picture: Image.Image, name: str, side: int) -> None:
    """One icon, few colours: a woodblock print has no more."""
    small = picture.resize((side, side), Image.Resampling.LANCZOS)
    small.quantize(128, Image.Quantize.MEDIANCUT).save(ICONS / name, optimize=True)


def main() -> None:
    painting = Image.fromarray(pictures.to_uint8(samples.painting("wave", size=PAINTED)))
    near, far = square(painting, MIDDLE, SIDE), square(painting, MIDDLE, WIDER)
    ICONS.mkdir(exist_ok=True)
    write(square(painting, (0.70, 0.25), 0.26), "favicon.png", 48)
    for name, side in (("apple-touch.png", 180), ("icon-192.png", 192), ("icon-512.png", 512)):
        write(near, name, side)
    write(far, "maskable-512.png", 512)
    STYLES.mkdir(exist_ok=True)
    for name in samples.PAINTINGS:
        style = Image.fromarray(pictures.to_uint8(samples.painting(name, size=STYLE)))
        style.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        style.save(STYLES / f"{name}.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
