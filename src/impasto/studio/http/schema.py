"""OpenAPI: forms that are read by hand, and the settings' own schemas in its components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI

from impasto.recipe import PRESETS, Recipe
from impasto.video.settings import VideoSettings

__all__ = ["AGAIN", "FORM", "LOOK", "SESSION", "install", "recipe", "video"]

_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_FILES = {"type": "array", "items": _FILE}
_SETTINGS: dict[str, Any] = {
    "style": _FILES | {"description": "Style pictures."},
    "style_id": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Names from /v1/styles; style and style_id keep the order of the form's parts.",
    },
    "mask": _FILES | {"description": "Regions of the content; of a clip one grey picture, white is painted."},
    "style_mask": _FILES | {"description": "Regions of the styles."},
    "preset": {"type": "string", "enum": list(PRESETS), "default": "fast"},
    "recipe": {"$ref": "#/components/schemas/Recipe"},
    "video": {"$ref": "#/components/schemas/VideoSettings"},
}
_CONTENT = {"content": _FILE | {"description": "A picture or a clip: which, its content says."}}
_AS_JSON = {name: {"contentType": "application/json"} for name in ("recipe", "video")}


def _form(properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    shape = {"type": "object", "properties": properties, "required": list(required)}
    return {"multipart/form-data": {"schema": shape, "encoding": _AS_JSON}}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


_AGAIN = {
    "type": "object",
    "properties": {
        "recipe": {"type": "object"}, "video": {"type": "object"}, "preset": {"type": "string"},
        "style_id": {"type": "array", "items": {"type": "string"}}, "no_mask": {"type": "boolean"},
    },
    "additionalProperties": False,
}  # fmt: skip
FORM = _body(_form(_CONTENT | _SETTINGS, ["content"]))
AGAIN = _body(
    {"application/json": {"schema": _AGAIN}} | _form(_SETTINGS | {"no_mask": {"type": "string"}}, [])
)
LOOK = _body(_form(_CONTENT, ["content"]))
SESSION = _body(
    {
        "application/json": {
            "schema": {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}
        }
    }
)


def recipe(encoders: Sequence[str], side: int) -> dict[str, Any]:
    """JSON schema of a picture's settings, without what this server refuses."""
    found = Recipe.model_json_schema()
    fields = found["properties"]
    del fields["weights"]
    fields["init"]["enum"] = [one for one in fields["init"]["enum"] if one != "picture"]
    fields["init"]["description"] = "Start: the content, noise, or noise in the style's colours."
    fields["encoder"]["enum"] = [one for one in fields["encoder"]["enum"] if one in encoders]
    for one in fields["size"]["anyOf"]:
        if "maximum" in one:
            one["maximum"] = side
    return found


def video() -> dict[str, Any]:
    """JSON schema of what a clip has beside."""
    return VideoSettings.model_json_schema()


def install(app: FastAPI) -> None:
    """The settings' schemas among the application's components."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = generate()
            components = found["components"]["schemas"]
            for model in (Recipe, VideoSettings):
                whole = model.model_json_schema(ref_template="#/components/schemas/{model}")
                components |= whole.pop("$defs", {})
                components[model.__name__] = whole
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
