"""Parts of the documentation site that are derived: help pages of the commands, the settings, formulas."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

from latex2mathml.converter import convert

COMMANDS = (
    "stylize", "batch", "texture", "reconstruct", "study", "study layers", "study weights", "study inits",
    "study content-layers", "study styles", "study style-of", "study optimisers", "study custom",
    "study claims", "video", "propagate", "video-report", "studio", "studio jobs", "studio users",
    "studio backup", "studio restore", "blend", "mask", "learn", "export", "doctor", "weights",
    "weights list", "weights fetch", "weights verify", "demo",
)  # fmt: skip


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what a page asks for: ``{{ commands }}``, ``{{ settings }}``, and formulas between dollars."""
    if "{{ commands }}" in markdown:
        markdown = markdown.replace("{{ commands }}", commands())
    if "{{ settings }}" in markdown:
        markdown = markdown.replace("{{ settings }}", settings())
    if page.file.src_uri != "concepts.md":  # elsewhere a dollar is a dollar
        return markdown
    markdown = re.sub(r"\$\$(.+?)\$\$", lambda match: formula(match[1], "block"), markdown)
    return re.sub(r"\$([^$\n]+)\$", lambda match: formula(match[1], "inline"), markdown)


def formula(latex: str, display: str) -> str:
    """A formula as MathML, which browsers draw without any script."""
    return str(convert(latex, display=display))


def commands() -> str:
    """The help page of every command, as the command line prints it."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    pages = []
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "impasto.cli", *command.split(), "--help"],
            capture_output=True, text=True, check=True, env=environment, timeout=300,
        )  # fmt: skip
        pages.append(f"## impasto {command}\n\n```text\n{done.stdout.strip()}\n```\n")
    return "\n".join(pages)


def settings() -> str:
    """Every setting of a recipe with its default and its help."""
    from impasto.recipe import Recipe

    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Recipe.model_fields.items():
        default = field.get_default(call_default_factory=True)
        words = ", ".join(map(str, default)) if isinstance(default, tuple) else default
        shown = "" if words in (None, "") else f"`{words}`"
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {shown} | {meaning} |")
    return "\n".join(rows)
