"""What a search-space file says, checked for itself (names of units and outputs are checked against a graph later)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mpsearch.candidate import BASES, OPTIONS, Algorithm, Scheme
from mpsearch.space.yamlfile import Field

BASE = "base"
"""Choice of a group that takes the base type."""

_SNPE_OPTIONS = tuple(name for name in OPTIONS if name != "delegate")
VENDORS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "synap": (("int16", "float16"), ("delegate",)),
    "host": (("int16", "float16"), ()),
    "snpe": (("a16w8", "a16w16", "float16"), _SNPE_OPTIONS),
}
"""Vendor -> the types that single units may take, and the options of a whole model."""
_KEYS = (
    "vendor", "bases", "algorithms", "types", "tails", "grouping", "pins", "outputs", "cuts", "drop_outputs",
    "preprocess", "uniforms", "options",
)  # fmt: skip
MAX_TAILS = 200
MAX_STAGES = 200


@dataclass(frozen=True, slots=True)
class Grouping:
    """``by``: ``each``, ``stage`` (``stages`` chunks and the heads), ``tail`` (no groups) or ``globs``."""

    by: Literal["each", "stage", "tail", "globs"]
    stages: int = 16
    globs: tuple[tuple[str, tuple[Field, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Pin:
    """Units whose types are fixed, or limited, whatever their group takes."""

    pattern: Field
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cuts:
    """``points``: ``none``, ``nearest``, ``all`` or a mapping; ``uncut``: may an output stay as it is?"""

    points: Literal["none", "nearest", "all", "listed"] = "all"
    listed: tuple[tuple[Field, str, tuple[Field, ...]], ...] = ()
    choose: Literal["together", "each"] = "together"
    uncut: bool = True
    field: Field | None = None


@dataclass(frozen=True, slots=True)
class SpaceSpec:
    """A search-space file."""

    name: str
    root: Field
    vendor: str
    bases: tuple[str, ...]
    algorithms: tuple[Algorithm, ...]
    types: tuple[str, ...]
    tails: int
    grouping: Grouping
    pins: tuple[Pin, ...]
    outputs: Literal["follow", "free"]
    cuts: Cuts
    drop_outputs: tuple[Field, ...]
    drop_field: Field | None
    preprocess: tuple[str, ...]
    preprocess_field: Field | None
    uniforms: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]


def parse(root: Field, name: str) -> SpaceSpec:
    """Read the file's root.

    Raises:
        SpaceError: unknown or missing keys, wrong values, combinations that cannot be.
    """
    keys = root.mapping(_KEYS)
    if "vendor" not in keys or "bases" not in keys:
        missing = "vendor" if "vendor" not in keys else "bases"
        raise root.error(f"the key {missing!r} is missing", hint="See docs/search-space.md")
    vendor = keys["vendor"].choice(VENDORS)
    known_bases = _bases(vendor)
    bases = keys["bases"].choices(known_bases)
    types = _types(keys.get("types"), vendor)
    grouping = _grouping(keys.get("grouping"))
    tails = keys["tails"].integer(least=0, most=MAX_TAILS) if "tails" in keys else 24
    if grouping.by == "tail" and not tails:
        raise keys["tails"].error("grouping 'tail' needs at least one tail", hint="Give `tails: 24`.")
    pins = tuple(_pin(item, vendor) for item in keys["pins"].items()) if "pins" in keys else ()
    if "types" in keys and len(types) == 1 and all(base == types[0] for base in bases):
        raise keys["types"].error(f"{types[0]} is the base already: no unit has a choice", hint="Add an 8-bit base.")
    if all(BASES[base].is_float for base in bases) and "types" in keys:
        raise keys["types"].error(
            f"the base {bases[0]} is the unquantized model: it takes no other types", hint="Add an 8-bit base."
        )
    outputs: Literal["follow", "free"] = "follow"
    if "outputs" in keys and keys["outputs"].choice(("follow", "free")) == "free":
        outputs = "free"
    drop = keys.get("drop_outputs")
    uniforms = keys["uniforms"].choices(known_bases) if "uniforms" in keys else types[:1]
    return SpaceSpec(
        name=name,
        root=root,
        vendor=vendor,
        bases=bases,
        algorithms=tuple(
            Algorithm(a)
            for a in (keys["algorithms"].choices(map(str, Algorithm)) if "algorithms" in keys else ("standard",))
        ),
        types=types,
        tails=tails,
        grouping=grouping,
        pins=pins,
        outputs=outputs,
        cuts=_cuts(keys.get("cuts")),
        drop_outputs=tuple(drop.items()) if drop is not None else (),
        drop_field=drop,
        preprocess=_preprocess(keys.get("preprocess")),
        preprocess_field=keys.get("preprocess"),
        uniforms=tuple(dict.fromkeys((*bases, *uniforms))),
        options=_options(keys.get("options"), vendor),
    )


def _bases(vendor: str) -> tuple[str, ...]:
    """Those that speak the vendor's types."""
    mine = {Scheme.ENCODINGS} if vendor == "snpe" else set(Scheme) - {Scheme.ENCODINGS}
    return tuple(name for name, base in BASES.items() if base.scheme in mine)


def _options(field: Field | None, vendor: str) -> Mapping[str, tuple[str, ...]]:
    if field is None:
        return {}
    known = VENDORS[vendor][1]
    if not known:
        raise field.error(f"vendor {vendor} has no options")
    return {name: value.choices(OPTIONS[name]) for name, value in field.mapping(known).items()}


def _types(field: Field | None, vendor: str) -> tuple[str, ...]:
    known = VENDORS[vendor][0]
    if field is None:
        return known[:1]
    for item in field.items():
        if not item.is_mapping and item.text() in ("uint8", "int8", "a8w8"):
            raise item.error(
                f"{item.text()} cannot be given to single units: a map holds one 8-bit type, the base",
                hint=f"Name it under `bases` instead; units may take {', '.join(known)}.",
            )
    return field.choices(known)


def _grouping(field: Field | None) -> Grouping:
    if field is None:
        return Grouping("stage")
    if not field.is_mapping:
        value = field.choice(("each", "stage", "tail"))
        return Grouping("each" if value == "each" else "stage" if value == "stage" else "tail")
    keys = field.mapping(("by", "stages", "groups"))
    if "by" not in keys:
        raise field.error("the key 'by' is missing", hint="by: each | stage | tail | globs")
    by = keys["by"].choice(("each", "stage", "tail", "globs"))
    if "stages" in keys and by != "stage":
        raise keys["stages"].error(f"goes with `by: stage`, not with `by: {by}`")
    if "groups" in keys and by != "globs":
        raise keys["groups"].error(f"goes with `by: globs`, not with `by: {by}`")
    if by == "globs":
        if "groups" not in keys:
            raise field.error("`by: globs` needs `groups`: name -> patterns of unit names")
        groups = tuple((name, tuple(value.items())) for name, value in keys["groups"].mapping().items())
        if not groups:
            raise keys["groups"].error("no group is named")
        if any(name == "rest" for name, _ in groups):
            raise keys["groups"].error("'rest' is the group of the units that no pattern names: choose another name")
        return Grouping("globs", globs=groups)
    if by == "stage":
        return Grouping("stage", keys["stages"].integer(least=1, most=MAX_STAGES) if "stages" in keys else 16)
    return Grouping("each" if by == "each" else "tail")


def _pin(field: Field, vendor: str) -> Pin:
    keys = field.mapping(("unit", "type"))
    for key in ("unit", "type"):
        if key not in keys:
            raise field.error(f"the key {key!r} is missing", hint="A pin is {unit: pattern, type: base}.")
    keys["unit"].text()
    return Pin(keys["unit"], keys["type"].choices((BASE, *VENDORS[vendor][0])))


def _cuts(field: Field | None) -> Cuts:
    if field is None:
        return Cuts()
    if not field.is_mapping:
        return Cuts(points=_points(field), field=field)
    keys = field.mapping(("points", "choose", "uncut"))
    choose: Literal["together", "each"] = "together"
    if "choose" in keys and keys["choose"].choice(("together", "each")) == "each":
        choose = "each"
    uncut = keys["uncut"].boolean() if "uncut" in keys else True
    points = keys.get("points")
    if points is None or not points.is_mapping:
        kind = _points(points) if points is not None else "all"
        if kind == "none" and not uncut:
            raise keys["uncut"].error("with `points: none` every output stays uncut")
        return Cuts(kind, choose=choose, uncut=uncut, field=points or field)
    listed = tuple((value, output, tuple(value.items())) for output, value in points.mapping().items())
    return Cuts("listed", listed, choose, uncut, points)


def _points(field: Field) -> Literal["none", "nearest", "all"]:
    value = field.choice(("none", "nearest", "all"))
    return "none" if value == "none" else "nearest" if value == "nearest" else "all"


def _preprocess(field: Field | None) -> tuple[str, ...]:
    if field is None:
        return ("cpu",)
    found: list[str] = []
    for item in field.items():
        value = item.text()
        if value != "cpu" and not re.fullmatch(r"[a-z0-9]+:[1-9][0-9]*x[1-9][0-9]*", value):
            raise item.error(f"unknown {value!r}", hint="cpu, or <format>:<width>x<height>, e.g. nv12:1024x768")
        if value in found:
            raise item.error(f"{value!r} stands here twice")
        found.append(value)
    if not found:
        raise field.error("the list is empty", hint="Give at least `cpu`.")
    return tuple(found)


def builtin_folder() -> Path:
    """Where the spaces lie that come with the package."""
    return Path(__file__).parent / "builtin"
