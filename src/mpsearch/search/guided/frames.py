"""A frame is a choice of everything but the groups' types (base, algorithm, cuts, tail ...); within it the space
becomes small tables.

A unit's type is known by its *rank* (:attr:`~mpsearch.candidate.DataType.rank`). A compute unit's rank is decided by
its group's option alone; a transparent unit has the highest rank among its inputs, which may belong to several groups;
an output tensor that follows has the highest of its producers'. So every live unit has a *source*: a constant and a set
of *signals*, whose maximum is its rank. A signal is a group with a rank for each of its options. A tail lifts the ranks
of the units behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from mpsearch.candidate import BASES, Candidate, DataType, Scheme
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.search.guided.arrays import Ints
from mpsearch.space.decode import NO_TAIL
from mpsearch.space.space import SearchSpace

_KINDS = (DataType.INT8, DataType.INT16, DataType.INT16, DataType.FLOAT16)
_SNPE_KINDS = (DataType.A8W8, DataType.A16W8, DataType.A16W16, DataType.FLOAT16)
"""By rank."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Rank by option of group number ``group``."""

    group: int
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The maximum of ``least`` and the signals (indices into :attr:`Frame.signals`)."""

    least: int
    signals: frozenset[int]


@dataclass(frozen=True)
class Frame:
    """One choice of everything but the groups' types.

    Attributes:
        params: dimensions other than groups -> choice.
        plain: the candidate with the base type everywhere, the tail's too.
        options: for each group of the space, its choices that differ here (one only: the group is cut away, or the
            vendor's rules leave it no choice).
        signals: what :class:`Source` refers to.
        source: live unit -> index into :attr:`sources`.
    """

    params: Mapping[str, str]
    plain: Candidate
    options: tuple[tuple[str, ...], ...]
    signals: tuple[Signal, ...]
    sources: tuple[Source, ...]
    source: Mapping[str, int]
    names: tuple[str, ...] = field(repr=False)

    @property
    def base(self) -> str:
        return self.plain.base

    @cached_property
    def counts(self) -> tuple[int, ...]:
        return tuple(len(options) for options in self.options)

    @property
    def size(self) -> int:
        """Number of assignments of types."""
        return prod(self.counts)

    def all(self) -> Ints:
        """[size, groups] every assignment."""
        return np.array(list(product(*(range(n) for n in self.counts))), dtype=np.int64).reshape(self.size, -1)

    def ranks(self, chosen: Ints) -> Ints:
        """[n, sources] the rank of each source for options ``chosen`` [n, groups]."""
        signals = np.empty((len(chosen), len(self.signals)), dtype=np.int64)
        for index, signal in enumerate(self.signals):
            signals[:, index] = np.asarray(signal.ranks)[chosen[:, signal.group]]
        found = np.empty((len(chosen), len(self.sources)), dtype=np.int64)
        for index, source in enumerate(self.sources):
            found[:, index] = source.least
            for signal_index in source.signals:
                np.maximum(found[:, index], signals[:, signal_index], out=found[:, index])
        return found

    def kind(self, rank: int) -> DataType:
        """The type of this rank under the frame's base."""
        base = BASES[self.base]
        kinds = _SNPE_KINDS if base.scheme is Scheme.ENCODINGS else _KINDS
        return base.type if rank == base.type.rank else kinds[rank]

    def point(self, chosen: Ints) -> dict[str, str]:
        """Parameters of one assignment [groups]."""
        types = {f"type:{n}": o[c] for n, o, c in zip(self.names, self.options, chosen.tolist(), strict=True)}
        return {**self.params, **types}


class Frames:
    """The frames of one space, made when asked for.

    Attributes:
        dimensions: what a frame chooses besides a tail -> choices.
        tails: parameters of every tail in every type.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.tails: tuple[Mapping[str, str], ...] = tuple(
            {"tail": tail.node, "tail_type": kind} for tail in space.tail_positions for kind in space.types
        )
        self.group_of = {unit: index for index, group in enumerate(space.groups) for unit in group.units}
        self.dimensions = {
            name: choices
            for name, choices in space.dimensions.items()
            if not name.startswith("type:") and name not in ("tail", "tail_type")
        }
        self._made: dict[tuple[str, ...], Frame] = {}

    def at(self, params: Mapping[str, str]) -> Frame:
        """The frame of these parameters; those left out take their first choice."""
        full = {name: params.get(name, choices[0]) for name, choices in self.dimensions.items()}
        if params.get("tail", NO_TAIL) != NO_TAIL:
            full |= {"tail": params["tail"], "tail_type": params["tail_type"]}
        key = tuple(full.values())
        if key not in self._made:
            self._made[key] = self._make(full)
        return self._made[key]

    def deepest(self, base: str) -> Frame:
        """Everything that can be cut away cut away; otherwise first choices."""
        cuts = {name: choices[-1] for name, choices in self.dimensions.items() if name.startswith("cut:")}
        return self.at({**cuts, "base": base})

    def of(self, candidate: Candidate) -> tuple[Frame, Ints] | None:
        """The frame and the assignment of a candidate, without a tail where it needs none; None outside the space."""
        found = self._within(self.at({**self.space.nearest(_untyped(candidate)), "tail": NO_TAIL}), candidate)
        if found is None and self.tails:
            found = self._within(self.at(self.space.nearest(candidate)), candidate)
        return found

    def _within(self, frame: Frame, candidate: Candidate) -> tuple[Frame, Ints] | None:
        if _untyped(candidate) != frame.plain:
            return None
        chosen = np.zeros(len(frame.options), dtype=np.int64)
        for signal in frame.signals:
            chosen[signal.group] = -1
        for index, group in enumerate(self.space.groups):
            live = [unit for unit in group.units if unit in frame.source]
            if not live:
                continue
            ranks = [candidate.type_of(unit).rank for unit in live]
            for option in range(len(frame.options[index])):
                if ranks == [self._rank(frame, unit, option) for unit in live]:
                    chosen[index] = option
                    break
            else:
                return None
        return (frame, chosen) if self.space.at(frame.point(chosen)) == candidate else None

    @staticmethod
    def _rank(frame: Frame, unit: str, option: int) -> int:
        source = frame.sources[frame.source[unit]]
        return max((frame.signals[s].ranks[option] for s in source.signals), default=source.least)

    def _make(self, params: Mapping[str, str]) -> Frame:
        space, graph = self.space, self.space.graph
        widest = max((len(group.choices) for group in space.groups), default=1)
        columns: list[Candidate] = []  # every group at its i-th choice: one candidate shows what each choice means
        for i in range(widest):
            types = {f"type:{group.name}": group.choices[min(i, len(group.choices) - 1)] for group in space.groups}
            columns.append(space.at({**params, **types}))
        plain = space.at(params)
        live = {unit.name: unit for unit in graph.live(plain)}
        options: list[tuple[str, ...]] = []
        kept: list[list[int]] = []
        for group in space.groups:
            units = [unit for unit in group.units if unit in live]
            seen: dict[tuple[int, ...], int] = {}
            for i in range(len(group.choices) if units else 1):
                seen.setdefault(tuple(columns[i].type_of(unit).rank for unit in units), i)
            kept.append(list(seen.values()))
            options.append(tuple(group.choices[i] for i in seen.values()))
        builder = _Builder(graph, plain)
        for name, unit in live.items():
            group_index = self.group_of.get(name)
            if group_index is not None:
                ranks = tuple(columns[i].type_of(name).rank for i in kept[group_index])
                builder.decided(name, group_index, ranks)
            elif unit.role is Role.COMPUTE or name in space.fixed or not self._follows(name):
                builder.constant(name, plain.type_of(name).rank)
        builder.derive(live)
        return Frame(
            params, _untyped(plain), tuple(options), tuple(builder.signals), tuple(builder.sources), builder.source,
            tuple(group.name for group in space.groups),
        )  # fmt: skip

    def _follows(self, unit: str) -> bool:
        return self.space.follow or self.space.graph.unit[unit].role is Role.TRANSPARENT


class _Builder:
    """Collects signals and sources, each once."""

    def __init__(self, graph: ModelGraph, plain: Candidate) -> None:
        self._graph, self._plain = graph, plain
        self.signals: list[Signal] = []
        self.sources: list[Source] = []
        self.source: dict[str, int] = {}

    def decided(self, unit: str, group: int, ranks: tuple[int, ...]) -> None:
        if len(set(ranks)) == 1:
            self.constant(unit, ranks[0])
            return
        signal = Signal(group, ranks)
        if signal not in self.signals:
            self.signals.append(signal)
        self._put(unit, Source(min(ranks), frozenset((self.signals.index(signal),))))

    def constant(self, unit: str, rank: int) -> None:
        self._put(unit, Source(rank, frozenset()))

    def derive(self, live: Mapping[str, object]) -> None:
        """Transparent units, in execution order, and the output tensors that follow."""
        base = BASES[self._plain.base].type.rank
        for unit in self._graph.units:
            if unit.name in live and unit.role is Role.TRANSPARENT:
                self._join(unit.name, unit.inputs, base)
        for output, tensors in self._graph.delivered(self._plain).items():
            name = f"output:{output}"
            if name not in self.source:
                self._join(name, tuple(t for t in tensors if t in self._graph.producer), base)

    def _join(self, unit: str, tensors: tuple[str, ...], base: int) -> None:
        inputs = [self._of(tensor, base) for tensor in tensors]
        least = max((source.least for source in inputs), default=base)
        names = frozenset(s for source in inputs for s in source.signals if max(self.signals[s].ranks) > least)
        self._put(unit, Source(least, names))

    def _of(self, tensor: str, base: int) -> Source:
        node = self._graph.producer.get(tensor)
        return Source(base, frozenset()) if node is None else self.sources[self.source[self._graph.unit_of[node]]]

    def _put(self, unit: str, source: Source) -> None:
        if source not in self.sources:
            self.sources.append(source)
        self.source[unit] = self.sources.index(source)


def _untyped(candidate: Candidate) -> Candidate:
    return replace(candidate, overrides=())
