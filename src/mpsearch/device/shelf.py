"""Several boards of one kind for one study: what they must have in common, and what is each one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mpsearch.device import spec as specs
from mpsearch.device.spec import BoardSpec
from mpsearch.errors import ConfigError

_ALIKE: dict[str, Any] = {
    **dict.fromkeys(("target", "runtime", "accuracy", "timing"), True),
    "snpe": {"measure", "duration_s", "threads"},
    "toolkit": {"tools", "soc", "optimization_level", "encodings"},
}
"""Fields that decide what is built and how it is measured. Names, doors, folders, commands and waits may differ; the
toolkit's version must not, and is compared when a worker opens the study."""


def boards(shelf: Sequence[str], target: str) -> tuple[BoardSpec, ...]:
    """All boards of the shelf where ``target`` is one of them; the first is what the others are compared with.

    Args:
        shelf: boards' files.

    Raises:
        ConfigError: a file is wrong, or no board's file; two differ in what they must share, or share a name; or no
            reference is timed, by which boards are compared.
    """
    if target not in shelf:
        return ()
    for path in shelf:
        if not specs.is_spec(path):
            what = "no board's file" if Path(path).exists() else "not there"
            raise ConfigError(
                f"{path}: {what}, and named among the boards of a study",
                hint="Boards of one study are files (docs/boards-real.md), relative to the study file.",
            )
    found = tuple(specs.load(Path(path)) for path in shelf)
    first = found[0]
    asked = _flat(first)
    for board in found[1:]:
        for name, value in _flat(board).items():
            if value != asked[name]:
                raise ConfigError(
                    f"{board.path}: {name} is {value}, and {asked[name]} in {first.path}",
                    hint="Boards of one shelf are of one kind and measured alike; another kind is another study.",
                )
    names = [board.name for board in found]
    for board, name in zip(found, names, strict=True):
        if names.count(name) > 1:
            raise ConfigError(
                f"{board.path}: name {name!r} is that of another board of the shelf",
                hint="Give each its own: records tell boards apart by their names.",
            )
    if first.timing.reference_s is None:
        raise ConfigError(
            f"{first.path}: timing.reference_s: a shelf's boards are compared by the reference",
            hint="Leave it at its default, 60.",
        )
    return found


def _flat(board: BoardSpec) -> dict[str, Any]:
    """``timing.least`` and so on."""
    data = board.model_dump(mode="json", include=_ALIKE)
    found: dict[str, Any] = {}
    for name, value in data.items():
        found |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return found
