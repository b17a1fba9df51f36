"""``JobRequest``: what a client asks for, read from a form or from JSON. Values are checked later."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from impasto.studio.errors import RefusedError

__all__ = ["JobRequest", "UploadSource", "parse_form", "parse_json_body", "parse_json_object"]

UploadSource = IO[bytes] | Path  # an upload, or a file of an earlier job
_FILE_PARTS = ("content", "style", "mask", "style_mask", "key")
_TEXT_PARTS = ("style_id", "key_frame", "preset", "recipe", "video", "no_mask", "webhook")


@dataclass(frozen=True)
class JobRequest:
    """What a client asks for.

    Attributes:
        content: a picture or a clip.
        styles: in order: the name of a built-in painting, or a picture.
        masks, style_masks: pictures.
        keys: number of a frame of the clip, from 0 → its painting.
        preset: None if the client sent none.
        recipe: picture settings by name.
        video: clip settings by name; None if the client sent none.
        no_mask: do not take over the masks of the earlier job.
        webhook: address to tell when the job ends.
    """

    content: UploadSource | None = None
    styles: list[str | UploadSource] = field(default_factory=list)
    masks: list[UploadSource] = field(default_factory=list)
    style_masks: list[UploadSource] = field(default_factory=list)
    keys: dict[int, UploadSource] = field(default_factory=dict)
    preset: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    video: dict[str, Any] | None = None
    no_mask: bool = False
    webhook: str | None = None


def parse_json_object(text: str | bytes, field: str) -> dict[str, Any]:
    """A JSON object; raises ``RefusedError`` for anything else, NaN and infinity included."""

    def refuse_constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        got = f"'{field}' is not JSON: {reason}"
        raise RefusedError(got, 'an object such as {"size": 800}', field=field) from None
    if not isinstance(value, dict):
        got = f"'{field}' is not a JSON object"
        raise RefusedError(got, 'settings by name, such as {"size": 800}', field=field)
    return value


def parse_form(parts: Iterable[tuple[str, Any]]) -> JobRequest:
    """A request from a form's parts, in order: (name, text) or (name, upload with an open ``file``)."""
    uploads: dict[str, list[Any]] = {name: [] for name in _FILE_PARTS}
    texts: dict[str, str] = {}
    numbers: list[str] = []
    for name, value in parts:
        _check_part(name, is_file=not isinstance(value, str))
        if name == "style_id":  # uploaded and built-in styles keep the order of the form
            uploads["style"].append(value)
        elif name == "key_frame":
            numbers.append(value)
        elif name in _FILE_PARTS:
            uploads[name].append(value.file)
        else:
            texts[name] = value
    if len(uploads["content"]) > 1:
        raise RefusedError("'content' is given twice", "one picture or clip", field="content")
    return JobRequest(
        content=next(iter(uploads["content"]), None),
        styles=uploads["style"],
        masks=uploads["mask"],
        style_masks=uploads["style_mask"],
        keys=_numbered(numbers, uploads["key"]),
        preset=texts.get("preset"),
        recipe=_parse_settings(texts, "recipe") or {},
        video=_parse_settings(texts, "video"),
        no_mask=texts.get("no_mask", "") not in ("", "0", "false"),
        webhook=texts.get("webhook"),
    )


def _numbered(numbers: list[str], paintings: list[UploadSource]) -> dict[int, UploadSource]:
    """Key frames by their numbers; the n-th number is that of the n-th painting."""
    if len(numbers) != len(paintings):
        got = f"{len(paintings)} of 'key' and {len(numbers)} of 'key_frame'"
        raise RefusedError(got, "a number for each painted frame", field="key")
    for number in numbers:
        if not re.fullmatch(r"[0-9]{1,9}", number):
            raise RefusedError(f"'key_frame' is {number[:40]!r}", "a number of a frame, from 0", field="key")
    keys = dict(zip(map(int, numbers), paintings, strict=True))
    if len(keys) < len(numbers):
        raise RefusedError("two paintings of one frame", "one for each", field="key")
    return keys


def _check_part(name: str, *, is_file: bool) -> None:
    if name not in _FILE_PARTS + _TEXT_PARTS:
        possible = ", ".join(_FILE_PARTS + _TEXT_PARTS)
        raise RefusedError(f"unknown part {name[:40]!r} of the form", f"possible are {possible}")
    if is_file != (name in _FILE_PARTS):
        got, expected = ("a file", "text") if is_file else ("text", "a file")
        raise RefusedError(f"'{name}' is {got}", expected, field=name)


def _parse_settings(texts: Mapping[str, str], name: str) -> dict[str, Any] | None:
    """The JSON object in a text part: empty if the text is, None if there is no such part."""
    if name not in texts:
        return None
    return parse_json_object(texts[name], name) if texts[name].strip() else {}


def parse_json_body(body: Mapping[str, Any]) -> JobRequest:
    """A request to paint an earlier job again, which may be sent as JSON."""
    types = {"recipe": dict, "video": dict, "preset": str, "style_id": list, "no_mask": bool, "webhook": str}
    for name, value in body.items():
        expected = types.get(name)
        if expected is None:
            raise RefusedError(f"unknown part {str(name)[:40]!r}", f"possible are {', '.join(types)}")
        if value is not None and not isinstance(value, expected):
            raise RefusedError(f"'{name}' is not of type {expected.__name__}", "that type", field=name)
    styles = body.get("style_id") or []
    if not all(isinstance(name, str) for name in styles):
        raise RefusedError("'style_id' is not a list of names", field="style")
    return JobRequest(
        styles=list(styles), preset=body.get("preset"), recipe=body.get("recipe") or {},
        video=body.get("video"), no_mask=bool(body.get("no_mask")),
        webhook=body.get("webhook"),
    )  # fmt: skip
