"""``impasto doctor``: devices, memory, extras and weights of this machine, and a self-test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.util import find_spec

from impasto.cli.messages import count
from impasto.cli.progress import working
from impasto.cli.weights import weights_line
from impasto.errors import ImpastoError
from impasto.files import readable_size
from impasto.recipe import Recipe

__all__ = ["doctor", "installed_extras", "memory_here", "weights_here"]

#: Optional extra → the modules that it installs, by the names under which they are imported.
EXTRAS = {
    "video": ("av", "cv2"),
    "studio": ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "av", "cv2"),
    "https": ("cryptography", "segno"),
    "traces": ("opentelemetry.sdk", "opentelemetry.exporter"),
    "studies": ("matplotlib", "jinja2", "yaml"),
    "masks": ("cv2",),
    "heic": ("pillow_heif",),
    "ray": ("ray",),
    "cloud": ("fsspec", "s3fs"),
    "export": ("onnx", "onnxruntime"),
}


def doctor() -> int:
    """Show versions, devices, memory, installed extras and weights, and paint a short self-test.

    Examples
    --------
    impasto doctor
    """
    with working("inspecting this machine", quiet=False):
        from impasto.machine import choose_device, describe

        facts = describe(choose_device())
    versions = facts.pop("versions")
    for name, value in [*(facts | versions).items(), *memory_here(), *installed_extras(), *weights_here()]:
        print(f"{name.replace('_', ' '):<16}{value}")
    print(f"{'self-test':<16}{_self_test()}")
    return 0


def memory_here() -> Iterator[tuple[str, str]]:
    """(name, value) of each line about memory."""
    import psutil

    from impasto.machine import available_memory, choose_device

    device = choose_device()
    total = readable_size(psutil.virtual_memory().total)
    yield "memory", f"{readable_size(int(available_memory(choose_device('cpu'))))} free of {total}"
    if device.type == "cuda":
        yield "GPU memory", f"{readable_size(int(available_memory(device)))} free"


def installed_extras() -> Iterator[tuple[str, str]]:
    """(name, value) of a line for each extra: whether it is installed, and the remedy if not."""
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if not _is_installed(module)]
        yield f"extra {extra}", f"missing: pip install 'impasto[{extra}]'" if missing else "installed"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that is not there either
        return False


def weights_here() -> Iterator[tuple[str, str]]:
    """(name, value) of each line about weights: those of the encoders and of the face detector."""
    from impasto.masks.faces import model_file
    from impasto.networks import weights

    for status in weights.status():
        yield "weights", weights_line(status)
    try:
        yield "face detector", str(model_file())
    except ImpastoError:
        folder = weights.cache_dir()
        yield (
            "face detector",
            f"not here: copy face_detection_yunet_2023mar.onnx from OpenCV's zoo to {folder}",
        )


def _self_test() -> str:
    """One line about a picture that is painted for three seconds."""
    from impasto import api, samples

    run = api.prepare(samples.photograph("chelsea"), samples.painting("wave", size=192), Recipe(size=192))
    end = time.perf_counter() + 3.0
    result = api.run(run, stop=lambda: time.perf_counter() > end)
    first, last = result.trace[0]["loss"], result.losses["total"]
    rate = len(result.trace) / result.seconds
    painted = count(len(result.trace), "iteration")
    return f"{painted} up to 192 px, {rate:.1f} a second, loss {first:.3g} → {last:.3g}"
