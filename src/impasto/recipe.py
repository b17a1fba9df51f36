"""``Recipe``: all settings of a picture, each with its default, range and help text.

The command line's flags, the record of a run, the axes of studies and the studio's schema are derived from
the fields below. A recipe is immutable; ``recipe.replace(size=800)`` returns another one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_origin

from pydantic import Field, GetPydanticSchema, ValidationInfo, field_validator, model_validator
from pydantic_core.core_schema import no_info_after_validator_function

from impasto.errors import RecipeError
from impasto.networks.layers import canonical_layers
from impasto.validation import Validated, add_ranges_to_descriptions

__all__ = [
    "CLIP_PRESET",
    "CONTENT_LOSSES",
    "DEFAULT_PRESET",
    "DEFAULT_SIZE",
    "PAINTING",
    "PRESETS",
    "STYLE_LOSSES",
    "Recipe",
    "merged",
    "overridden",
    "preset",
]

#: Name of a style loss → a :class:`impasto.losses.style.StyleLoss`, or a function (layer weights, weight,
#: recipe) → :class:`impasto.losses.terms.Term`. Either may be named as "module:name", so that settings can be
#: read without importing PyTorch. A loss that is added here can be used in recipes, and so on the command
#: line, in the API and in studies.
STYLE_LOSSES: dict[str, Any] = {
    "gram": "impasto.losses.style:GRAM",
    "wasserstein": "impasto.losses.style:WASSERSTEIN",
    "sliced": "impasto.losses.style:SLICED",
    "histogram": "impasto.losses.style:HISTOGRAM",
    "remd": "impasto.losses.style:REMD",
    "nearest": "impasto.losses.nearest:nearest",
}
#: The same for content losses, but only functions.
CONTENT_LOSSES: dict[str, Any] = {
    "features": "impasto.losses.content:features",
    "self-similarity": "impasto.losses.content:self_similarity",
}

Weight = Annotated[float, Field(ge=0.0, le=1e12, allow_inf_nan=False)]

#: Long side in pixels of a picture for which no size is set.
DEFAULT_SIZE = 512

#: The settings that apply with ``method="instant"``.
INSTANT_SETTINGS = (
    "method",
    "size",
    "seed",
    "precision",
    "strength",
    "style_blend",
    "style_scale",
    "style_rotation",
    "style_crop",
    "colours",
    "region_weights",
    "feather",
)

#: The settings of the layout, which has no effect where painting begins with the instant picture: a preset's
#: ``init`` gives way to them.
LAYOUT_SETTINGS = frozenset(
    {
        "iterations",
        "coarsest",
        "coarse_content",
        "content_weight",
        "content_loss",
        "content_layers",
        "content_layer_weights",
        "style_weight",
        "style_layers",
        "style_layer_weights",
        "style_loss_weights",
        "style_order",
        "match_content",
        "guidance",
        "optimiser",
        "learning_rate",
        "history",
    }
)

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def _one_of(registry: Mapping[str, Any]) -> GetPydanticSchema:
    """Validation of a name against ``registry``, whose names may be added to after this call."""

    def check(name: str) -> str:
        if name not in registry:
            raise ValueError(f"possible are {', '.join(registry)}")
        return name

    return GetPydanticSchema(
        get_pydantic_core_schema=lambda source, handler: no_info_after_validator_function(
            check, handler(source)
        ),
        get_pydantic_json_schema=lambda schema, handler: handler(schema) | {"enum": list(registry)},
    )


class Recipe(Validated):
    """All settings of a picture. Unknown names and values out of range raise ``RecipeError``."""

    remedy = "see `impasto stylize --help`"

    # -- the picture ---------------------------------------------------------------------------------
    size: Annotated[int, Field(ge=1, le=65536)] | Literal["original"] | None = Field(
        None,
        description=(
            "Long side of the result in pixels, or 'original' for the content's size. "
            "Default: 512 for a picture, its own size for a clip."
        ),
    )
    paint_size: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        None,
        description=(
            "Long side in pixels at which a smaller picture is painted, at most twice its own; it is reduced "
            "to its size at the end, which hides the grain of single pixels. Not for padding circular. "
            "Default: every picture is painted at its size."
        ),
    )
    seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the random numbers; the same seed gives the same picture."
    )

    # -- the encoder ---------------------------------------------------------------------------------
    encoder: Literal["compact", "vgg19", "vgg19-original"] = Field(
        "compact",
        description=(
            "Network whose features the losses compare. compact: included in the package; vgg19, "
            "vgg19-original: downloaded on first use."
        ),
    )
    weights: Path | None = Field(
        None, description="File with weights for the encoder, instead of the default file."
    )
    pooling: Literal["max", "average", "l2"] | None = Field(
        None, description="Pooling of a VGG-19 encoder. Default: max, as it was trained."
    )
    padding: Literal["reflect", "circular", "replicate", "zeros"] = Field(
        "reflect",
        description=(
            "Padding of the convolutions at the picture's edges. reflect: mirror the picture; circular: "
            "wrap around, for results that tile seamlessly; replicate: repeat the edge pixels in the "
            "first layer, zeros in the others; zeros: as VGG-19 was trained."
        ),
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format of the convolutions. auto: bfloat16 where it is faster, else float32.",
    )

    # -- the losses ----------------------------------------------------------------------------------
    content_weight: Weight = Field(0.05, description="Weight of the content loss; 0 disables it.")
    strength: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        None,
        description=(
            "Balance between content and style: 0 is the content alone, 0.5 about the default "
            "weights, 1 the style alone. Replaces content_weight and style_weight."
        ),
    )
    content_loss: Annotated[str, _one_of(CONTENT_LOSSES)] = Field(
        "features",
        description=(
            "How the result is compared with the content. features: position by position; "
            "self-similarity: only by which positions resemble each other."
        ),
    )
    content_layers: tuple[str, ...] = Field(
        ("relu3_2",), min_length=1, description="Layers of the content loss."
    )
    content_layer_weights: tuple[Weight, ...] = Field(
        (), description="Weights of the content layers, relative to each other; equal by default."
    )
    content_until: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        None,
        description=(
            "Long side in pixels of the largest coarse scale, at most half the size. At larger scales the "
            "content weight is multiplied by fine_content, so that strokes replace photographic detail. "
            "Default: every scale is coarse, or with finishing all but the last."
        ),
    )
    coarse_content: float = Field(
        1.0,
        ge=0.0,
        le=100.0,
        description=(
            "Factor of the content weight at coarse scales; more keeps motifs of the style out of faces and "
            "quiet places."
        ),
    )
    fine_content: float = Field(
        0.0, ge=0.0, le=1.0, description="Factor of the content weight at scales larger than content_until."
    )
    keep_details: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description=(
            "How firmly small features of the content (eyes, letters, windows) are kept, from 0 (like "
            "everything else) to 1."
        ),
    )
    keep_colours: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description=(
            "How firmly broad areas keep the content's colours in the style's palette, from 0 (not) to 1, so "
            "that no colour of the style spreads in blots."
        ),
    )
    style_weight: Weight = Field(1.0, description="Weight of the style loss; 0 disables it.")
    style_loss: tuple[Annotated[str, _one_of(STYLE_LOSSES)], ...] = Field(
        ("gram",),
        min_length=1,
        description=(
            "How the result is compared with the style, by one or several losses. nearest: each position "
            "with a similar patch of the style, which keeps motifs whole; the others: by statistics of the "
            "whole picture."
        ),
    )
    style_loss_weights: tuple[Weight, ...] = Field(
        (), description="Weights of the style losses, relative to each other; equal by default."
    )
    match_content: float = Field(
        0.75,
        ge=0.0,
        le=1.0,
        description=(
            "For style_loss nearest: search for similar patches by the content (1), by the result so far (0) "
            "or by a mixture."
        ),
    )
    guidance: float = Field(
        0.0,
        ge=0.0,
        le=4.0,
        description=(
            "How firmly the style's parts are placed by meaning, sky to sky and skin to skin, as far as the "
            "encoder's deep features tell; 0: not."
        ),
    )
    style_layers: tuple[str, ...] = Field(STYLE_LAYERS, min_length=1, description="Layers of the style loss.")
    style_layer_weights: tuple[Weight, ...] = Field(
        (), description="Weights of the style layers, relative to each other; equal by default."
    )
    style_blend: tuple[Weight, ...] = Field(
        (), description="Weights of the style pictures, relative to each other; equal by default."
    )
    style_scale: float = Field(
        1.0,
        gt=0.05,
        le=8.0,
        description=(
            "Size of the style picture relative to the result; larger values give larger strokes. "
            "The style picture is never enlarged beyond its original size."
        ),
    )
    colours: Literal["style", "content", "match", "only"] = Field(
        "style",
        description=(
            "Colours of the result. style: those of the style; content: hues of the content, only "
            "lightness from the style; match: recolour the style picture with the content's palette "
            "first; only: recolour the content with the style's palette, without strokes."
        ),
    )
    recolour: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description=(
            "How far the content takes the style's palette before it is painted, from 0 (not) to 1 (in "
            "full). Only with colours style. A strength below one half lowers it."
        ),
    )
    clean_chroma: Annotated[float, Field(gt=0.0, le=100.0)] | None = Field(
        None,
        description=(
            "Largest difference of colour between neighbouring pixels, relative to the style's own. Beyond "
            "it, colours are smoothed along the edges of the finished picture. Default: not smoothed."
        ),
    )
    style_rotation: tuple[Annotated[float, Field(ge=-360.0, le=360.0)], ...] = Field(
        (),
        description=(
            "Rotation of the style in degrees, counter-clockwise: one value for all style pictures or one "
            "for each."
        ),
    )
    style_crop: tuple[Annotated[int, Field(ge=0, le=1_000_000)], ...] = Field(
        (),
        description=(
            "Part of the style picture to use, as left, top, width and height in pixels: four numbers for "
            "all style pictures or four for each."
        ),
    )
    style_order: Literal["together", "coarse-to-fine"] = Field(
        "together",
        description=(
            "How several styles are combined. together: all at every scale; coarse-to-fine: the first "
            "at the coarse scales (large strokes), the last at the fine ones."
        ),
    )
    region_weights: tuple[Weight, ...] = Field(
        (),
        description=(
            "Style weights of the regions, in the order of the masks; 0 leaves a region unpainted; "
            "equal by default."
        ),
    )
    feather: float = Field(
        0.01,
        ge=0.0,
        le=0.5,
        description="Width of the soft edge between regions, as a fraction of the long side.",
    )
    mask_spread: Literal["simple", "inside"] = Field(
        "simple",
        description=(
            "How masks are applied to features. simple: mask scaled to the layer's size; inside: only "
            "features whose receptive field lies within the region."
        ),
    )
    tv_weight: Weight = Field(
        0.0, description="Weight of the total variation loss; higher values give smoother pictures."
    )
    normalisation: Literal["relative", "gatys", "neural-style"] = Field(
        "relative",
        description=(
            "Normalisation of the losses. relative: by the pictures, so that weights mean the same for "
            "every size and encoder; gatys, neural-style: as in these programs, to use their weights."
        ),
    )

    margin: int = Field(
        4,
        ge=0,
        le=256,
        description=(
            "Width in pixels of a border that is painted around the picture and cropped at the end of "
            "every scale, to avoid artefacts at the edges."
        ),
    )

    # -- the optimisation ----------------------------------------------------------------------------
    method: Literal["optimise", "instant"] = Field(
        "optimise",
        description=(
            "How the picture is made. optimise: by optimisation, step by step; instant: by a trained "
            "network in one pass, without the settings of losses and iterations."
        ),
    )
    init: Literal["content", "instant", "noise", "style-colours", "picture"] = Field(
        "content",
        description=(
            "Initial picture. content; instant: the content as the preset instant paints it, which with "
            "finishing takes the place of all iterations; noise; style-colours: noise in the style's "
            "colours; picture: the one given with --init-image."
        ),
    )
    optimiser: Literal["lbfgs", "adam"] = Field("lbfgs", description="Optimisation algorithm.")
    iterations: tuple[Annotated[int, Field(ge=0, le=1_000_000)], ...] = Field(
        (60,),
        min_length=1,
        description=(
            "Number of iterations at each scale, from coarse to fine; the last number applies to all "
            "further scales."
        ),
    )
    coarse_finishing: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description=(
            "Number of finishing steps at the largest coarse scale, after its iterations. Strokes painted "
            "there are twice as broad as those of the next scale, and cost a quarter. 0, and without "
            "finishing: none."
        ),
    )
    finishing: tuple[Annotated[int, Field(ge=0, le=1_000_000)], ...] = Field(
        (0,),
        min_length=1,
        description=(
            "Number of finishing steps at each scale larger than content_until, in place of iterations; the "
            "last number applies to all further scales. They paint strokes: every feature is pulled to the "
            "most similar one of the style, or of the style turned by quarters. 0: no finishing."
        ),
    )
    coarsest: int = Field(
        128,
        ge=1,
        le=65536,
        description=(
            "Long side in pixels of the coarsest scale, approximately. If it equals size, there is only one "
            "scale, unless the picture is painted larger."
        ),
    )
    tolerance: float = Field(
        0.004,
        ge=0.0,
        lt=1.0,
        description=(
            "End a scale early when ten iterations have changed no pixel by more than this; pixels range "
            "from 0 to 1, and 0.004 is one of 256 levels. 0: never."
        ),
    )
    learning_rate: float = Field(
        0.02, gt=0.0, le=10.0, description="Learning rate of Adam; pixels range from 0 to 1."
    )
    history: int = Field(20, ge=1, le=200, description="Number of previous steps that L-BFGS keeps.")

    # -- checks that need more than one field ----------------------------------------------------------
    @field_validator("*", mode="before")
    @classmethod
    def _split_lists(cls, value: Any, info: ValidationInfo) -> Any:
        """Accept lists as text with commas, and a single value instead of a list."""
        field = cls.model_fields[info.field_name or ""]
        if get_origin(field.annotation) is not tuple:
            return value
        items = [value] if isinstance(value, (str, int, float)) else value
        if not isinstance(items, (list, tuple)):
            return value
        split = [part.split(",") if isinstance(part, str) else [part] for part in items]
        return tuple(part.strip() if isinstance(part, str) else part for parts in split for part in parts)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_booleans(cls, value: Any) -> Any:
        """Refuse true and false, which pydantic would accept as 1 and 0."""
        if any(isinstance(item, bool) for item in (value if isinstance(value, (list, tuple)) else [value])):
            raise ValueError("it should be a number or a name, not true or false")
        return value

    @field_validator("content_layers", "style_layers")
    @classmethod
    def _canonical_layers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return canonical_layers(value)

    @model_validator(mode="after")
    def _check_together(self) -> Recipe:
        for kind in ("content", "style"):
            layers, weights = getattr(self, f"{kind}_layers"), getattr(self, f"{kind}_layer_weights")
            if weights and len(weights) != len(layers):
                raise RecipeError(
                    f"{len(weights)} {kind} layer weights for {len(layers)} {kind} layers",
                    "one weight for each layer, or none",
                    f"give {len(layers)}",
                )
            if weights and sum(weights) <= 0:
                raise RecipeError(
                    f"the {kind} layer weights are all 0",
                    "at least one above 0",
                    f"set {kind}_weight to 0 to leave the {kind} out",
                )
        self._check_style_losses()
        self._check_method()
        defaults = tuple(type(self).model_fields[f"{kind}_weight"].default for kind in ("content", "style"))
        if self.strength is not None and (self.content_weight, self.style_weight) != defaults:
            raise RecipeError(
                f"strength {self.strength:g} with content_weight or style_weight",
                "either strength or the weights, because strength sets both",
                "leave out the weights",
            )
        if len(self.style_crop) % 4:
            raise RecipeError(
                f"style_crop of {len(self.style_crop)} numbers", "four: left, top, width, height"
            )
        if self.style_blend and sum(self.style_blend) <= 0:
            raise RecipeError("the style blend is 0 for every style", "at least one above 0")
        if not (self.content_weight or self.style_weight or self.tv_weight):
            raise RecipeError("content, style and tv weight are all 0", "at least one above 0")
        return self

    def _check_method(self) -> None:
        if self.method != "instant":
            return
        fields = type(self).model_fields
        changed = [name for name in fields if getattr(self, name) != fields[name].default]
        if inapplicable := [name for name in changed if name not in INSTANT_SETTINGS]:
            raise RecipeError(
                f"{', '.join(inapplicable)} with method 'instant'",
                f"only {', '.join(INSTANT_SETTINGS[1:])} apply",
                "leave it out, or choose another preset",
            )

    def _check_style_losses(self) -> None:
        names, weights = self.style_loss, self.style_loss_weights
        if len(set(names)) < len(names):
            raise RecipeError(
                f"style losses {', '.join(names)}", "each once", "raise the weight of one instead"
            )
        if weights and (len(weights) != len(names) or sum(weights) <= 0):
            raise RecipeError(
                f"style loss weights {', '.join(map(str, weights))} for {', '.join(names)}",
                "one per style loss, at least one above 0; or none, for equal weights",
            )
        if self.normalisation != "relative" and (names != ("gram",) or self.content_loss != "features"):
            raise RecipeError(
                f"normalisation {self.normalisation!r} with another loss than Gram matrices and features",
                "those programs have no other losses",
                "leave normalisation at 'relative'",
            )

    # -- layers with their weights ---------------------------------------------------------------------
    def content_shares(self) -> dict[str, float]:
        """Content layer → share of the content loss; the shares sum to 1."""
        return _shares(self.content_layers, self.content_layer_weights)

    def style_shares(self) -> dict[str, float]:
        """Style layer → share of the style loss; the shares sum to 1."""
        return _shares(self.style_layers, self.style_layer_weights)

    def style_loss_shares(self) -> dict[str, float]:
        """Style loss → share of the style loss; the shares sum to 1, and those of 0 are left out."""
        shares = _shares(self.style_loss, self.style_loss_weights)
        return {name: share for name, share in shares.items() if share}

    def active_layers(self) -> tuple[str, ...]:
        """Layers of the losses whose weight is not 0, which the encoder has to compute."""
        content = self.content_layers if self.wants_content else ()
        return tuple(dict.fromkeys((*content, *(self.style_layers if self.wants_style else ()))))

    @property
    def transfer_strength(self) -> float:
        """How far colours and features go to the style's where no weights say it: in full by default."""
        return 1.0 if self.strength is None else self.strength

    @property
    def wants_content(self) -> bool:
        """Whether the content loss has any weight."""
        return self.content_weight > 0 and self.strength != 1.0

    @property
    def wants_style(self) -> bool:
        """Whether the style loss has any weight."""
        return self.style_weight > 0 and self.strength != 0.0

    @property
    def wants_finishing(self) -> bool:
        """Whether a finishing pass follows at some scale, if the picture has several."""
        return self.wants_style and any(self.finishing)

    # -- conversion --------------------------------------------------------------------------------------
    def replace(self, **settings: Any) -> Recipe:
        """A validated copy with some settings changed; settings that were never set stay unset."""
        return Recipe(**(self.model_dump(exclude_unset=True) | settings))

    def to_json(self) -> str:
        """The recipe as JSON, with the settings in the order of the class."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe from JSON; settings that are missing take their defaults.

        Raises:
            RecipeError: not a JSON object, or a setting that is unknown or out of range.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(
                f"the recipe is not JSON: {error}",
                "a file such as --save-run writes",
                "correct the file, or leave out --recipe",
            ) from None
        if not isinstance(data, dict):
            raise RecipeError(
                "the recipe is not a JSON object", 'expected settings by name, such as {"size": 800}'
            )
        return cls(**data)


#: What the presets that paint have in common: the layout is that of the instant picture, or optimised at
#: coarse scales, and strokes are painted at fine ones.
PAINTING: dict[str, Any] = {
    "paint_size": 640,
    "init": "instant",
    "iterations": (27, 13),  # for what the instant picture does not do, see LAYOUT_SETTINGS
    "style_loss": ("gram", "nearest"),
    "style_loss_weights": (2.0, 1.0),
    "content_until": 512,
    "coarse_content": 4.0,
    "coarse_finishing": 16,
    "finishing": (7,),
    "keep_details": 1.0,
    "keep_colours": 0.3,
    "clean_chroma": 0.9,  # at the size of painting; what is then reduced to 512 px has about a fifth more
}

#: The same with so many steps that strokes grow together.
GROWN_TOGETHER: dict[str, Any] = PAINTING | {
    "paint_size": 512,
    "iterations": (100,),
    "coarse_finishing": 50,
    "finishing": (30,),
}

#: Name → (what the preset is for, settings that differ from the defaults).
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "draft": (
        "a quick preview, in half the time of fast",
        PAINTING | {"paint_size": None, "iterations": (13,), "coarse_finishing": 10, "finishing": (3,)},
    ),
    "fast": ("a painting: strokes of the style along the forms of the content", PAINTING),
    "fine": ("strokes that have grown together, in less than twice the time of fast", GROWN_TOGETHER),
    "finest": (
        "for a picture to keep, in three times the time of fast",
        GROWN_TOGETHER | {"paint_size": 768},
    ),
    "classic": ("by Gram matrices, with the content at every scale", {}),
    "instant": ("in one pass of a trained network; the photograph shows through", {"method": "instant"}),
    "reference": (
        "as in Gatys et al. 2015: VGG-19 with average pooling, one scale, from noise, L-BFGS",
        {
            "encoder": "vgg19-original",
            "pooling": "average",
            "padding": "zeros",
            "margin": 0,
            "normalisation": "gatys",
            "content_layers": ("relu4_2",),
            "content_weight": 1.0,
            "style_weight": 1000.0,
            "init": "noise",
            "coarsest": 65536,
            "iterations": (500,),
            "tolerance": 0.0,
        },
    ),
}

#: The preset of pictures where none is chosen.
DEFAULT_PRESET: Final = "fast"
#: That of clips: over long ones the finished frames of other presets drift from the film (docs/video.md).
CLIP_PRESET: Final = "classic"


def preset(name: str) -> Recipe:
    """The recipe of a preset; ``RecipeError`` if ``name`` is not a key of :data:`PRESETS`."""
    return Recipe(**_preset_settings(name))


def merged(preset: str | None, recipe: Recipe | None, settings: Mapping[str, Any]) -> Recipe:
    """A preset's settings, overridden by those that ``recipe`` sets, and both by ``settings``.

    Args:
        preset: a key of :data:`PRESETS`; None: ``fast``, or ``classic`` where a recipe, a style loss or a
            normalisation is given, because finishing would replace most of what they ask for.

    Raises:
        RecipeError: an unknown preset or setting, or a value out of range.
    """
    if preset is None:
        chosen = recipe is not None or not {"style_loss", "normalisation"}.isdisjoint(settings)
        preset = "classic" if chosen else DEFAULT_PRESET
    recipe_settings = {} if recipe is None else recipe.model_dump(exclude_unset=True)
    return Recipe(**overridden(overridden(_preset_settings(preset), recipe_settings), settings))


def overridden(base: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``settings`` over it.

    Other style losses do not keep the weights of those in ``base``, and settings of the layout do not keep
    its start from the instant picture, with which they would have no effect.
    """
    kept = dict(base)
    if "style_loss" in settings:
        kept.pop("style_loss_weights", None)
    if kept.get("init") == "instant" and not LAYOUT_SETTINGS.isdisjoint(settings):
        del kept["init"]
    return kept | dict(settings)


def _preset_settings(name: str) -> dict[str, Any]:
    if name not in PRESETS:
        raise RecipeError(f"unknown preset {name!r}", f"possible are {', '.join(PRESETS)}")
    return PRESETS[name][1]


def _shares(names: tuple[str, ...], weights: tuple[float, ...]) -> dict[str, float]:
    weights = weights or (1.0,) * len(names)
    total = math.fsum(weights)
    return {name: weight / total for name, weight in zip(names, weights, strict=True)}


add_ranges_to_descriptions(Recipe)
