"""Builds the static site: ``python web/build.py FOLDER``. ``make web`` does that after ``npm ci``.

With ``--install`` instead of a folder it is built where `impasto studio` finds it by itself.

The folder gets the pages and scripts of ``web/``, what they share with the studio's page, the models that
``impasto export --parts`` writes, style pictures and photographs from ``impasto.samples``, and the runtime
from npm. Nothing in it is loaded from another host.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
PAGE = ROOT / "src" / "impasto" / "studio" / "page"
PACKAGES = ROOT / "node_modules"

SHARED_SCRIPTS = ("compare", "dom", "gallery", "sources", "texts")
#: What the site takes from the studio's page as it is.
SHARED = ("style.css", "parts.css", "icons", "styles", *(f"js/{n}.js" for n in SHARED_SCRIPTS))
#: Files that a visit without a network needs only if this browser has once chosen them.
ON_DEMAND = ("runtime/",)
RUNTIME = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.min.mjs",
    "ort-wasm-simd-threaded.jsep.mjs",
    "ort-wasm-simd-threaded.jsep.wasm",
)
CLIP_LIBRARY = "mediabunny.min.mjs"
STYLE_SIDE, STYLE_QUALITY = 768, 80
PHOTOGRAPHS = ("chelsea", "coffee", "astronaut", "rocket")


def build(folder: Path) -> None:
    """Build the whole site; models and pictures are made only where the folder lacks them or they are old.

    Files that stay as they are are not written, so that a browser may be reading them.
    """
    copy_runtime(folder)
    make_models(folder)
    make_pictures(folder)
    copy_pages(folder)


def copy_pages(folder: Path) -> None:
    """Copy pages and scripts, and write the list of all files for the service worker."""
    for source, names in ((PAGE, SHARED), (WEB, [p.name for p in WEB.iterdir() if p.suffix != ".py"])):
        for name in names:
            inside = (source / name).rglob("*") if (source / name).is_dir() else [source / name]
            for path in inside:
                if path.is_file():
                    _put(folder / path.relative_to(source), path.read_bytes())
    from impasto import __version__, samples

    facts = json.loads((folder / "models" / "facts.json").read_text(encoding="utf-8"))
    site = {
        "version": __version__,
        "facts": facts,
        "styles": list(samples.PAINTINGS),
        "photographs": PHOTOGRAPHS,
    }
    _put(folder / "site.json", json.dumps(site, indent=1).encode())
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "files.js")
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    names = [path.relative_to(folder).as_posix() for path in files]
    first_visit = ["./", *(name for name in names if not name.startswith((*ON_DEMAND, "sw.js")))]
    listing = json.dumps({"version": digest.hexdigest()[:12], "files": first_visit}, indent=1)
    _put(folder / "files.js", f"self.SITE = {listing};\n".encode())


def copy_runtime(folder: Path) -> None:
    """Copy the scripts and WebAssembly that the site uses of onnxruntime-web and mediabunny."""
    sources = [PACKAGES / "onnxruntime-web" / "dist" / name for name in RUNTIME]
    for source in (*sources, PACKAGES / "mediabunny" / "dist" / "bundles" / CLIP_LIBRARY):
        if not source.exists():
            raise SystemExit(f"{source.relative_to(PACKAGES)} is not installed: run npm ci")
        content = source.read_bytes()
        if source.suffix != ".wasm":  # the maps for debuggers are not part of the site
            content = re.sub(rb"//# sourceMappingURL=\S+\s*$", b"", content)
        _put(folder / "runtime" / source.name, content)


def make_models(folder: Path) -> None:
    """Export the network in parts, and write what the scripts must know of it."""
    from impasto.feedforward.decoder import load_decoder
    from impasto.feedforward.export.files import write_parts
    from impasto.feedforward.export.models import ModelBuilder
    from impasto.networks.registry import load_encoder

    target = folder / "models" / "facts.json"
    sources = [
        *(ROOT / "src/impasto/data").glob("*.safetensors"),
        *(ROOT / "src/impasto").glob("feedforward/**/*.py"),
    ]
    if _is_newer(target, sources):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    files, gap = write_parts(target.with_name("instant.onnx"), ModelBuilder(load_encoder(), load_decoder()))
    if gap > 1e-3:
        raise SystemExit(f"the exported models differ from PyTorch by {gap:.1e}")
    target.write_text(json.dumps(_facts(files[-1]), indent=1), encoding="utf-8")


def _facts(model: Path) -> dict[str, Any]:
    """The metadata of a model that concern tiles and layers."""
    import onnx

    found = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    return {
        "multiple": int(found["multiple"]),
        "smallestSide": int(found["smallest_side"]),
        "halo": int(found["halo"]),
        "layers": found["layers"].split(","),
        "bankLayers": found["bank_layers"].split(","),
        "bankStrides": [int(stride) for stride in found["bank_strides"].split(",")],
        "bankSize": int(found["bank_size"]),
    }


def make_pictures(folder: Path) -> None:
    """Paint the styles, and copy the photographs to try them on, as JPEG files."""
    from impasto import samples

    sources = list((ROOT / "src/impasto/samples").glob("*.py"))
    for name in samples.PAINTINGS:
        if not _is_newer(path := folder / "styles" / f"{name}.jpg", sources):
            _save(path, samples.painting(name, size=STYLE_SIDE))
    for name in PHOTOGRAPHS:
        if not _is_newer(path := folder / "photographs" / f"{name}.jpg", sources):
            _save(path, samples.photograph(name))


def _save(path: Path, picture: Any) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = picture[0].permute(1, 2, 0).mul(255).round().byte().numpy()
    Image.fromarray(pixels).save(path, quality=STYLE_QUALITY, optimize=True, progressive=True)


def _is_newer(path: Path, sources: Iterable[Path]) -> bool:
    return path.exists() and all(source.stat().st_mtime < path.stat().st_mtime for source in sources)


def _put(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python web/build.py FOLDER | --install")
    if sys.argv[1] == "--install":
        from impasto.studio.settings import site_folder

        build(site_folder())
    else:
        build(Path(sys.argv[1]))
