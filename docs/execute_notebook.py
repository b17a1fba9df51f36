"""Execute a notebook in place, its pictures kept as JPEG: ``python docs/execute_notebook.py NOTEBOOK``."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import nbclient
import nbformat
from PIL import Image


def main(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=900).execute()
    for cell in notebook.cells:
        cell.metadata.clear()  # times of execution would change the file at every run
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if png := data.pop("image/png", None):
                image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
                buffer = io.BytesIO()
                image.save(buffer, "JPEG", quality=85)
                data["image/jpeg"] = base64.b64encode(buffer.getvalue()).decode()
                data.pop("text/plain", None)
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
