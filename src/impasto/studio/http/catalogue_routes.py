"""Routes of what the studio offers: styles, example photographs, settings and limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from impasto import __version__, samples
from impasto.recipe import CLIP_PRESET, DEFAULT_PRESET, Recipe
from impasto.studio.http.openapi import recipe_schema, video_schema
from impasto.studio.http.responses import CACHED, ERROR_RESPONSES, FILE_RESPONSE, PAGE_FOLDER
from impasto.studio.http.service import get_service
from impasto.studio.http.views import PresetView, SampleView, SettingsView, UploadLimits, sample_title
from impasto.studio.intake.chosen_settings import usable_encoders, usable_presets
from impasto.studio.sandbox.samples import EXAMPLE_PHOTOGRAPHS

__all__ = ["router"]

router = APIRouter(responses=ERROR_RESPONSES)


def _sample_views(names: Iterable[str], address: str) -> list[SampleView]:
    return [
        SampleView(
            id=name, title=sample_title(name), thumbnail=f"{address}/{name}/thumbnail",
            picture=f"{address}/{name}/picture",
        )
        for name in names
    ]  # fmt: skip


@router.get("/v1/styles")
def styles() -> list[SampleView]:
    """The built-in style pictures."""
    return _sample_views(samples.PAINTINGS, "/v1/styles")


@router.get("/v1/samples")
def photographs() -> list[SampleView]:
    """Photographs to try the studio with."""
    return _sample_views(EXAMPLE_PHOTOGRAPHS, "/v1/samples")


async def _sample_file(request: Request, name: str, possible: Collection[str], suffix: str) -> Response:
    if name not in possible:
        raise HTTPException(404, f"there is no {name[:40]!r}; possible are {', '.join(possible)}")
    path = await get_service(request).sample_path(name)
    return FileResponse(path.with_suffix(suffix), headers=CACHED)


@router.get("/v1/styles/{name}/thumbnail", response_class=FileResponse, responses=FILE_RESPONSE)
async def style_thumbnail(request: Request, name: str) -> Response:
    """A style, WebP, 256 pixels."""
    # The package contains thumbnails, so that the gallery does not wait until the styles are rendered.
    packaged = PAGE_FOLDER / "styles" / f"{name}.webp"
    if name in samples.PAINTINGS and packaged.exists():
        return FileResponse(packaged, headers=CACHED)
    return await _sample_file(request, name, samples.PAINTINGS, ".webp")


@router.get("/v1/styles/{name}/picture", response_class=FileResponse, responses=FILE_RESPONSE)
async def style_picture(request: Request, name: str) -> Response:
    """A style, JPEG, 768 pixels."""
    return await _sample_file(request, name, samples.PAINTINGS, ".jpg")


@router.get("/v1/samples/{name}/thumbnail", response_class=FileResponse, responses=FILE_RESPONSE)
async def photograph_thumbnail(request: Request, name: str) -> Response:
    """A photograph, WebP, 256 pixels."""
    return await _sample_file(request, name, EXAMPLE_PHOTOGRAPHS, ".webp")


@router.get("/v1/samples/{name}/picture", response_class=FileResponse, responses=FILE_RESPONSE)
async def photograph_picture(request: Request, name: str) -> Response:
    """A photograph, JPEG, at its own size."""
    return await _sample_file(request, name, EXAMPLE_PHOTOGRAPHS, ".jpg")


@router.get("/v1/settings")
def settings(request: Request) -> SettingsView:
    """Presets, schemas of all settings, limits."""
    limits = get_service(request).settings
    presets = [
        PresetView(
            name=name, purpose=purpose,
            settings=Recipe(**values).model_dump(mode="json", exclude_unset=True),
        )
        for name, (purpose, values) in usable_presets().items()
    ]  # fmt: skip
    return SettingsView(
        presets=presets,
        usual_presets={"image": DEFAULT_PRESET, "video": CLIP_PRESET},
        recipe=recipe_schema(usable_encoders(), limits.result_side),
        video=video_schema(),
        limits=UploadLimits(**limits.model_dump(include=set(UploadLimits.model_fields))),
        site=limits.web is not None,
        version=__version__,
    )
