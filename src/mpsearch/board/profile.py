"""Board profiles: YAML files with exactly the parameters of their family (:mod:`mpsearch.board.parameters`).

``benchmarks/cost_model.py`` fits the values that the comments of the shipped files call fitted.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mpsearch.board.parameters import FAMILIES, Profile
from mpsearch.errors import ConfigError

__all__ = ["Profile", "dump", "load", "names", "parse"]


def names() -> tuple[str, ...]:
    """The profiles that come with mpsearch, aliases left out."""
    return tuple(sorted(_shipped()))


def load(name_or_path: str | Path) -> Profile:
    """A shipped profile by name or alias, or a YAML file (anything with a suffix or a folder in it is a path).

    Raises:
        ConfigError: no such profile or file, not YAML, a key missing, unknown or out of range.
    """
    path = Path(name_or_path)
    if path.suffix or len(path.parts) > 1:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as a board profile: {error}") from error
        return parse(text, str(path))
    shipped = _shipped()
    known = {alias: profile for profile in shipped.values() for alias in (profile.name, *profile.aliases)}
    name = str(name_or_path)
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, n=3)
        hint = f"Nearest: {', '.join(near)}." if near else f"Known: {', '.join(sorted(known))}."
        raise ConfigError(f"no board profile {name!r}", hint=f"{hint} Or give the path of a profile's YAML file.")
    return known[name.lower()]


def parse(text: str, source: str) -> Profile:
    """A profile from YAML text; ``source`` is the file's name for messages.

    Raises:
        ConfigError: not YAML, a key missing, unknown or out of range.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {error}") from error
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: a board profile is a map of parameters, not {type(data).__name__}")
    values: dict[Any, Any] = dict(data)
    if isinstance(values.get("aliases"), list):
        values["aliases"] = tuple(values["aliases"])
    vendor = values.get("vendor")
    if vendor not in FAMILIES:
        found = "is missing" if vendor is None else f"is {vendor!r}"
        raise ConfigError(f"{source}: key 'vendor' {found}; one of {', '.join(FAMILIES)}", hint="See: docs/boards.md")
    family = FAMILIES[vendor]
    try:
        return family.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_explain(item, family) for item in error.errors())
        raise ConfigError(f"{source}: {problems}", hint="See: docs/boards.md") from error


def dump(profile: Profile, *, comment: str = "") -> str:
    """``profile`` as the text of a file that :func:`load` reads, with ``comment`` above it."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    return head + yaml.safe_dump(profile.model_dump(mode="json"), sort_keys=False)


def _explain(item: Any, family: type[Profile]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, family.model_fields, n=1)
        return f"unknown key {key!r}" + (f" (nearest: {near[0]!r})" if near else "")
    if item["type"] == "missing":
        return f"key {key!r} is missing"
    return f"{key}: {item['msg']}, got {item['input']!r}"


@cache
def _shipped() -> dict[str, Profile]:
    folder = resources.files("mpsearch.board") / "profiles"
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    profiles = (parse(entry.read_text(encoding="utf-8"), entry.name) for entry in files)
    return {profile.name: profile for profile in profiles}
