"""Writes uploads into a job's folder and hashes them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any

from impasto.studio.errors import RefusedError
from impasto.studio.intake.request import JobRequest, UploadSource

__all__ = ["store_uploads"]


def store_uploads(folder: Path, request: JobRequest) -> dict[str, Any]:
    """Write every file of a request into ``folder``, under names that the client has no influence on.

    Returns:
        The column ``uploads`` of the job's row: what was uploaded, with hashes.
    """
    assert request.content is not None
    content = _store(request.content, folder / "content")
    styles: list[dict[str, Any]] = []
    for number, style in enumerate(request.styles):
        if isinstance(style, str):
            styles.append({"id": style, "sha256": None})
        else:
            styles.append({"id": None, "sha256": _store(style, folder / f"style-{number}")})
    masks = [_store(mask, folder / f"mask-{number}") for number, mask in enumerate(request.masks)]
    style_masks = [
        _store(mask, folder / f"style_mask-{number}") for number, mask in enumerate(request.style_masks)
    ]
    keys = [_store(key, folder / f"key-{number}") for number, key in enumerate(request.keys.values())]
    return {
        "content": content, "styles": styles, "masks": len(masks), "style_masks": len(style_masks),
        "keys": list(request.keys), "sha256": masks + style_masks + keys,
    }  # fmt: skip


def _store(source: UploadSource, path: Path) -> str:
    """Write an upload and wait for the disk, or link an earlier job's file; returns its SHA-256."""
    if isinstance(source, Path):
        try:
            os.link(source, path)
        except FileNotFoundError:
            got = "the earlier job's files are gone"
            raise RefusedError(got, remedy="upload them again", status=409) from None
        with path.open("rb") as file:
            return _sha256(file)
    source.seek(0)
    with path.open("xb") as file:
        digest = _sha256(source, file)
        file.flush()
        os.fsync(file.fileno())
    return digest


def _sha256(file: IO[bytes], copy: IO[bytes] | None = None) -> str:
    """The hash of what is left of a file, which is written to ``copy`` on the way."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
        if copy is not None:
            copy.write(block)
    return digest.hexdigest()
