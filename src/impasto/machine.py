"""Device, precision and memory of this machine, queried when a function is called, never at import."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from impasto.errors import RecipeError

__all__ = [
    "autocast",
    "available_memory",
    "beside",
    "choose_device",
    "choose_dtype",
    "describe",
    "fast_bfloat16",
    "give_back_memory",
    "keep_memory",
    "large_pages",
    "torch_threads",
    "upload",
    "visible_gpus",
]


def choose_device(name: str = "auto") -> torch.device:
    """A device by name: ``cpu``, ``cuda``, ``cuda:1`` …; ``auto``: CUDA, else Intel's XPU, Apple's MPS, CPU.

    Raises:
        RecipeError: the device does not exist on this machine; there is no silent fallback to the CPU.
    """
    available = _available()
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "xpu", "mps", "cpu") if kind in available))
    if name not in available:
        raise RecipeError(
            f"device {name!r} is not on this machine",
            f"available are {', '.join(available)}",
            "leave --device out to have the best one chosen",
        )
    return torch.device(name)


def _available() -> list[str]:
    """Names of this machine's devices; one of several of a kind also by its number."""
    names = ["cpu"]
    for kind, module in (("cuda", torch.cuda), ("xpu", torch.xpu)):
        if module.is_available():
            names += [kind, *(f"{kind}:{i}" for i in range(module.device_count()))]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def beside(device: torch.device) -> tuple[torch.device, ...]:
    """Other devices of the kind, which may help; none if ``device`` is one in particular, as ``cuda:0``."""
    if device.index is not None:
        return ()
    # The first one is the device that is meant without a number.
    return tuple(torch.device(name) for name in _available() if name.startswith(f"{device.type}:"))[1:]


def upload(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the processor on ``device``; NVIDIA's GPUs fetch it by themselves, from pinned memory."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def visible_gpus() -> tuple[str, ...]:
    """NVIDIA's GPUs that this process may use, as named in ``CUDA_VISIBLE_DEVICES``."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return tuple(named.split(",")[:count]) if named else tuple(map(str, range(count)))


def fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions on ``device`` are faster in bfloat16 than in float32.

    On a CPU with AVX-512 BF16 they take a third to a half of the time; on others bfloat16 is emulated, and
    slower. Of GPUs only NVIDIA's are asked; on the others it is not known to be faster.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(probe()) if probe is not None else False
    return False


def autocast(device: torch.device) -> torch.autocast:
    """Products on ``device`` in bfloat16 where that is faster, see :func:`fast_bfloat16`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device))


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of convolutions for ``precision`` ``auto``, ``float32`` or ``bfloat16``."""
    if precision == "auto":
        precision = "bfloat16" if fast_bfloat16(device) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


@contextmanager
def torch_threads(count: int) -> Iterator[int]:
    """PyTorch's operations take ``count`` threads each, also in threads that start meanwhile.

    Yields:
        The number of threads that operations take outside.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def describe(device: torch.device) -> dict[str, Any]:
    """Versions, processor and device, as stored with every run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "device": str(device),
        "device_name": name or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "fast_bfloat16": fast_bfloat16(device),
        "versions": dict(_versions()),
    }


@functools.cache
def _versions() -> Mapping[str, str]:
    """Package → its version, read once: that takes as long as encoding a small picture."""
    versions = {}
    for package in ("impasto", "torch", "numpy", "pillow", "pydantic", "safetensors"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


#: Blocks of so many bytes are returned to the system when they are freed, if it hands out large pages. From
#: 2 MB on, a picture took a tenth less memory and half as much time again: the end of each block, and blocks
#: of other libraries, are in pages of 4 KB all the same.
LARGE_BLOCK = 32 << 20


def keep_memory() -> None:
    """Make glibc keep freed memory instead of returning every large block to the system.

    Each evaluation allocates the same blocks again, and the system zeroes every page that it hands out, which
    took 13 % of an evaluation in pages of 4 KB. In pages of 2 MB (:func:`large_pages`) it takes less, and the
    largest blocks are returned, because kept ones leave holes between others. Does nothing on systems other
    than Linux with glibc.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(-3, LARGE_BLOCK if large_pages() else 1 << 27)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


def give_back_memory() -> None:
    """Return to the system what glibc has kept of freed memory; it fetches it again as it is needed."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def large_pages(setting: Path = Path("/sys/kernel/mm/transparent_hugepage/enabled")) -> bool:
    """Whether PyTorch asks for pages of 2 MB for its large tensors, and the system has them.

    Args:
        setting: what the system does, such as ``always [madvise] never``.
    """
    if os.environ.get("THP_MEM_ALLOC_ENABLE") != "1":
        return False
    try:
        return "[never]" not in setting.read_text(encoding="utf-8")
    except OSError:
        return False


def available_memory(device: torch.device) -> float:
    """Free memory of ``device`` in bytes; of the CPU, that of the system or, if less, of a control group.

    The limit may stand at this process's own group (systemd's ``MemoryMax``, a container's) or at any above.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return min(float(psutil.virtual_memory().available), control_group_headroom())


def control_group_headroom(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float:
    """Bytes that this process may still take before its control group (Linux) reaches its limit.

    Args:
        membership: lists the groups that the process is in: ``0::/system.slice/impasto-studio.service``.
        root: where the groups' files are.

    Returns:
        Infinity where there is no limit.
    """
    headroom = float("inf")
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return headroom
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            base, limit, used, reclaimable = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):  # the first version of control groups
            base, reclaimable = root / "memory", "total_inactive_file"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            group = base.joinpath(*parts[:depth])
            headroom = min(headroom, _group_headroom(group, limit, used, reclaimable))
    return headroom


def _group_headroom(group: Path, limit: str, used: str, reclaimable: str) -> float:
    """Bytes left of one control group; infinity if it is not there or has no limit (``max``)."""
    try:
        left = float((group / limit).read_text()) - float((group / used).read_text())
    except (OSError, ValueError):
        return float("inf")
    try:  # files that were read are counted as used, but given up on demand
        words = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        left += float(words.get(reclaimable, 0))
    except (OSError, ValueError):
        pass
    return max(0.0, left)
