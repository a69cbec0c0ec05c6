"""Study files with several models: ``models:`` in place of ``model:``.

Each entry becomes an ordinary study of its own, so that whatever works on a study works on one model of several. On the
command line ``STUDY`` means all of them and ``STUDY:NAME`` one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mpsearch import config, studyfile
from mpsearch.config import FIELDS, Kin, Study
from mpsearch.errors import ConfigError
from mpsearch.space.yamlfile import nearest
from mpsearch.validation import explain

OWN = ("input", "decoder", "search_space", "seeds", "metafile", "face_sizes")
"""What an entry may say for itself; it replaces what the study says for all."""
JUDGING = ("input", "decoder")
"""What of it matters to a model that is not searched and only judges."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_DEFAULT_REFERENCE = "reference"


def every(argument: str | None) -> tuple[Study, ...]:
    """The studies that a command's STUDY argument means: one for each model, a single one for ``STUDY:NAME``.

    Raises:
        ConfigError: no such file or model, or wrong fields; names the file, the entry and the field.
    """
    path, name = find(argument)
    data = studyfile.read(path)
    if "models" not in data:
        if name:
            raise ConfigError(f"{path}: has one model and no {name!r}", hint=f"Leave out `:{name}`.")
        return (config.load(path),)
    found = _several(path, data)
    if not name:
        return found
    names = [study.member for study in found]
    if name not in names:
        raise ConfigError(f"{path}: no model {name!r}{nearest(name, names)}", hint=f"Models: {', '.join(names)}")
    return (found[names.index(name)],)


def one(argument: str | None) -> Study:
    """The study that a command needs which looks at one model.

    Raises:
        ConfigError: see :func:`every`; or the file has several models and none was named.
    """
    found = every(argument)
    if len(found) > 1:
        names = ", ".join(study.member for study in found)
        raise ConfigError(
            f"{found[0].path}: has several models: {names}", hint=f"Name one: {found[0].path}:{found[0].member}"
        )
    return found[0]


def find(argument: str | None) -> tuple[Path, str]:
    """The study file, and the name of one of its models; "" for all.

    Raises:
        ConfigError: no such file.
    """
    if argument is None or Path(argument).is_file():
        return config.find(argument), ""
    file, colon, name = argument.rpartition(":")
    return (config.find(file), name) if colon and file else (config.find(argument), "")


def _several(path: Path, data: Mapping[str, Any]) -> tuple[Study, ...]:
    if "model" in data:
        raise ConfigError(f"{path}: both `model:` and `models:`", hint="Give one of the two.")
    shared = {key: value for key, value in data.items() if key not in ("models", "reference")}
    entries = data["models"]
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path}: models: must be a list of {{name: ..., model: ...}}", hint=FIELDS)
    found: dict[str, Study] = {}
    for index, entry in enumerate(entries):
        name = _name(path, f"models[{index}]", entry)
        if name in found:
            raise ConfigError(f"{path}: models[{index}]: a second model {name!r}", hint="Give each its own name.")
        found[name] = _study(path, f"models[{index}] ({name})", shared, entry, OWN)
    first = next(iter(found))
    reference = _reference(path, data.get("reference", first), shared, found)
    budget = found[first].budget
    if budget.model is not None and budget.times is None:
        raise ConfigError(f"{path}: budget.model: goes with `times:` and `of:`", hint=FIELDS)
    source = _known(path, "budget.model", budget.model or first, found)
    return tuple(
        study.among(Kin(name, reference, None if study is source else source)) for name, study in found.items()
    )


def _name(path: Path, place: str, entry: Any) -> str:
    if not isinstance(entry, Mapping) or "name" not in entry or "model" not in entry:
        raise ConfigError(f"{path}: {place}: needs `name:` and `model:`, got {entry!r:.80}", hint=FIELDS)
    name = entry["name"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{path}: {place}.name: letters, digits, `_` and `-` make a name, got {name!r}")
    return name


def _study(path: Path, place: str, shared: Mapping[str, Any], entry: Mapping[str, Any], own: Sequence[str]) -> Study:
    """What an entry says over what all share."""
    for key in entry:
        if key not in (*own, "name", "model"):
            known = key in Study.model_fields and key != "path"
            hint = "All models share it: move it out of the entry." if known else f"An entry has: {', '.join(own)}."
            raise ConfigError(f"{path}: {place}: unknown field {key!r}{nearest(str(key), own)}", hint=hint)
    try:
        return config.build(path, {**shared, **{key: value for key, value in entry.items() if key != "name"}})
    except ValidationError as error:
        mine = any(item["loc"] and item["loc"][0] in (*entry, "decoder") for item in error.errors())
        raise ConfigError(f"{path}: {f'{place}: ' if mine else ''}{explain(error, Study)}", hint=FIELDS) from error


def _reference(path: Path, given: Any, shared: Mapping[str, Any], found: Mapping[str, Study]) -> Study:
    """One of the models by its name, or another one that is not searched."""
    if isinstance(given, Mapping):
        named = {"name": _DEFAULT_REFERENCE, **given}
        _name(path, "reference", named)
        return _study(path, "reference", shared, named, JUDGING)
    return _known(path, "reference", given, found)


def _known(path: Path, key: str, name: Any, found: Mapping[str, Study]) -> Study:
    if name not in found:
        names = list(found)
        raise ConfigError(
            f"{path}: {key}: no model {name!r}{nearest(str(name), names)}", hint=f"Models: {', '.join(names)}"
        )
    return found[name]
