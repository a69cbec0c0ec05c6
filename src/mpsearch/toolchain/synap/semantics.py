"""What a ``data_type`` map does to the layers: the toolkit's own order of steps, without the toolkit.

From SyNAP toolkit 3.2.0 (``converters/acuity_converter.py``): the whole network is quantized at the base type; then
a table of exceptions is filled, first with ``'*'`` for every layer when it is not the base, then with the entries in
the order of the file; an entry of the base type *removes* its layers from the table, and dies with a bare
``KeyError`` where one of them is not in it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from mpsearch.candidate import DataType
from mpsearch.toolchain.synap.net import LayerNet


class MapError(Exception):
    """The toolkit would refuse the map, or die of it. ``key`` is the entry at fault."""

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.key, self.message, self.hint = key, message, hint


class Requantization:
    """The table of exceptions while it is being filled.

    Args:
        base: the type that everything was quantized at first.
        ground: the type of ``'*'``.
    """

    def __init__(self, net: LayerNet, base: DataType, ground: DataType) -> None:
        self.base = base
        self._full = net.everything
        self._of = dict.fromkeys(DataType, 0)
        self._of[ground] = net.everything
        self.moved = net.everything if ground != base else 0

    def apply(self, mask: int, kind: DataType) -> int:
        """Give the layers of ``mask`` this type. Returns those that stand in the way: to be removed, but absent."""
        if kind == self.base:
            absent = mask & ~self.moved
            if absent:
                return absent
            self.moved &= ~mask
        else:
            self.moved |= mask
        for other in self._of:
            self._of[other] &= ~mask
        self._of[kind] |= mask
        return 0

    def of(self, kind: DataType) -> int:
        """The layers that have this type now."""
        return self._of[kind]

    def type_of(self, index: int) -> DataType:
        return next(kind for kind, mask in self._of.items() if mask >> index & 1)


def base_and_ground(types: Mapping[str, DataType]) -> tuple[DataType, DataType]:
    """The type of the first pass, and that of layers without an entry.

    Raises:
        MapError: two 8-bit types.
    """
    base: DataType | None = None
    for key, kind in types.items():
        if kind.bits == 8:
            if base is not None and base.bits == 8 and base != kind:
                raise MapError(key, "int8 and uint8 in one map are refused", "Keep to one 8-bit type.")
            base = kind
        elif base is None and key == "*":
            base = kind
    base = base or DataType.UINT8
    return base, types.get("*", base)


def interpret(types: Mapping[str, DataType], net: LayerNet) -> tuple[DataType, ...]:
    """The type of every layer of ``net``, by the toolkit's rules.

    Raises:
        MapError: two 8-bit types, an unknown layer, an entry of the base type that nothing moved, an empty table.
    """
    base, ground = base_and_ground(types)
    if base is DataType.FLOAT16:
        raise MapError("*", "float16 as the type of everything is refused", "Leave `quantization` out instead.")
    table = Requantization(net, base, ground)
    for key, kind in types.items():
        if key == "*":
            continue
        if absent := table.apply(_layers(key, net), kind):
            label = net.layers[absent.bit_length() - 1].label
            raise MapError(
                key,
                f"{kind} is the base type already, and no earlier entry moved {label} away from it: "
                "the toolkit ends with a bare KeyError",
                "Remove the entry, or put it behind the entry that moves the layer.",
            )
    if not table.moved and any(kind != base for kind in types.values()):
        raise MapError("*", "no layer is left to requantize: the toolkit refuses the map", "Write one plain data_type.")
    return tuple(table.type_of(index) for index in range(len(net.layers)))


def _layers(key: str, net: LayerNet) -> int:
    if key == "INPUTS":
        return 1
    name = key.removesuffix("...")
    index = net.index.get(name)
    if index is None:
        close = difflib.get_close_matches(name, net.index, n=3)
        hint = f"Nearest: {', '.join(close)}." if close else "See: mpsearch inspect MODEL"
        if name.startswith("@"):
            raise MapError(key, f"layer id {name[1:]!r} is not in the layer map", "Ids come from a probe conversion.")
        raise MapError(key, f"no layer can be named {name!r}: there is none, or the engine renames it", hint)
    return net.after[index] if key.endswith("...") else 1 << index
