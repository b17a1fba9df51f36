"""A picture file, opened, to samples: upright, in sRGB, (H, W, C) float32 in [0, 1], channels last.

`images.py` is the door to this; here is what it takes to read the formats. Exceptions of Pillow and
tifffile may come out of here: the door turns them into `PictureError`.

Depth: TIFF and 16-bit grey PNG are read at full depth. Pillow reduces 16-bit *RGB* PNGs to eight bits, and
a colour profile that really differs from sRGB is applied at eight bits, as littlecms is reached through it.
"""

from __future__ import annotations

import io
import logging
import re
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageFile

from impasto.errors import PictureError

__all__ = [
    "Samples",
    "check_size",
    "decode",
    "decode_deep_tiff",
    "kind_of",
    "open_header",
    "scale",
    "what_it_is",
    "whole_numbers",
]

Samples: TypeAlias = npt.NDArray[Any]  # (H, W) or (H, W, C): grey, grey + alpha, RGB or RGBA

_READS = "Impasto reads PNG, JPEG, WebP, AVIF, TIFF, BMP and GIF"
# A short list on purpose: of Pillow's others, EPS starts Ghostscript and TGA has no signature.
_KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM", "PSD", "QOI", "ICO")
_OVERSHOOT = 0.5  # floats this far outside [0, 1] are ringing and are clamped; farther is another scale
_TAG_ORIENTATION, _TAG_ICC, _TAG_DNG = 274, 34675, 50706

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else its warnings reach stderr


def kind_of(head: bytes) -> str | None:
    """The first kind whose signature the file bears, None if it bears none."""
    brands = head[8:48] if head[4:8] == b"ftyp" else b""
    if re.search(rb"hei[cxms]|hev[cxms]|mif1|msf1", brands) and not re.search(rb"avi[fs]", brands):
        try:
            import pillow_heif  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            return None  # `what_it_is` names the package
        pillow_heif.register_heif_opener()
        return "HEIF"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    Image.init()
    for kind in _KINDS:
        accept = Image.OPEN[kind][1] if kind in Image.OPEN else None
        answer = accept(head[:16]) if accept else False
        if answer and not isinstance(answer, str):  # a string says why this Pillow cannot
            return kind
    return None


def open_header(kind: str, file: IO[bytes], name: str) -> ImageFile.ImageFile:
    """The header only. `Image.open` would compare it with a limit that is global to the process; ours is
    the caller's, so the plugin is called directly."""
    Image.init()
    file.seek(0)
    return Image.OPEN[kind][0](file, name)  # type: ignore[return-value,unused-ignore]


def what_it_is(name: str, head: bytes) -> PictureError:
    """The message for a file that is no picture, saying what it is instead."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    tag = re.search(rb"<(!doctype html|html|head|body|svg)\b", text) if text.startswith(b"<") else None
    if tag and tag[1] == b"svg":
        return PictureError(f"'{name}' is an SVG drawing", _READS, "export it as PNG")
    if tag:
        return PictureError(f"'{name}' is an HTML page", _READS, "download the picture itself, not its page")
    for signature, what, remedy in _NO_PICTURES:
        if re.match(signature, head, re.DOTALL):
            return PictureError(f"'{name}' is {what}", _READS, remedy)
    if b"\0" not in head and sum(byte < 9 for byte in head) == 0 and _is_utf8(head):
        return PictureError(f"'{name}' is a text file", _READS, "give the path of a picture file")
    return PictureError(f"'{name}' is in no known picture format", _READS, "export it as PNG")


_CLIP = ("a clip", "use impasto video")
_NO_PICTURES = [
    (rb"....ftyp(hei|hev|mif1|msf1)", "an HEIC picture", "pip install pillow-heif, or export it as JPEG"),
    (rb"....ftypavi[fs]", "an AVIF picture, which this Pillow cannot read", "pip install 'pillow>=11.3'"),
    (rb"....ftyp|....(moov|mdat|wide)|\x1aE\xdf\xa3|RIFF....AVI |FLV|OggS", *_CLIP),
    (rb"\0\0\x01[\xba\xb3]|0&\xb2u|G.{187}G", *_CLIP),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", "export it as PNG"),
    (rb"%PDF", "a PDF document", "export the page as PNG"),
    (rb"%!PS", "a PostScript drawing", "export it as PNG"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive", "unpack it first"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the picture itself", "run git lfs pull"),
]


def _is_utf8(head: bytes) -> bool:
    try:
        (head[:-4] if len(head) > 4000 else head).decode()  # a full head may end within a character
    except UnicodeDecodeError:
        return False
    return True


def check_size(size: tuple[int, int], max_pixels: int, name: str) -> None:
    """Refuses a (width, height) that is empty or beyond the limit."""
    width, height = size
    if width < 1 or height < 1:
        raise PictureError(f"{name} is {width}×{height} pixels", "expected at least 1×1")
    if width * height > max_pixels:
        got = f"{name} is {width}×{height}, {width * height / 1e6:.0f} megapixels"
        remedy = f"shrink it, or if you trust it raise the limit with --max-pixels {width * height}"
        raise PictureError(got, f"the limit is {max_pixels / 1e6:.0f}", remedy)


def decode(image: Image.Image, name: str) -> Samples:
    """Upright sRGB samples (H, W, 1 to 4) float32 of an opened PIL picture."""
    image.load()
    icc = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        samples = _through_profile_deep(_deep_grey(image, name), icc)
    else:
        samples = scale(_eight_bit(image, icc), name)
    try:
        orientation = image.getexif().get(_TAG_ORIENTATION, 1)  # after load: a PNG may hold it at its end
    except Exception:  # noqa: BLE001 - a broken EXIF block raises anything, and is no reason to refuse pixels
        orientation = 1
    return _upright(samples, orientation)


def _deep_grey(image: Image.Image, name: str) -> Samples:
    """(H, W, 1 or 2) float32 of Pillow's deep modes, all of them grey: I;16…, I and F."""
    grey = np.asarray(image)
    if image.mode == "I":  # 32 bits wide, but Pillow's readers put 16-bit values in it
        if grey.min() < 0 or grey.max() > 65535:
            raise PictureError(
                f"{name} has integers from {grey.min()} to {grey.max()}", "expected 0 to 65535"
            )
        grey = grey.astype(np.uint16)
    samples = scale(grey[..., None], name)
    if isinstance(image.info.get("transparency"), int):  # PNG: one grey value stands for "nothing here"
        opaque = (grey != image.info["transparency"]).astype(np.float32)
        samples = np.concatenate([samples, opaque[..., None]], axis=2)
    return samples


def _eight_bit(image: Image.Image, icc: bytes | None) -> Samples:
    """(H, W, 3 or 4) uint8 sRGB of any of Pillow's eight-bit modes."""
    base = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    base = image.mode if image.mode in ("CMYK", "LAB") else base
    alpha = None
    if image.has_transparency_data and base in ("L", "RGB"):
        key = image.info.get("transparency")
        if isinstance(key, tuple) and max(key) > 255:  # of a 16-bit PNG that Pillow cut to its high bytes
            image = image.copy()
            image.info["transparency"] = tuple(value >> 8 for value in key)
        image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    colour = image.convert(base)
    managed = _through_profile(colour, icc)
    rgb = np.asarray(colour.convert("RGB") if managed is None else managed)
    return rgb if alpha is None else np.dstack([rgb, alpha])


def _through_profile(colour: Image.Image, icc: bytes | None) -> Image.Image | None:
    """A PIL picture in L, RGB, CMYK or LAB as sRGB; None when there is nothing, or nothing sane, to apply.

    Profiles that say sRGB in other words are recognised by what they do, so that they cost no rounding.
    """
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        spaces = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
        mode = spaces[profile.profile.xcolor_space]
        if mode != colour.mode and (colour.mode, mode) != ("L", "RGB"):
            return None
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, srgb, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        if mode in ("L", "RGB"):
            probe = _probe(mode)
            before = np.asarray(probe.convert("RGB"), np.int16)
            change = np.asarray(ImageCms.applyTransform(probe, transform), np.int16) - before
            if np.abs(change).max() <= 1:
                return None
        return ImageCms.applyTransform(colour.convert(mode), transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, KeyError):
        return None  # a broken profile spoils the colours a little, refusing would spoil the day


def _probe(mode: str) -> Image.Image:
    """Every grey (L), or a 16×16×16 lattice of colours (RGB)."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3))


def _through_profile_deep(samples: Samples, icc: bytes | None) -> Samples:
    """(H, W, 1 to 4) float32 to the same in sRGB; eight bits deep if the profile really changes anything."""
    colours = 3 if samples.shape[2] > 2 else 1
    eight = whole_numbers(samples[..., :colours], 255).astype(np.uint8)
    managed = (
        _through_profile(Image.fromarray(eight[..., 0] if colours == 1 else eight), icc) if icc else None
    )
    if managed is None:
        return samples
    rgb = np.asarray(managed).astype(np.float32) / np.float32(255)
    return np.concatenate([rgb, samples[..., colours:]], axis=2)


def decode_deep_tiff(file: IO[bytes], name: str, max_pixels: int) -> Samples | None:
    """Upright sRGB samples (H, W, 1 to 4) float32 of a TIFF deeper than eight bits; None: Pillow's turn."""
    import tifffile

    file.seek(8)
    is_cr2 = file.read(2) == b"CR"
    file.seek(0)
    try:
        page: Any = tifffile.TiffFile(file).pages[0]
        raw = is_cr2 or _TAG_DNG in page.tags or bool(page.subfiletype & 1)
        plain = page.photometric in (0, 1, 2) and page.axes in ("YX", "YXS", "SYX")
        plain = plain and page.samplesperpixel <= 5  # more are no colours, and no bound on memory
        deep = page.dtype.kind in "uf" and page.dtype.itemsize * 8 == page.bitspersample > 8
    except Exception:  # noqa: BLE001 - Pillow may know better, and if not it says what is wrong
        return None
    if raw:
        got = f"'{name}' is a camera raw file: its first page is a preview"
        raise PictureError(got, _READS, "develop it to TIFF or JPEG first")
    if not (plain and deep):
        return None
    check_size((page.imagewidth, page.imagelength), max_pixels, f"'{name}'")
    try:
        samples = page.asarray()
    except (KeyError, ValueError, RuntimeError) as error:
        if "imagecodecs" not in str(error):
            raise
        return None  # LZW and the like: Pillow reads them, RGB at eight bits
    samples = _tiff_channels(scale(samples, f"'{name}'"), page)
    icc, turn = page.tags.valueof(_TAG_ICC), page.tags.valueof(_TAG_ORIENTATION, 1)
    return _upright(_through_profile_deep(samples, icc), turn)


def _tiff_channels(samples: Samples, page: Any) -> Samples:
    """Channels last; white is 1; at most one alpha, not multiplied into the colours."""
    samples = samples[..., None] if page.axes == "YX" else samples
    samples = np.moveaxis(samples, 0, 2) if page.axes == "SYX" else samples
    count = 3 if page.photometric == 2 else 1
    colours = 1 - samples[..., :count] if page.photometric == 0 else samples[..., :count]
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    if extra not in (1, 2):  # 0: something that is not alpha, a depth map for one
        return colours
    alpha = samples[..., count : count + 1]
    if extra == 1:  # colours came multiplied by alpha
        colours = np.divide(colours, alpha, out=np.zeros_like(colours), where=alpha > 0).clip(0, 1)
    return np.concatenate([colours, alpha], axis=2)


def _upright(samples: Samples, orientation: object) -> Samples:
    """(H, W, C) turned and mirrored by EXIF's 1 to 8; anything else counts as 1."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def scale(samples: Samples, name: str) -> Samples:
    """Any accepted dtype as float32 in [0, 1]."""
    kind = samples.dtype.newbyteorder("=")  # files come in both byte orders
    if kind in (np.uint8, np.uint16):
        return samples.astype(np.float32) / np.float32(np.iinfo(kind).max)
    if kind == np.bool_:
        return samples.astype(np.float32)
    if kind.kind != "f":
        raise PictureError(
            f"{name} holds {samples.dtype}", "expected uint8, uint16, or float in [0, 1]", "convert it"
        )
    low, high = float(samples.min()), float(samples.max())  # NaN, too, comes through both
    if not np.isfinite([low, high]).all():
        got = f"{name} has values that are not finite (NaN or infinity)"
        raise PictureError(got, "expected floats in [0, 1]", "replace them, as by numpy.nan_to_num")
    if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
        remedy = "scale them, or give uint8 or uint16"
        raise PictureError(f"{name} has floats from {low:g} to {high:g}", "expected floats in [0, 1]", remedy)
    return samples.clip(0, 1).astype(np.float32)


def whole_numbers(samples: Samples, top: int) -> Samples:
    """[0, 1] to whole numbers 0 to top, by way of float64 where float32 could miss the nearest.

    In bands: the steps between would outweigh a very large picture.
    """
    found = np.empty(samples.shape, np.uint8 if top <= 255 else np.uint16)
    for first in range(0, len(samples), 256):
        band = samples[first : first + 256]
        exact = band if top == 255 else band.astype(np.float64)
        found[first : first + 256] = np.floor(exact.clip(0, 1) * top + 0.5)
    return found
