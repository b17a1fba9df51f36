"""The plan of a study: a base recipe, what is varied, the pictures and the seeds. Plans can be YAML files:

    name: how-much-content
    base: {size: 192, iterations: 150}
    contents: [photograph:chelsea]
    styles: [painting:wave, my/picture.jpg]
    seeds: [0, 1]
    vary:
      content_weight: [0.01, 0.1, 1]
      start:
        - {label: from the content, init: content}
        - {label: from noise, init: noise}

A cell is one combination: content × style × one value of each axis × seed. Pictures are paths, or
``photograph:NAME``, ``painting:NAME`` and ``inset:MOTIF:GROUND:SHARE`` (see ``sources``).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from impasto.errors import RecipeError, require_extra
from impasto.recipe import DEFAULT_SIZE, Recipe
from impasto.validation import Validated

__all__ = ["Axis", "Painter", "StudyCell", "StudyPlan", "Value", "distinct", "picture_labels", "with_axis"]

Painter = Literal["impasto", "textbook"]

#: A plan with more cells is refused, since it is probably a mistake: at ten seconds each they take half a
#: day.
MAX_CELLS = 5000

#: Names of the axes that are not from ``vary``, in the order of a cell's coordinates.
CONTENT, STYLE, SEED = "content", "style", "seed"

#: Columns of a study's results; no axis may have one of these names.
RESERVED_NAMES = {
    "study", "cell", "status", "error", "painter", "evaluations", "seconds", "threads", "events",
    "non_finite", "loss", "judge",
}  # fmt: skip


class Value(BaseModel):
    """One point on an axis: a label, and settings that override the plan's base.

    The ``painter`` ``textbook`` runs PyTorch's own L-BFGS without Impasto's guard, for comparison.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(min_length=1, max_length=80)
    settings: dict[str, Any] = {}
    painter: Painter = "impasto"

    @field_validator("settings")
    @classmethod
    def _known(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return _known_settings(settings)


class Axis(BaseModel):
    """What is varied: a name, and values in the order of the sheet's columns or rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=60)
    values: tuple[Value, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Axis:
        labels = [value.label for value in self.values]
        for label in labels:
            if labels.count(label) > 1:
                raise RecipeError(f"axis {self.name!r} has {label!r} twice", "each value once")
        if self.name in RESERVED_NAMES or "/" in self.name:
            raise RecipeError(
                f"an axis called {self.name!r}",
                f"none of {', '.join(sorted(RESERVED_NAMES))}, and no /",
                "rename it",
            )
        return self


@dataclass(frozen=True)
class StudyCell:
    """One run of a study.

    Attributes:
        coordinates: axis → label; content, style, the plan's axes, seed.
        content, style: pictures as the plan names them. Without content the cell is a texture, without style
            a reconstruction.
        canvas: (height, width) of a texture; None: that of the style.
    """

    coordinates: Mapping[str, str]
    recipe: Recipe
    content: str | None
    style: str | None
    canvas: tuple[int, int] | None
    painter: Painter


class StudyPlan(Validated):
    """A study. Unknown names, wrong settings and empty axes raise ``RecipeError``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$", description="Name of the study's folder.")
    title: str = Field("", max_length=200, description="Heading of the sheet and the page.")
    question: str = Field("", max_length=2000, description="What the study asks, in a sentence or two.")
    base: dict[str, Any] = Field({}, description="Settings of the recipe that all cells share.")
    contents: tuple[str, ...] = Field((), description="Content pictures; none: textures.")
    styles: tuple[str, ...] = Field((), description="Style pictures; none: reconstructions.")
    references: tuple[str, ...] = Field(
        (), description="Further pictures that the results' style is compared with."
    )
    canvas: tuple[int, int] | None = Field(None, description="Width and height of textures in pixels.")
    seeds: tuple[int, ...] = Field(
        (0,), min_length=1, description="Every combination is run once with each seed."
    )
    vary: tuple[Axis, ...] = Field((), description="What differs from cell to cell.")
    columns: str | None = Field(None, description="Axis along the sheet's columns; default: the last varied.")
    charts: tuple[str, ...] = Field((), description="Measurements to plot, * for every layer; default: all.")

    @field_validator("base")
    @classmethod
    def _base(cls, base: dict[str, Any]) -> dict[str, Any]:
        return _known_settings(base)

    @field_validator("vary", mode="before")
    @classmethod
    def _axes(cls, vary: Any) -> Any:
        """Accept axes as plan files have them: ``{axis: [values]}``."""
        if not isinstance(vary, Mapping):
            return vary
        return tuple(
            {"name": str(name), "values": _values(str(name), values)} for name, values in vary.items()
        )

    @field_validator("contents", "styles", "references", "seeds", "charts", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, (str, int)) else value

    @model_validator(mode="after")
    def _consistent(self) -> StudyPlan:
        if not (self.contents or self.styles):
            raise RecipeError("a study without pictures", "contents, styles or both")
        for kind, items in (("contents", self.contents), ("styles", self.styles), ("seeds", self.seeds)):
            if len(set(items)) < len(items):
                raise RecipeError(f"the same entry twice in {kind}", "each once")
        if self.columns is not None and self.columns not in self.axes:
            raise RecipeError(
                f"columns: {self.columns!r}", f"one of {', '.join(self.axes)}", "or leave it out"
            )
        if (count := len(self.contents or "x") * len(self.styles or "x") * self._settings_count) > MAX_CELLS:
            raise RecipeError(f"a study of {count} cells", f"at most {MAX_CELLS}", "vary less at a time")
        self.cells()
        return self

    @property
    def _settings_count(self) -> int:
        count = len(self.seeds)
        for axis in self.vary:
            count *= len(axis.values)
        return count

    # -- layout ------------------------------------------------------------------------------------------
    @property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """Axis → labels, in the order of a cell's coordinates; single-valued ones included."""
        axes = {CONTENT: picture_labels(self.contents), STYLE: picture_labels(self.styles)}
        axes |= {axis.name: tuple(value.label for value in axis.values) for axis in self.vary}
        axes[SEED] = tuple(str(seed) for seed in self.seeds)
        return {name: labels for name, labels in axes.items() if labels}

    @property
    def column_axis(self) -> str:
        """The axis along the columns: the plan's ``columns``, else the last varied axis of several labels.

        If nothing is varied, it is the first of seed, style and content that has several labels.
        """
        if self.columns:
            return self.columns
        several = [name for name, labels in self.axes.items() if len(labels) > 1]
        varied = [axis.name for axis in self.vary if axis.name in several]
        return (varied[-1:] or several[::-1] or [SEED])[0]

    @property
    def row_axes(self) -> tuple[str, ...]:
        """The other axes with more than one label, slowest first."""
        return tuple(n for n, labels in self.axes.items() if len(labels) > 1 and n != self.column_axis)

    # -- cells -------------------------------------------------------------------------------------------
    def cells(self) -> list[StudyCell]:
        """Every combination, the last axis fastest. Raises ``RecipeError`` for settings that do not fit."""
        axes = self.axes
        contents = zip(axes.get(CONTENT, ("",)), self.contents or (None,), strict=True)
        styles = zip(axes.get(STYLE, ("",)), self.styles or (None,), strict=True)
        combinations = list(itertools.product(*(axis.values for axis in self.vary)))
        return [
            self._cell(content, style, values, seed)
            for content, style, values, seed in itertools.product(contents, styles, combinations, self.seeds)
        ]

    def _cell(
        self,
        content: tuple[str, str | None],
        style: tuple[str, str | None],
        values: Sequence[Value],
        seed: int,
    ) -> StudyCell:
        labels = {CONTENT: content[0], STYLE: style[0]}
        labels |= {axis.name: value.label for axis, value in zip(self.vary, values, strict=True)}
        labels[SEED] = str(seed)
        recipe = self._recipe(values, seed, content[1], style[1])
        painter: Painter = next((v.painter for v in values if v.painter != "impasto"), "impasto")
        coordinates = {name: label for name, label in labels.items() if label}
        canvas = None if self.canvas is None else (self.canvas[1], self.canvas[0])
        return StudyCell(coordinates, recipe, content[1], style[1], canvas, painter)

    def _recipe(self, values: Sequence[Value], seed: int, content: str | None, style: str | None) -> Recipe:
        settings: dict[str, Any] = {"size": DEFAULT_SIZE} | self.base | {"seed": seed}
        # The loss of a picture that is missing is switched off.
        settings |= {} if content else {"content_weight": 0.0}
        settings |= {} if style else {"style_weight": 0.0}
        if content is None and settings.get("init", "content") == "content":
            settings["init"] = "noise"
        for value in values:
            settings |= value.settings
        return Recipe(**settings)

    # -- files -------------------------------------------------------------------------------------------
    def to_yaml(self) -> str:
        """The plan as :meth:`from_yaml` reads it, settings at their defaults left out."""
        data = self.model_dump(mode="json", exclude_defaults=True, exclude={"vary"})
        data["vary"] = {axis.name: [_as_yaml(value) for value in axis.values] for axis in self.vary}
        if not self.vary:
            del data["vary"]
        # YAML would fold a line separator in a title into a space. Escaped, every character is preserved.
        readable = json.dumps(data, ensure_ascii=False).isprintable()
        return str(_yaml().safe_dump(data, sort_keys=False, allow_unicode=readable, width=100))

    @classmethod
    def from_yaml(cls, text: str, *, folder: Path | None = None) -> StudyPlan:
        """Read a plan; relative paths in it are taken from ``folder``."""
        yaml = _yaml()
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"the plan is not YAML: {error}", "see docs/studies.md") from None
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise RecipeError("the plan is not a mapping", "name:, contents:, vary: … as in docs/studies.md")
        if folder is not None:
            for kind in ("contents", "styles", "references"):
                if isinstance(listed := data.get(kind, ()), (str, list)):
                    specs = [listed] if isinstance(listed, str) else listed
                    data[kind] = [_resolved(spec, folder) for spec in specs]
        return cls(**data)

    @classmethod
    def read(cls, path: Path) -> StudyPlan:
        """Read a plan's file."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise RecipeError(f"the plan {str(path)!r} cannot be read: {reason}", "a YAML file") from None
        return cls.from_yaml(text, folder=path.parent)


def _yaml() -> Any:
    """The YAML library, of the extra ``studies``."""
    require_extra("studies", ("yaml",), "a study's plan", RecipeError)
    import yaml

    return yaml


def _known_settings(settings: dict[str, Any]) -> dict[str, Any]:
    for name in settings:
        if name not in Recipe.model_fields:
            raise RecipeError(
                f"unknown setting {name!r} in a plan",
                f"possible are {', '.join(Recipe.model_fields)}",
                "see `impasto stylize --help`",
            )
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _values(axis: str, values: Any) -> list[Any]:
    """An axis from a file: bare values of the setting that it is named after, or settings with a label."""
    if axis in (CONTENT, STYLE, SEED):
        raise RecipeError(f"an axis called {axis!r}", "another name", f"use the plan's {axis}s")
    if not isinstance(values, (list, tuple)):
        raise RecipeError(f"axis {axis!r} is {values!r}", "a list of values")
    return [_value(axis, value) for value in values]


def _value(axis: str, value: Any) -> Any:
    if isinstance(value, Value):
        return value
    if not isinstance(value, Mapping):
        return {"label": _label(value), "settings": {axis: value}}
    settings = {name: setting for name, setting in value.items() if name not in ("label", "painter")}
    label = value.get("label") or ", ".join(f"{name} {_label(item)}" for name, item in settings.items())
    return {"label": str(label), "settings": settings, "painter": value.get("painter", "impasto")}


def _as_yaml(value: Value) -> dict[str, Any]:
    painter = {} if value.painter == "impasto" else {"painter": value.painter}
    return {"label": value.label, **painter, **value.settings}


def _label(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(_label(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def with_axis(axis: str, label: str) -> str:
    """The label, with its axis before it if it is a number, as in ``content weight 0.1``."""
    bare = label.replace(".", "").replace("-", "").replace("e", "").isdigit()
    return f"{axis.replace('_', ' ')} {label}" if bare else label


def picture_labels(specs: Sequence[str]) -> tuple[str, ...]:
    """Short names of pictures; full ones where two short names would be the same."""
    return distinct([_short(spec) for spec in specs], specs)


def distinct(short: Sequence[str], full: Sequence[str]) -> tuple[str, ...]:
    """Short names, and full ones where two short names are the same."""
    return tuple(name if short.count(name) == 1 else whole for name, whole in zip(short, full, strict=True))


def _short(spec: str) -> str:
    kind, _, rest = spec.partition(":")
    parts = rest.split(":")
    if kind == "inset" and len(parts) == 3:
        return f"{parts[0]} {float(parts[2]):.0%} in {parts[1]}" if _is_number(parts[2]) else spec
    return rest if _is_sample(spec) else Path(spec).stem


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()


def _is_sample(spec: str) -> bool:
    return spec.startswith(("photograph:", "painting:", "inset:"))


def _resolved(spec: Any, folder: Path) -> Any:
    return spec if not isinstance(spec, str) or _is_sample(spec) else str((folder / spec).resolve())
