"""``Validated``: a pydantic model whose first complaint reaches the user as one line."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from impasto.errors import RecipeError

__all__ = ["Validated"]


class Validated(BaseModel):
    """Frozen settings; unknown names and values out of range raise ``RecipeError``."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    #: What to do about an unknown name.
    remedy: ClassVar[str] = ""
    #: Fields whose values no message may repeat.
    secret: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, /, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise RecipeError(*self._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> tuple[str, str, str]:
        """A validation error's first complaint as got, expected, remedy."""
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
            return str(first["msg"]), "", ""
        got = "(hidden)" if path[0] in cls.secret else repr(first.get("input"))
        default = (
            "" if field.is_required() else f"the default is {field.get_default(call_default_factory=True)!r}"
        )
        # Of the path only its start: the rest may be pydantic's name for a member of a union.
        return (
            f"setting {path[0]} = {got}: {first['msg'].lower()}",
            (field.description or "").rstrip("."),
            default,
        )
