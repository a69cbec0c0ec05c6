"""From a parameter set to a candidate: groups, tail, pins, the vendor's rules, then the output tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any

from mpsearch.candidate import BASES, QUANTIZER_OPTIONS, Algorithm, Candidate, DataType
from mpsearch.graph.model import ModelGraph, output_unit
from mpsearch.space.cuts import CutChoice
from mpsearch.space.groups import Group
from mpsearch.space.spec import BASE

Illegal = Callable[[ModelGraph, Candidate], Sequence[str]]
Point = Mapping[str, str]
NO_TAIL = "none"
SETTINGS = 64
"""Options with more settings than this are changed one at a time, where every setting would otherwise be tried."""


def settings(options: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Parameters of every setting of the options; where these are too many (:data:`SETTINGS`), of the first one and of
    those that differ from it in one option."""
    names = [f"option:{name}" for name in options]
    if prod(map(len, options.values())) <= SETTINGS:
        yield from (dict(zip(names, values, strict=True)) for values in product(*options.values()))
        return
    first = dict(zip(names, (values[0] for values in options.values()), strict=True))
    yield first
    for name, values in zip(names, options.values(), strict=True):
        yield from ({**first, name: value} for value in values[1:])


@dataclass(frozen=True)
class Decoder:
    """What :class:`~mpsearch.space.space.SearchSpace` knows, where it decides types. Attributes as there."""

    graph: ModelGraph
    groups: tuple[Group, ...]
    fixed: Mapping[str, str]
    follow: bool
    cuts: tuple[CutChoice, ...]
    droppable: tuple[str, ...]
    options: tuple[str, ...]
    illegal: Illegal
    _legal: dict[tuple[Any, ...], bool] = field(default_factory=dict, repr=False, compare=False)
    _behind: dict[tuple[Any, ...], frozenset[str]] = field(default_factory=dict, repr=False, compare=False)
    _together: dict[tuple[Any, ...], tuple[tuple[str, str], ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def plain(self, point: Point, *, base: str | None = None) -> Candidate:
        """The candidate of ``point`` before any unit takes a type of its own."""
        base = base or point["base"]
        return Candidate(
            base=base,
            algorithm=Algorithm.STANDARD if BASES[base].is_float else Algorithm(point["algorithm"]),
            cuts=tuple(pair for cut in self.cuts for pair in cut.at(point[cut.name])),
            dropped=tuple(output for output in self.droppable if point[f"drop:{output}"] == "yes"),
            preprocess=point["preprocess"],
            options=self._allowed_options(base, point),
        )

    def _allowed_options(self, base: str, point: Point) -> tuple[tuple[str, str], ...]:
        """The options' choices, but for those that the vendor refuses beside the base or the options before them: they
        stay at the tool's default."""
        wanted = tuple(
            (name, point[f"option:{name}"])
            for name in self.options
            if not BASES[base].is_float or name not in QUANTIZER_OPTIONS
        )
        if (base, wanted) not in self._together:
            kept = Candidate(base)
            known = set(self.illegal(self.graph, kept))
            for option in wanted:
                more = replace(kept, options=(*kept.options, option))
                kept = kept if set(self.illegal(self.graph, more)) - known else more
            self._together[base, wanted] = kept.options
        return self._together[base, wanted]

    def build(self, point: Point, *, base: str | None = None) -> Candidate:
        plain = self.plain(point, base=base)
        if BASES[plain.base].is_float:  # the unquantized model: there is no map that could hold anything else
            return plain
        live = {unit.name for unit in self.graph.live(plain)}
        lifted = self.lifted(point, plain)
        types = {
            unit: self.type_of(plain, unit, point[f"type:{group.name}"], None if group.pinned else lifted.get(unit))
            for group in self.groups
            for unit in group.units
            if unit in live
        }
        types.update({u: self.type_of(plain, u, kind, None) for u, kind in self.fixed.items() if u in live})
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

    def type_of(self, plain: Candidate, unit: str, choice: str, tail: str | None) -> DataType:
        """The type of ``unit``, whose group chooses ``choice`` and which a tail would lift to ``tail``.

        Args:
            plain: see :meth:`plain`; its base and its options decide what is allowed.
        """
        own = plain.base_type if choice == BASE else DataType(choice)
        if tail is not None and DataType(tail).rank > own.rank:
            own = DataType(tail)
        return own if self._allowed(plain, unit, own) else plain.base_type

    def _allowed(self, plain: Candidate, unit: str, kind: DataType) -> bool:
        if kind == plain.base_type:
            return True
        key = (plain.base, plain.options, unit, kind)
        if key not in self._legal:
            alone = Candidate(plain.base, options=plain.options, overrides=((unit, kind),))
            self._legal[key] = not self.illegal(self.graph, alone)
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
