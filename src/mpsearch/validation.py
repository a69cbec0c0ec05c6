"""What pydantic found wrong with a file, in this project's words."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """``place: what is wrong``, with the nearest known field for an unknown one.

    Args:
        model: what was validated; its field ``path`` is not the user's to write.
    """
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            fields = _fields_at(item["loc"][:-1], model)
            near = get_close_matches(str(item["loc"][-1]), fields, n=1)
            message = "unknown field" + (f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(fields)}")
        elif item["type"] == "missing":
            message = "is missing"
        lines.append(f"{place}: {message}")
    return "; ".join(lines)


def _fields_at(place: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The fields that a mapping at ``place`` may have."""
    for part in place:
        field = model.model_fields.get(str(part))
        annotation: Any = field.annotation if field else None
        options = (annotation, *get_args(annotation))  # the second kind: CameraConfig | None
        inner = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        if inner is None:
            return []
        model = inner
    return [name for name in model.model_fields if name != "path"]
