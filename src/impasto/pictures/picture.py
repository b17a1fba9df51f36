"""Files to tensors and back: the only door to EXIF, ICC, alpha, bit depth and size limits.

Inside Impasto a picture is `(1, 3, H, W)`, float32, sRGB, [0, 1]. Whatever can be wrong with a file, a
folder or an array becomes a `PictureError` here; no exception of Pillow, tifffile or the system gets past.
What a file is, its content decides and never its name; what a file becomes, its name decides.

`decode.py` and `encode.py` know the formats; nothing but this file imports them.
"""

from __future__ import annotations

import errno
import math
import os
import re
import secrets
import stat
import struct
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFile

from impasto.errors import ImpastoError, PictureError
from impasto.pictures import decode, encode
from impasto.pictures.decode import Samples

__all__ = ["DEFAULT_MAX_PIXELS", "Picture", "check_output", "load", "read_metadata", "save", "to_uint8"]

# Just under the 2 × 89.5 megapixels at which some of Pillow's plugins refuse on their own account, so that
# at the default it is always our message that speaks.
DEFAULT_MAX_PIXELS = 178_000_000

_WRITES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}
_WRITES |= {".tif": "TIFF", ".tiff": "TIFF"}
_LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65535}  # pixels; limits of the formats


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory.

    Attributes:
        pixels: (1, 3, H, W) float32, sRGB, [0, 1]; colours are not multiplied by alpha.
        alpha: (1, 1, H, W) float32, [0, 1], 1 = opaque; None when the picture is opaque everywhere.
        source: the file it came from, if any.
    """

    pixels: torch.Tensor
    alpha: torch.Tensor | None = None
    source: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.pixels.shape[-2]), int(self.pixels.shape[-1])


def load(
    source: str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | torch.Tensor | Picture,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Picture:
    """Whatever a caller calls a picture, as a `Picture` on the CPU.

    Files are turned upright (EXIF), brought to sRGB (a broken profile is ignored), and give their first
    frame or page. Grey becomes three equal channels.

    Args:
        source: a path; a PIL picture; an array (H, W), (H, W, 1 to 4), channels last; a tensor (H, W),
            (C, H, W) or (1, C, H, W) with C = 1, 3 or 4. Arrays and tensors are uint8, uint16, bool, or
            float in [0, 1]; a small overshoot (up to 0.5) is clamped, more means another scale and is
            refused, as are NaN and infinity. A `Picture` is returned as it is.
        max_pixels: width × height above which a file is refused, from its header and before decoding.

    Raises:
        PictureError: it cannot be read, or not as a whole.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, torch.Tensor):
        with _only_picture_errors("the tensor cannot be read"):
            return _picture(decode.scale(_channels_last(source), "the tensor"))
    if isinstance(source, np.ndarray):
        with _only_picture_errors("the array cannot be read"):
            return _picture(decode.scale(_checked_shape(source), "the array"))
    if isinstance(source, Image.Image):
        with _only_picture_errors("the PIL picture cannot be decoded"), _quiet():
            decode.check_size(source.size, max_pixels, "the PIL picture")
            return _picture(decode.decode(source, "the PIL picture"))
    if isinstance(source, (str, os.PathLike)):
        return _load_file(os.fspath(source), max_pixels)
    raise PictureError(
        f"a picture was given as {type(source).__name__}", "expected a path, PIL picture, array or tensor"
    )


def _load_file(name: str, max_pixels: int) -> Picture:
    with _only_picture_errors(f"'{name}' cannot be read"), _quiet():
        _check_input(name)
        path = Path(name)
        with path.open("rb") as file:
            head = file.read(4096)
            kind = decode.kind_of(head)
            if kind is None:
                raise decode.what_it_is(name, head)
            again = "export or download it again"
            with _only_picture_errors(f"'{name}' is a damaged or incomplete {kind} file", remedy=again):
                samples = decode.decode_deep_tiff(file, name, max_pixels) if kind == "TIFF" else None
                if samples is None:
                    image = decode.open_header(kind, file, name)
                    decode.check_size(image.size, max_pixels, f"'{name}'")
                    samples = decode.decode(image, f"'{name}'")
    return _picture(samples, path)


def _check_input(name: str) -> None:
    """Refuses what is not a plain file with something in it."""
    remedy = "give the path of a picture file"
    if re.match(r"https?:/", name):  # one slash: what `Path` leaves of two
        raise PictureError(f"'{name}' is a web address", "expected a picture file", "download it first")
    if not name.strip():
        raise PictureError("the path of a picture is empty", remedy=remedy)
    try:
        status = Path(name).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError(f"there is no file '{name}'", remedy="check the path") from None
    if stat.S_ISDIR(status.st_mode):
        raise PictureError(f"'{name}' is a folder", "expected a picture file", remedy)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
        raise PictureError(f"'{name}' is not a regular file", "expected a picture file", remedy)
    if status.st_size == 0:
        raise PictureError(f"'{name}' is empty (0 bytes)", remedy="export or download it again")


def _channels_last(tensor: torch.Tensor) -> Samples:
    """(H, W) or (H, W, C) of a tensor (H, W), (C, H, W) or (1, C, H, W)."""
    shape = tuple(tensor.shape)
    if tensor.layout is not torch.strided or (tensor.ndim == 4 and shape[0] != 1):
        raise PictureError(
            f"a tensor {shape}", "expected (3, H, W) or (1, 3, H, W)", "give one picture at a time"
        )
    if tensor.ndim == 4:
        tensor = tensor[0]
    if tensor.ndim not in (2, 3) or (tensor.ndim == 3 and tensor.shape[0] not in (1, 3, 4)):
        remedy = "move the channels first: tensor.permute(2, 0, 1)" if shape[-1:] in ((3,), (4,)) else ""
        raise PictureError(f"a tensor {shape}", "expected (3, H, W) or (1, 3, H, W)", remedy)
    tensor = tensor.detach().cpu()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # numpy has no such type
    return _checked_shape(tensor.permute(1, 2, 0).numpy() if tensor.ndim == 3 else tensor.numpy())


def _checked_shape(array: Samples) -> Samples:
    """(H, W, C) with C = 1 to 4, nothing empty."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        remedy = (
            "move the channels last: array.transpose(1, 2, 0)" if array.ndim == 3 and len(array) == 3 else ""
        )
        raise PictureError(f"an array {array.shape}", "expected (H, W), (H, W, 3) or (H, W, 4)", remedy)
    if 0 in array.shape:
        raise PictureError(f"a picture of shape {array.shape}", "expected at least 1×1 pixels")
    return array[..., None] if array.ndim == 2 else array


def _picture(samples: Samples, source: Path | None = None) -> Picture:
    """(H, W, 1 to 4) float32 in [0, 1], as tensors of their own memory."""
    count = samples.shape[2]
    colours = samples[..., :3] if count > 2 else samples[..., [0, 0, 0]]
    alpha = None if count in (1, 3) or bool((samples[..., -1] == 1).all()) else samples[..., -1:]
    planes = [None if part is None else _planes(part) for part in (colours, alpha)]
    assert planes[0] is not None
    return Picture(planes[0], planes[1], source)


def _planes(samples: Samples) -> torch.Tensor:
    return torch.from_numpy(np.array(np.moveaxis(samples, 2, 0), dtype=np.float32, order="C")[None])


def check_output(
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    bit_depth: int = 8,
    size: tuple[int, int] | None = None,
) -> Path:
    """Everything that can be known to stop `save`, found out before the work starts. Returns the path.

    Args:
        path: .png, .jpg, .jpeg, .webp, .tif, .tiff, or .avif where Pillow can write it.
        inputs: files that must not be overwritten, also not through a link.
        bit_depth: 8, or 16 for TIFF.
        size: (height, width) of what will be saved, if known; some formats have a longest side.

    Raises:
        PictureError: `save` would fail, or would overwrite an input.
    """
    name = os.fspath(path)
    with _only_picture_errors(f"'{name}' cannot be written"):
        kind = _kind_to_write(name)
        if bit_depth != 8 and (bit_depth, kind) != (16, "TIFF"):
            raise PictureError(
                f"{bit_depth} bits in {kind}", "expected 8 bits, or 16 in TIFF", "name the output .tif"
            )
        limit = _LONGEST_SIDE.get(kind, 2**31)
        if size is not None and max(size) > limit:
            got = f"{size[1]}×{size[0]} pixels in {kind}"
            raise PictureError(got, f"at most {limit} a side", "make it smaller or name the output .png")
        _check_place(name, _target(name), inputs)
    return Path(name)


def _kind_to_write(name: str) -> str:
    kind = _WRITES.get(Path(name).suffix.lower())
    Image.init()
    if kind is None or (kind != "TIFF" and kind not in Image.SAVE):
        able = ", ".join(s for s, k in _WRITES.items() if k == "TIFF" or k in Image.SAVE)
        raise PictureError(
            f"the output '{name}' has an ending that cannot be written", f"expected {able}", "rename it"
        )
    return kind


def _target(name: str) -> Path:
    """The file itself where the path is a symbolic link: replacing the link would leave the file behind."""
    return Path(os.path.realpath(name))


def _check_place(name: str, target: Path, inputs: Iterable[str | os.PathLike[str]]) -> None:
    try:
        status = target.stat()
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise PictureError(f"the output '{name}' is {what}", "expected a file name", "choose another name")
    if status is not None and any(_is_same_file(status, other) for other in inputs):
        raise PictureError(f"the output '{name}' is also an input", remedy="choose another name")
    if not target.parent.is_dir():
        remedy = f"create it first: mkdir -p '{target.parent}'"
        raise PictureError(f"the folder of the output '{name}' does not exist", remedy=remedy)
    if status is not None and not os.access(target, os.W_OK):
        raise PictureError(f"the output '{name}' is write-protected", remedy="choose another name")
    trial = _partial(target)  # permission bits say little: root, read-only disks, network folders
    try:
        trial.open("xb").close()
    except OSError as error:
        got = f"the folder '{target.parent}' cannot be written to ({error.strerror})"
        raise PictureError(got, remedy="choose another folder") from error
    finally:
        trial.unlink(missing_ok=True)


def _is_same_file(status: os.stat_result, other: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(status, Path(other).stat())
    except OSError:
        return False  # it does not exist, so it cannot be overwritten


def _partial(target: Path) -> Path:
    """A new name beside the target; its own name cut short so that the whole stays below 255 bytes."""
    return target.with_name(f"{target.name[:40]}.{secrets.token_hex(8)}.partial")


def save(
    path: str | os.PathLike[str],
    pixels: torch.Tensor,
    *,
    alpha: torch.Tensor | None = None,
    metadata: str | None = None,
    bit_depth: int = 8,
    quality: int = 95,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Writes a picture, whole or not at all: an older file stays until the new one is complete on disk.

    The file carries an sRGB profile and no date: the same arguments give the same bytes.

    Args:
        path: where to; the ending decides the format, see `check_output`.
        pixels: (1, 3, H, W) or (3, H, W), float, sRGB; values outside [0, 1] are clamped.
        alpha: (1, 1, H, W), float in [0, 1], or None. JPEG has no alpha: it is laid on white.
        metadata: text to embed, JSON as a rule; `read_metadata` returns it.
        bit_depth: 8, or 16 for TIFF. Values are rounded to the nearest, without dither.
        quality: 1 to 100 for JPEG, WebP and AVIF; the others are lossless.
        inputs: files that must not be overwritten.

    Raises:
        PictureError: nothing was written, and what was there before is untouched.
    """
    samples = _output_samples(pixels, alpha)
    checked = check_output(path, inputs=inputs, bit_depth=bit_depth, size=samples.shape[:2])
    if not 1 <= quality <= 100:
        raise PictureError(f"quality {quality}", "expected 1 to 100")
    with _only_picture_errors(f"'{checked}' could not be written"), _quiet():
        data = encode.encode(_kind_to_write(str(checked)), samples, metadata, bit_depth, quality)
        _replace(_target(str(checked)), data)
    return checked


def to_uint8(pixels: torch.Tensor) -> npt.NDArray[np.uint8]:
    """(1, 3, H, W) or (3, H, W) float to (H, W, 3) uint8, clamped and rounded to the nearest."""
    return decode.whole_numbers(_output_samples(pixels, None), 255)


def _output_samples(pixels: torch.Tensor, alpha: torch.Tensor | None) -> Samples:
    """(H, W, 3 or 4) float32, finite."""
    if pixels.ndim not in (3, 4) or pixels.shape[-3] != 3 or pixels.numel() == 0:
        raise PictureError(f"pixels {tuple(pixels.shape)}", "expected (1, 3, H, W)")
    if pixels.ndim == 4 and pixels.shape[0] != 1:
        raise PictureError(
            f"{pixels.shape[0]} pictures at once", "expected (1, 3, H, W)", "save one at a time"
        )
    height, width = pixels.shape[-2:]
    planes = [pixels.detach().reshape(3, height, width)]
    if alpha is not None:
        if alpha.shape[-2:] != (height, width) or alpha.numel() != height * width:
            raise PictureError(f"alpha {tuple(alpha.shape)}", f"expected (1, 1, {height}, {width})")
        planes.append(alpha.detach().reshape(1, height, width))
    moved = [plane.to("cpu", torch.float32) for plane in planes]
    stacked = moved[0] if len(moved) == 1 else torch.cat(moved)
    if not all(math.isfinite(float(bound)) for bound in torch.aminmax(stacked)):
        raise PictureError("the pixels to save are not finite (NaN or infinity)", "expected floats in [0, 1]")
    return np.ascontiguousarray(stacked.permute(1, 2, 0).numpy())


def _replace(target: Path, data: bytes) -> None:
    """All of the file or none of it. `open` honours the umask, which tempfile's 0600 would not."""
    partial = _partial(target)
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)  # noqa: PTH105 - the one call that is atomic on every system
    finally:
        partial.unlink(missing_ok=True)  # gone already when all went well


def read_metadata(path: str | os.PathLike[str]) -> str | None:
    """The text that `save` embedded, or None if there is none of ours.

    Raises:
        PictureError: no such file, or not a picture.
    """
    name = os.fspath(path)
    with _only_picture_errors(f"'{name}' cannot be read"), _quiet():
        _check_input(name)
        with Path(name).open("rb") as file:
            head = file.read(4096)
            kind = decode.kind_of(head)
            if kind is None:
                raise decode.what_it_is(name, head)
            if kind == "TIFF":
                return encode.extract_from_tiff(file)
            return encode.extract(decode.open_header(kind, file, name))


@contextmanager
def _only_picture_errors(what: str, remedy: str = "") -> Iterator[None]:
    """The public boundary: decoders and disks raise anything, a caller sees a `PictureError`."""
    try:
        yield
    except ImpastoError:
        raise
    except MemoryError as error:
        raise PictureError(f"{what}: it needs more memory than there is", remedy="make it smaller") from error
    except Image.DecompressionBombError as error:  # WebP and GIF have a limit of Pillow's own
        raise PictureError(
            f"{what}: Pillow refuses its size", remedy="shrink it, or convert it to PNG"
        ) from error
    except OSError as error:
        reasons = {errno.ENOSPC: "the disk is full", errno.EACCES: "permission denied"}
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise PictureError(f"{what}: {reason}", remedy=remedy) from error
    except struct.error as error:  # its text speaks of Python, not of the file
        raise PictureError(what, remedy=remedy) from error
    except Exception as error:
        raise PictureError(f"{what}: {error or type(error).__name__}", remedy=remedy) from error


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_scope: warnings.catch_warnings[None] | None = None
_truncated_before = False


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of Pillow or tifffile on stderr, and no picture with its missing half painted grey.

    Both settings belong to the process, so the first thread in sets them and the last one out restores
    them; each thread doing so by itself could restore another's.
    """
    global _quiet_depth, _quiet_scope, _truncated_before
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_scope = warnings.catch_warnings()
            _quiet_scope.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\b|tifffile\b")
            _truncated_before = ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_scope is not None:
                ImageFile.LOAD_TRUNCATED_IMAGES = _truncated_before
                _quiet_scope.__exit__(None, None, None)
