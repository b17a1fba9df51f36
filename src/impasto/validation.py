"""A pydantic model, ``Validated``, whose errors are reported to users in one line."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from impasto.errors import RecipeError

__all__ = ["Validated", "add_ranges_to_descriptions"]


class Validated(BaseModel):
    """Frozen settings; unknown names and values out of range raise ``RecipeError``."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    #: What a user should do about an unknown name, for the message.
    remedy: ClassVar[str] = ""
    #: Fields whose values must not appear in messages.
    secret: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise RecipeError(*self._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> tuple[str, str, str]:
        """The first error of a validation as (got, expected, remedy) of an ``ImpastoError``."""
        first = error.errors(include_url=False)[0]
        path = [str(part) for part in first["loc"]]
        name, fields = ".".join(path), cls.model_fields
        if first["type"] == "extra_forbidden":
            possible = f"possible are {', '.join(fields)}" if len(path) == 1 else ""
            return f"unknown setting {name!r}", possible, cls.remedy
        if first["type"] == "missing":
            return f"setting {name} is missing", "it has no default", ""
        field = fields.get(path[0]) if path else None
        if field is None:
            return _reason(first), "", ""
        value = "(hidden)" if path[0] in cls.secret else _in_words(first.get("input")) or "nothing"
        default = "" if field.is_required() else _in_words(field.get_default(call_default_factory=True))
        # Only the first part of the path, because the rest may be pydantic's name of a member of a union.
        return (
            f"setting {path[0]} = {value}: {_reason(first)}",
            (field.description or "").rstrip("."),
            f"the default is {default}" if default else "",
        )


#: pydantic's error type → the reason in words, where pydantic's message uses Python's terms.
_REASONS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "it should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "it should be a number"),
    "finite_number": "it should be a finite number",
    "string_type": "it should be a name",
    "path_type": "it should be a path",
    "too_short": "it should have at least one value",
    "tuple_type": "it should be a list",
}


def _reason(error: ErrorDetails) -> str:
    """Why a value was refused."""
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return _REASONS.get(error["type"], message)


def _in_words(value: object) -> str:
    """A setting's value for messages: names in quotes, lists with commas; empty for None or an empty list."""
    if isinstance(value, (tuple, list)):
        return ", ".join(str(item) for item in value)
    return "" if value is None else repr(value) if isinstance(value, str) else str(value)


def add_ranges_to_descriptions(model: type[BaseModel]) -> None:
    """Append each field's range to its help text: ``Width of the edge (0 to 0.5).``

    So a range is written only once, where it is enforced. To be called once, after the class is defined.
    """
    for field in model.model_fields.values():
        annotation: Any = field.annotation
        bounds = _bounds(Annotated[(annotation, *field.metadata)] if field.metadata else annotation)
        if bounds and field.description:
            field.description = f"{field.description.rstrip('.')} ({_range_in_words(bounds)})."


#: Bounds this large only catch typing errors, and are left out of help texts.
_UNREACHABLE = 1e6


def _bounds(annotation: Any) -> dict[str, float]:
    """The bounds in an annotation, or in those of a list's items or a union's members: {"ge": 0, "le": 1}."""
    bounds: dict[str, float] = {}
    for item in getattr(annotation, "__metadata__", ()):
        for constraint in (item, *getattr(item, "metadata", ())):
            for name in ("ge", "gt", "le", "lt"):
                bound = getattr(constraint, name, None)
                if bound is not None and abs(bound) < _UNREACHABLE:
                    bounds[name] = bound
    if bounds:
        return bounds
    nested = (_bounds(part) for part in getattr(annotation, "__args__", ()))
    return next((bounds for bounds in nested if bounds), {})


def _range_in_words(bounds: dict[str, float]) -> str:
    """``0 to 1``, ``at least 1``, ``above 0, at most 8``."""
    if set(bounds) == {"ge", "le"}:
        return f"{bounds['ge']:g} to {bounds['le']:g}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(f"{words[name]} {bound:g}" for name, bound in bounds.items())
