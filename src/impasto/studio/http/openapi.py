"""JSON schemas of the settings that this server accepts, and of the bodies that routes parse themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI

from impasto.recipe import CLIP_PRESET, DEFAULT_PRESET, DEFAULT_SIZE, PRESETS, Recipe
from impasto.video.settings import VideoSettings

__all__ = [
    "CONTENT_BODY", "EVENTS", "INSTANT_BODY", "JOB_BODY", "REPAINT_BODY", "SESSION_BODY",
    "install_setting_schemas", "recipe_schema", "video_schema",
]  # fmt: skip

_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_FILES = {"type": "array", "items": _FILE}
_CONTENT_PART = {"content": _FILE | {"description": "A picture or a clip, recognised by its bytes."}}
_OTHER_PARTS: dict[str, Any] = {
    "style": _FILES
    | {"description": "Style pictures; with the preset instant also files of `impasto learn`."},
    "style_id": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Names from /v1/styles; style and style_id keep the order of the form's parts.",
    },
    "mask": _FILES | {"description": "Regions of the content; of a clip one grey picture, white is painted."},
    "style_mask": _FILES | {"description": "Regions of the styles."},
    "key": _FILES | {"description": "Painted frames of a clip, which are carried through it."},
    "key_frame": {
        "type": "array",
        "items": {"type": "integer", "minimum": 0},
        "description": "The numbers of these frames, from 0, in the same order.",
    },
    "preset": {
        "type": "string",
        "enum": list(PRESETS),
        "description": f"Default: {DEFAULT_PRESET} for a picture, {CLIP_PRESET} for a clip.",
    },
    "recipe": {"$ref": "#/components/schemas/Recipe"},
    "video": {"$ref": "#/components/schemas/VideoSettings"},
    "webhook": {"type": "string", "description": "Address to tell when the job ends, at an allowed host."},
}
_REPAINT_JSON = {
    "type": "object",
    "properties": {
        "recipe": {"type": "object"}, "video": {"type": "object"}, "preset": {"type": "string"},
        "style_id": {"type": "array", "items": {"type": "string"}}, "no_mask": {"type": "boolean"},
        "webhook": {"type": "string"},
    },
    "additionalProperties": False,
}  # fmt: skip
_SESSION_JSON = {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}


def _form(properties: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    """The media types of a body that is a form."""
    schema = {"type": "object", "properties": properties, "required": list(required)}
    encoding = {name: {"contentType": "application/json"} for name in ("recipe", "video")}
    return {"multipart/form-data": {"schema": schema, "encoding": encoding}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    """The media types of a body that is JSON."""
    return {"application/json": {"schema": schema}}


def _body(media_types: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": media_types}}


JOB_BODY = _body(_form(_CONTENT_PART | _OTHER_PARTS, ["content"]))
REPAINT_BODY = _body(_json(_REPAINT_JSON) | _form(_OTHER_PARTS | {"no_mask": {"type": "string"}}))
INSTANT_BODY = _body(
    _form(
        _CONTENT_PART | {name: _OTHER_PARTS[name] for name in ("style", "style_id", "mask", "recipe")},
        ["content"],
    )
)
#: The response that is a stream of events.
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/event-stream": {
                "itemSchema": {
                    "type": "object",
                    "properties": {
                        "event": {"type": "string", "const": "job"},
                        "data": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": "#/components/schemas/JobView"},
                        },
                    },
                }
            }
        }
    }
}
CONTENT_BODY = _body(_form(_CONTENT_PART, ["content"]))
SESSION_BODY = _body(_json(_SESSION_JSON))


def recipe_schema(encoders: Sequence[str], max_side: int) -> dict[str, Any]:
    """JSON schema of a picture's settings, restricted to what this server accepts.

    The page builds its form from it, so each default is the value that applies if the field is left alone.
    """
    schema = Recipe.model_json_schema()
    properties = schema["properties"]
    del properties["weights"]  # a path on the server
    init, encoder, size = properties["init"], properties["encoder"], properties["size"]
    init["enum"] = [name for name in init["enum"] if name != "picture"]  # the API takes no such upload
    init["description"] = "Start: the content, the instant picture, noise, or noise in the style's colours."
    encoder["enum"] = [name for name in encoder["enum"] if name in encoders]
    size["anyOf"] = [choice for choice in size["anyOf"] if choice.get("type") != "null"]
    size["default"] = DEFAULT_SIZE
    for choice in size["anyOf"]:
        if "maximum" in choice:
            choice["maximum"] = max_side
    return schema


def video_schema() -> dict[str, Any]:
    """JSON schema of the settings that only clips have."""
    return VideoSettings.model_json_schema()


def install_setting_schemas(app: FastAPI) -> None:
    """Add the settings' schemas to the components of the application's OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            components = document["components"]["schemas"]
            for model in (Recipe, VideoSettings):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                components |= schema.pop("$defs", {})
                components[model.__name__] = schema
            _link_jobs(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _link_jobs(document: dict[str, Any]) -> None:
    """Say which routes take the id of a job that was accepted, as OpenAPI's links."""
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    links = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {"job": "$response.body#/id"},
        }
        for operation in operations
        if any(parameter["name"] == "job" for parameter in operation.get("parameters", ()))
    }
    for operation in operations:
        if "202" in operation["responses"]:
            operation["responses"]["202"]["links"] = links
