"""``--quantization_overrides``: both forms of the file, with what the vendor's parser refuses about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class BadOverrides(Exception):
    """The converter ends; the argument is its last line."""


@dataclass(frozen=True, slots=True)
class Override:
    """One tensor's; ``scale`` and ``offset`` hold a value a channel, none where calibration decides.

    Attributes:
        kind: ``int`` or ``float``.
    """

    bits: int
    kind: str = "int"
    symmetric: bool | None = None
    scale: tuple[float, ...] = ()
    offset: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Override:
        return cls(data["bits"], data["kind"], data["symmetric"], tuple(data["scale"]), tuple(data["offset"]))


@dataclass(frozen=True, slots=True)
class Overrides:
    """Tensor -> override."""

    activations: Mapping[str, Override]
    params: Mapping[str, Override]

    def items(self) -> tuple[tuple[str, Override], ...]:
        return (*self.activations.items(), *self.params.items())


def read(path: Path) -> Overrides:
    """Raises:
    BadOverrides: no JSON, or what the parser refuses; some of its words are Python's own.
    """
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadOverrides(f"Could not read quantization overrides {path}: {error}") from None
    for section in ("activation_encodings", "param_encodings"):
        if section not in data:
            raise BadOverrides(f"KeyError: '{section}'")
    version = str(data.get("version", "0.5.0"))
    if version.startswith("2."):
        raise BadOverrides(f"Unsupported encoding version {version}")
    one = _listed if version.startswith("1.") else _keyed
    return Overrides(one(data["activation_encodings"]), one(data["param_encodings"]))


def _keyed(section: Any) -> dict[str, Override]:
    """Version 0.x: tensor -> a list, an entry a channel. A missing ``dtype`` means int."""
    return {name: _channels(name, entries) for name, entries in section.items()}


def _channels(name: str, entries: Any) -> Override:
    if not isinstance(entries, list) or not entries:
        raise BadOverrides(f"TypeError: encodings of {name} must be a list")
    first = entries[0]
    bits = first.get("bitwidth")
    if bits is None:
        raise BadOverrides("KeyError: 'bitwidth'")
    scales, offsets = [], []
    symmetric: bool | None = None
    for entry in entries:
        if entry["bitwidth"] != bits:
            raise BadOverrides(f"Mismatching bitwidths {bits} and {entry['bitwidth']} for encoding {name}")
        for pair in (("min", "max"), ("scale", "offset")):
            if (pair[0] in entry) != (pair[1] in entry):
                raise BadOverrides("Min/max or scale/offset pairs must be present together.")
        if "is_symmetric" in entry:
            if not isinstance(entry["is_symmetric"], str):
                kind = type(entry["is_symmetric"]).__name__
                raise BadOverrides(f"AttributeError: '{kind}' object has no attribute 'lower'")
            symmetric = entry["is_symmetric"].lower() == "true"
        scale, offset = _numbers(entry, bits)
        if scale is not None:
            scales.append(scale)
            offsets.append(-abs(int(offset)))
        if symmetric and scale is not None:
            _check_symmetric(-abs(int(offset)), bits)
    if len(entries) > 1 and symmetric is False:
        raise BadOverrides(f"Per-channel encodings must be symmetric for encoding {name}")
    kind = str(first.get("dtype", "int")).lower()
    return Override(int(bits), kind, symmetric, tuple(scales), tuple(offsets))


def _numbers(entry: Mapping[str, Any], bits: int) -> tuple[float | None, int]:
    if "scale" in entry:
        return float(entry["scale"]), int(entry["offset"])
    if "min" in entry:
        scale = (float(entry["max"]) - float(entry["min"])) / (2**bits - 1)
        return scale, round(float(entry["min"]) / scale) if scale else 0
    return None, 0


def _check_symmetric(offset: int, bits: int) -> None:
    half = -(2 ** (bits - 1))
    if offset not in (0, half):
        raise BadOverrides(
            f"ValueError: Invalid offset overridden for symmetric encodings got {offset}, expected {half}."
        )


def _listed(section: Any) -> dict[str, Override]:
    """Version 1.0.0: objects with a name. A missing ``dtype`` means float."""
    if not isinstance(section, list):
        raise BadOverrides("TypeError: string indices must be integers")
    found = {}
    for entry in section:
        if missing := [key for key in ("name", "bw") if key not in entry]:
            raise BadOverrides(f"KeyError: '{missing[0]}'")
        kind = "int" if str(entry.get("dtype", "float")).lower() == "int" else "float"
        scale, offset = tuple(entry.get("scale", ())), tuple(entry.get("offset", ()))
        symmetric = entry.get("is_sym")
        if offset and not scale:
            raise BadOverrides(f"Offset without scale for encoding {entry['name']}")
        if entry.get("enc_type") == "PER_CHANNEL" and not symmetric:
            raise BadOverrides(f"Per-channel encodings must be symmetric for encoding {entry['name']}")
        if kind == "int" and not symmetric and bool(scale) != bool(offset):
            raise BadOverrides(f"Asymmetric encoding {entry['name']} needs scale and offset")
        offsets = tuple(-abs(int(o)) for o in offset) or (0,) * len(scale)
        if symmetric:
            for value in offsets:
                _check_symmetric(value, int(entry["bw"]))
        found[str(entry["name"])] = Override(int(entry["bw"]), kind, symmetric, tuple(map(float, scale)), offsets)
    return found
