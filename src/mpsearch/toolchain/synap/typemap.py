"""``quantization:`` of a metafile as base, algorithm and overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mpsearch.candidate import BASES, Algorithm, Candidate, DataType, Scheme
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.toolchain.synap.net import LayerNet, build
from mpsearch.toolchain.synap.rules import TYPES
from mpsearch.toolchain.synap.semantics import MapError, base_and_ground, interpret
from mpsearch.toolchain.synap.yamlmap import Place


@dataclass
class Quantization:
    """Reads one ``quantization:`` block for one graph and one choice of outputs."""

    place: Place
    fields: Mapping[str, Place]
    graph: ModelGraph
    where: Candidate
    layer_ids: Mapping[str, str] | None = None
    notes: list[str] = field(default_factory=list)

    def candidate(self) -> Candidate:
        """Raises:
        ConfigError: see :func:`mpsearch.toolchain.synap.parse.parse`.
        """
        self._remark_options()
        types = self.fields.get("data_type")
        if types is None or not isinstance(types.data, dict):
            kind = DataType.UINT8 if types is None else self._type(types)
            if kind is DataType.FLOAT16 and types is not None:
                raise types.error(
                    "the toolkit refuses a plain float16", "Leave `quantization` out for a float16 model."
                )
            return replace(self.where, base=self._base(kind, kind), algorithm=self._algorithm())
        entries = {key: self._type(place) for key, place in types.data.items()}
        net = build(self.graph, self.where, layer_ids=self.layer_ids, edges=False)
        try:
            base, ground = base_and_ground(entries)
            kinds = interpret(entries, net)
        except MapError as error:
            raise types.data.get(error.key, types).error(f"{error.key!r}: {error.message}", error.hint) from error
        return self._overridden(types, net, kinds, self._base(base, ground))

    def _overridden(self, place: Place, net: LayerNet, kinds: tuple[DataType, ...], base: str) -> Candidate:
        found: dict[str, DataType] = {}
        for layer, kind in zip(net.layers, kinds, strict=True):
            if layer.unit is None:
                if kind != BASES[base].type:
                    self.notes.append(f"{layer.label} is {kind} in the metafile; mpsearch leaves it at the base type")
            elif found.setdefault(layer.unit, kind) != kind:
                raise place.error(
                    f"unit {layer.unit!r} is given two types: {found[layer.unit]}, but {kind} for {layer.label}, "
                    "which is a layer of its own in the engine",
                    "mpsearch moves a convolution and its activation together: use `name...` from a node before it.",
                )
        overrides = {unit: kind for unit, kind in found.items() if self.graph.unit[unit].role is not Role.TRANSPARENT}
        candidate = replace(self.where, base=base, algorithm=self._algorithm(), overrides=tuple(overrides.items()))
        assigned = self.graph.assign(candidate)
        carried = [f"{unit} ({kind})" for unit, kind in found.items() if assigned[unit] != kind]
        if carried:
            self.notes.append(
                "these only carry data and are taken to keep the widest type of their inputs, "
                f"which the metafile changes: {', '.join(carried)}"
            )
        return candidate

    def _type(self, place: Place) -> DataType:
        if place.data not in TYPES:
            raise place.error(f"unknown data_type {place.data!r}", f"Known: {', '.join(TYPES)}")
        return DataType(str(place.data))

    def _base(self, base: DataType, ground: DataType) -> str:
        """The base's short name. An int16 ``'*'`` over an 8-bit first pass is an int16 base with 8-bit overrides,
        as long as the scheme is the one that the toolkit takes by itself."""
        default = Scheme.ASYMMETRIC if base is DataType.UINT8 else Scheme.DYNAMIC_FIXED_POINT
        place = self.fields.get("scheme")
        scheme = default if place is None or place.data == "default" else self._scheme(place)
        if ground is DataType.INT16 and scheme is default:
            return "int16"
        for name, known in BASES.items():
            if known.type is base and known.scheme is scheme:
                return name
        fits = ", ".join(known.scheme for known in BASES.values() if known.type is base)
        raise (place or self.place).error(f"scheme {scheme} does not go with {base}", f"Known with {base}: {fits}")

    def _scheme(self, place: Place) -> Scheme:
        try:
            return Scheme(str(place.data))
        except ValueError:
            known = ", ".join(scheme for scheme in Scheme if scheme is not Scheme.NONE)
            raise place.error(f"unknown scheme {place.data!r}", f"Known: {known}") from None

    def _algorithm(self) -> Algorithm:
        place = self.fields.get("algorithm")
        if place is None:
            return Algorithm.STANDARD
        try:
            return Algorithm(str(place.data))
        except ValueError:
            raise place.error(
                f"algorithm {place.data!r} is not one that mpsearch simulates", f"Known: {', '.join(Algorithm)}"
            ) from None

    def _remark_options(self) -> None:
        mode = self.fields.get("mode")
        if mode is not None and mode.data == "full":
            self.notes.append("`mode: full` is not simulated")
        if "options" in self.fields:
            self.notes.append("`options` are not simulated")
