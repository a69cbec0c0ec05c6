"""What a metafile's ``quantization`` asks of the engine, by the steps of SyNAP toolkit 3.2.0. Pure.

First everything is quantized at the base type. Then, for a map with more than one type, a table of exceptions is
filled: ``'*'`` for every layer when it is not the base; then the entries in the order of the file, where an entry of
the base type *removes* its layers and dies of a bare ``KeyError`` for one that is not in the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BYTES = ("uint8", "int8")
HYBRID = {"int16": "dynamic_fixed_point-i16", "float16": "float32"}
"""Type of a map's entry -> the engine's name for it; ``float32`` is its word for: do not quantize."""
ALGORITHMS = {
    "standard": "NORMAL",
    "moving_average": "MOVING_AVERAGE",
    "kl_divergence": "KL_DIVERGENCE",
    "auto": "AUTO",
}


class Refused(Exception):
    """The toolkit refuses the metafile; the message is the toolkit's."""


class Layers:
    """The engine's network as far as a map needs it.

    Args:
        parents: layer id -> ids of the layers that it reads.
        inputs, outputs: ids.
        names: what entries may be called -> id: the ONNX node names that the toolkit's own engine build keeps.
    """

    def __init__(
        self,
        parents: Mapping[str, Sequence[str]],
        inputs: Sequence[str],
        outputs: Sequence[str],
        names: Mapping[str, str],
    ) -> None:
        self.parents, self.inputs, self.outputs, self.names = parents, inputs, outputs, names

    def meant(self, key: str) -> list[str]:
        """The layers of one entry.

        Raises:
            Refused: an unknown layer.
        """
        if key == "INPUTS":
            return list(self.inputs)
        tail = key.endswith("...")
        lid = self._find(key[:-3] if tail else key)
        return self._after(lid) if tail else [lid]

    def _find(self, name: str) -> str:
        if name.startswith("@"):
            if name[1:] not in self.parents:
                raise Refused(f"Layer ID '{name[1:]}' not in: {list(self.parents)}")
            return name[1:]
        if name not in self.names:
            raise Refused(f"Layer name '{name}' not in: {list(self.names)}")
        return self.names[name]

    def _after(self, root: str) -> list[str]:
        """Strictly behind ``root``, on a way to an output."""
        readers: dict[str, list[str]] = {}
        for lid, parents in self.parents.items():
            for parent in parents:
                readers.setdefault(parent, []).append(lid)
        ahead = _reached([root], readers) - {root}
        live = _reached(self.outputs, self.parents)
        return [lid for lid in self.parents if lid in ahead and lid in live]


def _reached(starts: Sequence[str], following: Mapping[str, Sequence[str]]) -> set[str]:
    found, todo = set(starts), list(starts)
    while todo:
        for lid in following.get(todo.pop(), ()):
            if lid not in found:
                found.add(lid)
                todo.append(lid)
    return found


def base_of(data_type: Any) -> tuple[str, bool]:
    """Type of the first pass, and whether a second one follows.

    Raises:
        Refused: two 8-bit types, or a plain float16.
    """
    if not isinstance(data_type, dict):
        if data_type == "float16":
            raise Refused("invalid quantization data_type specified: float16")
        return str(data_type), False
    base = ""
    for key, kind in data_type.items():
        if kind in BYTES:
            if base in BYTES and base != kind:
                raise Refused("mixed quantization with int8 and uint8 not allowed")
            base = kind
        elif not base and key == "*":
            base = kind
    base = base or "uint8"
    return base, any(kind != base for kind in data_type.values())


def scheme_of(quantization: Mapping[str, Any], base: str) -> str:
    """The quantizer's name."""
    scheme = quantization.get("scheme") or "default"
    if scheme != "default":
        return str(scheme)
    return "asymmetric_affine" if base == "uint8" else "dynamic_fixed_point"


def exceptions(data_type: Mapping[str, str], base: str, layers: Layers) -> dict[str, str]:
    """Layer id -> the engine's name of its type, for the second pass.

    Raises:
        Refused: an unknown layer, a type that a map may not have, an empty table.
        KeyError: an entry of the base type for a layer that nothing moved.
    """
    ground = data_type.get("*", base)
    table = dict.fromkeys(layers.parents, ground) if ground != base else {}
    for key, kind in data_type.items():
        if key == "*":
            continue
        for lid in layers.meant(key):
            if kind == base:
                del table[lid]
            else:
                table[lid] = kind
    if not table:
        raise Refused("No layers to requantize, please check layer data_type specification")
    for kind in table.values():
        if kind not in HYBRID:
            raise Refused(f"invalid data_type specified for mixed quantization: {kind}")
    return {lid: HYBRID[kind] for lid, kind in table.items()}
