"""Routes to what the studio offers: styles, photographs to try, settings with their limits."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from impasto import __version__, samples
from impasto.recipe import Recipe
from impasto.studio.http import schema
from impasto.studio.http.answers import KEPT, PAGE, PICTURE, REFUSALS
from impasto.studio.http.views import Entry, Limits, Preset, SettingsView, title
from impasto.studio.queue import accepting
from impasto.studio.service import PHOTOGRAPHS, studio_of

__all__ = ["router"]

router = APIRouter(responses=REFUSALS)


def _entries(names: Any, base: str) -> list[Entry]:
    return [
        Entry(id=one, title=title(one), thumbnail=f"{base}/{one}/thumbnail", picture=f"{base}/{one}/picture")
        for one in names
    ]


@router.get("/v1/styles")
def styles() -> list[Entry]:
    """The studio's own style pictures."""
    return _entries(samples.PAINTINGS, "/v1/styles")


@router.get("/v1/samples")
def photographs() -> list[Entry]:
    """Photographs to try it with."""
    return _entries(PHOTOGRAPHS, "/v1/samples")


async def _sample(request: Request, name: str, known: Any, ending: str) -> Response:
    if name not in known:
        raise HTTPException(404, f"there is no '{name[:40]}'; possible are {', '.join(known)}")
    studio = studio_of(request)
    path = studio.settings.data / "samples" / name
    if not path.with_suffix(".png").exists():
        await studio.apart(studio.sample, name)
    return FileResponse(path.with_suffix(f".{ending}"), headers=KEPT)


@router.get("/v1/styles/{name}/thumbnail", response_class=FileResponse, responses=PICTURE)
async def style_thumbnail(request: Request, name: str) -> Response:
    """A style, WebP, 256 pixels."""
    made = PAGE / "styles" / f"{name}.webp"  # so that the first page ever opened has its gallery
    if name in samples.PAINTINGS and made.exists():
        return FileResponse(made, headers=KEPT)
    return await _sample(request, name, samples.PAINTINGS, "webp")


@router.get("/v1/styles/{name}/picture", response_class=FileResponse, responses=PICTURE)
async def style_picture(request: Request, name: str) -> Response:
    """A style, JPEG, 768 pixels."""
    return await _sample(request, name, samples.PAINTINGS, "jpg")


@router.get("/v1/samples/{name}/thumbnail", response_class=FileResponse, responses=PICTURE)
async def photograph_thumbnail(request: Request, name: str) -> Response:
    """A photograph, WebP, 256 pixels."""
    return await _sample(request, name, PHOTOGRAPHS, "webp")


@router.get("/v1/samples/{name}/picture", response_class=FileResponse, responses=PICTURE)
async def photograph_picture(request: Request, name: str) -> Response:
    """A photograph, JPEG, at its own size."""
    return await _sample(request, name, PHOTOGRAPHS, "jpg")


@router.get("/v1/settings")
def all_settings(request: Request) -> SettingsView:
    """Presets, schemas of all settings, limits."""
    limits = studio_of(request).settings
    presets = [
        Preset(
            name=name, purpose=purpose, settings=Recipe(**given).model_dump(mode="json", include=set(given))
        )
        for name, (purpose, given) in accepting.usable_presets().items()
    ]
    return SettingsView(
        presets=presets,
        recipe=schema.recipe(accepting.usable_encoders(), limits.result_side),
        video=schema.video(),
        limits=Limits(**{name: getattr(limits, name) for name in Limits.model_fields}),
        version=__version__,
    )
