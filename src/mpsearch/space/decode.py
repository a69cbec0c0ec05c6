"""From a parameter set to a candidate: groups, tail, pins, the vendor's rules, then the output tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mpsearch.candidate import BASES, Algorithm, Candidate, DataType
from mpsearch.graph.model import ModelGraph, output_unit
from mpsearch.space.cuts import CutChoice
from mpsearch.space.groups import Group
from mpsearch.space.spec import BASE

Illegal = Callable[[ModelGraph, Candidate], Sequence[str]]
Point = Mapping[str, str]
NO_TAIL = "none"


@dataclass(frozen=True)
class Decoder:
    """What :class:`~mpsearch.space.space.SearchSpace` knows, where it decides types. Attributes as there."""

    graph: ModelGraph
    groups: tuple[Group, ...]
    fixed: Mapping[str, str]
    follow: bool
    cuts: tuple[CutChoice, ...]
    droppable: tuple[str, ...]
    illegal: Illegal
    _legal: dict[tuple[str, str, DataType], bool] = field(default_factory=dict, repr=False, compare=False)
    _behind: dict[tuple[Any, ...], frozenset[str]] = field(default_factory=dict, repr=False, compare=False)

    def build(self, point: Point, *, base: str | None = None) -> Candidate:
        base = base or point["base"]
        plain = Candidate(
            base=base,
            algorithm=Algorithm.STANDARD if base == "float16" else Algorithm(point["algorithm"]),
            cuts=tuple(pair for cut in self.cuts for pair in cut.at(point[cut.name])),
            dropped=tuple(output for output in self.droppable if point[f"drop:{output}"] == "yes"),
            preprocess=point["preprocess"],
        )
        if base == "float16":  # the unquantized model: there is no map that could hold anything else
            return plain
        live = {unit.name for unit in self.graph.live(plain)}
        lifted = self.lifted(point, plain)
        types = {
            unit: self.type_of(base, unit, point[f"type:{group.name}"], None if group.pinned else lifted.get(unit))
            for group in self.groups
            for unit in group.units
            if unit in live
        }
        types.update({u: self.type_of(base, u, kind, None) for u, kind in self.fixed.items() if u in live})
        return self.followed(replace(plain, overrides=tuple(types.items())))

    def lifted(self, point: Point, plain: Candidate) -> Mapping[str, str]:
        """Unit -> the type that the tail asks for."""
        node = point.get("tail", NO_TAIL)
        if node == NO_TAIL:
            return {}
        key = (node, plain.cuts, plain.dropped)
        if key not in self._behind:
            self._behind[key] = self.graph.units_after(node, plain)
        return dict.fromkeys(self._behind[key], point["tail_type"])

    def type_of(self, base: str, unit: str, choice: str, tail: str | None) -> DataType:
        own = BASES[base].type if choice == BASE else DataType(choice)
        if tail is not None and DataType(tail).rank > own.rank:
            own = DataType(tail)
        return own if self._allowed(base, unit, own) else BASES[base].type

    def _allowed(self, base: str, unit: str, kind: DataType) -> bool:
        if kind == BASES[base].type:
            return True
        key = (base, unit, kind)
        if key not in self._legal:
            self._legal[key] = not self.illegal(self.graph, Candidate(base=base, overrides=((unit, kind),)))
        return self._legal[key]

    def followed(self, candidate: Candidate) -> Candidate:
        """Output tensors that nothing else decides take the widest type among the tensors that stand for them."""
        if not self.follow:
            return candidate
        decided = set(self.fixed) | {unit for group in self.groups for unit in group.units}
        types = self.graph.assign(candidate)
        overrides = dict(candidate.overrides)
        for output, tensors in self.graph.delivered(candidate).items():
            if output_unit(output) in decided:
                continue
            kinds = [types[self.graph.unit_of[self.graph.producer[t]]] for t in tensors if t in self.graph.producer]
            overrides[output_unit(output)] = max(kinds, key=lambda k: k.rank, default=candidate.base_type)
        return replace(candidate, overrides=tuple(overrides.items()))
