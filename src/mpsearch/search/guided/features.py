"""Candidates as rows of numbers: the terms of the latency, the terms of the error, and places to measure distance in.

Each row can be made in two ways that agree: from any candidate, unit by unit, and for many assignments of one frame at
once, from tables over its sources. The same tables, weighted, are what the exact solver adds up.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from mpsearch.candidate import BASES, RANKS, Candidate, DataType
from mpsearch.graph.model import Role
from mpsearch.search.guided.arrays import Floats, Ints
from mpsearch.search.guided.context import Prior
from mpsearch.search.guided.frames import Frame
from mpsearch.space.space import SearchSpace

Term = tuple[Hashable, ...]


class Columns:
    """Terms in the order in which they were first met."""

    def __init__(self) -> None:
        self.index: dict[Term, int] = {}

    def __len__(self) -> int:
        return len(self.index)

    def at(self, term: Term) -> int:
        return self.index.setdefault(term, len(self.index))

    def row(self, values: dict[int, float]) -> Floats:
        found = np.zeros(len(self))
        for column, value in values.items():
            found[column] = value
        return found


@dataclass(frozen=True, slots=True)
class Tables:
    """One frame's latency as sums over sources and pairs of sources.

    Attributes:
        fixed: [terms].
        single: source -> [ranks, terms].
        pairs: (source, source) -> (columns in use, [ranks, ranks, columns in use]).
    """

    fixed: Floats
    single: dict[int, Floats]
    pairs: dict[tuple[int, int], tuple[Ints, Floats]]


class Features:
    """Rows of candidates of one space.

    A *home* is the group of a compute unit; a transparent unit lives with the unit that feeds it.
    """

    def __init__(self, space: SearchSpace, prior: Prior) -> None:
        self._space, self._prior = space, prior
        self.latency = Columns()
        self._graph = space.graph
        self.home = _homes(space)
        self._tables: dict[int, tuple[Frame, Tables]] = {}
        self._shares: dict[int, tuple[Frame, Floats]] = {}
        self.groups = tuple(group.name for group in space.groups)
        self._members = {
            group.name: tuple(u for u in group.units if self._graph.unit[u].role is Role.COMPUTE) or group.units
            for group in space.groups
        }

    # Latency: each term's value is the milliseconds that the prior gives it, so its weight is expected to be 1; a
    # switch has a second term of one unit a pair of homes, whose weight is expected to be 0, for what no table has.

    def latency_row(self, candidate: Candidate) -> Floats:
        """[terms] of any candidate; the number of terms may have grown."""
        types = self._graph.assign(candidate)
        values: dict[int, float] = {}
        for column, value in self._common(candidate):
            values[column] = values.get(column, 0.0) + value
        plan = self._prior.plan(candidate)
        for unit in plan.units:
            for column, value in self._unit(unit.name, types[unit.name]):
                values[column] = values.get(column, 0.0) + value
        for edge in plan.edges:
            made = candidate.base_type if edge.producer is None else types[edge.producer]
            wanted = types[edge.consumer]
            if made is not wanted:
                own, mark = self._switch(edge.producer, edge.consumer, made, wanted)
                values[own] = values.get(own, 0.0) + self._prior.conversion_ms(edge, made, wanted)
                values[mark] = values.get(mark, 0.0) + 1.0
        return self.latency.row(values)

    def latency_rows(self, frame: Frame, chosen: Ints) -> Floats:
        """[n, terms] of assignments [n, groups]."""
        tables, ranks = self.tables(frame), frame.ranks(chosen)
        rows = np.zeros((len(chosen), len(self.latency)))
        rows[:, : len(tables.fixed)] = tables.fixed
        for source, table in tables.single.items():
            columns = np.flatnonzero(table.any(axis=0))
            rows[:, columns] += table[:, columns][ranks[:, source]]
        for (a, b), (columns, cube) in tables.pairs.items():
            rows[:, columns] += cube[ranks[:, a], ranks[:, b]]
        return rows

    def tables(self, frame: Frame) -> Tables:
        """Made once a frame."""
        known = self._tables.get(id(frame))
        if known is None:
            known = self._tables[id(frame)] = (frame, self._make(frame))
        return known[1]

    def _make(self, frame: Frame) -> Tables:
        plan = self._prior.plan(frame.plain)
        single: dict[int, dict[tuple[int, int], float]] = {}
        for unit in plan.units:
            source = frame.source[unit.name]
            for rank in _possible(frame, source):
                for column, value in self._unit(unit.name, frame.kind(rank)):
                    cells = single.setdefault(source, {})
                    cells[rank, column] = cells.get((rank, column), 0.0) + value
        pairs: dict[tuple[int, int], dict[tuple[int, int, int], float]] = {}
        for edge in plan.edges:
            a = -1 if edge.producer is None else frame.source[edge.producer]
            b = frame.source[edge.consumer]
            if a == b:
                continue
            for made in [BASES[frame.base].type.rank] if a < 0 else _possible(frame, a):
                for wanted in _possible(frame, b):
                    if made == wanted:
                        continue
                    kinds = frame.kind(made), frame.kind(wanted)
                    own, mark = self._switch(edge.producer, edge.consumer, *kinds)
                    ms = self._prior.conversion_ms(edge, *kinds)
                    cells3 = pairs.setdefault((a, b), {})
                    cells3[made, wanted, own] = cells3.get((made, wanted, own), 0.0) + ms
                    cells3[made, wanted, mark] = cells3.get((made, wanted, mark), 0.0) + 1.0
        for (a, b), cells3 in pairs.items():
            if a < 0:  # the model's input has the base type: only the consumer decides
                for (_, wanted, column), value in cells3.items():
                    cells = single.setdefault(b, {})
                    cells[wanted, column] = cells.get((wanted, column), 0.0) + value
        common = dict(self._common(frame.plain))
        width = len(self.latency)
        return Tables(
            self.latency.row(common),
            {source: _dense(cells, (RANKS, width)) for source, cells in single.items()},
            {key: _cube(cells3) for key, cells3 in pairs.items() if key[0] >= 0},
        )

    def _common(self, candidate: Candidate) -> list[tuple[int, float]]:
        base_ms = self._prior.base_ms(candidate)
        switched = [(self.latency.at(("option", *option)), 1.0) for option in candidate.options]
        return [(self.latency.at(("fixed", candidate.preprocess)), base_ms), *switched]

    def _unit(self, unit: str, kind: DataType) -> list[tuple[int, float]]:
        ms = self._prior.work(unit, kind).total_ms
        if ms == 0:
            return []
        return [
            (self.latency.at(("unit", self.home[unit], str(kind))), ms),
            (self.latency.at(("kind", self._graph.unit[unit].kind, str(kind))), ms),
            (self.latency.at(("type", str(kind))), ms),
        ]

    def _switch(self, producer: str | None, consumer: str, made: DataType, wanted: DataType) -> tuple[int, int]:
        key = (self.home[producer] if producer else "input", self.home[consumer], str(made), str(wanted))
        return self.latency.at(("edge", *key)), self.latency.at(("switch", *key))

    def group_row(self, group: str, kind: DataType) -> Floats:
        """[terms] of a group's compute units in ``kind``, changes of type left out."""
        values: dict[int, float] = {}
        for unit in self._members[group]:
            for column, value in self._unit(unit, kind):
                values[column] = values.get(column, 0.0) + value
        return self.latency.row(values)

    # Error: the share of each group's units that live at each rank; and the same as places.

    def shares(self, candidate: Candidate) -> Floats:
        """[groups, ranks] share of the group's compute units that run at this rank; the rest is cut away."""
        live = {unit.name for unit in self._prior.plan(candidate).units}
        found = np.zeros((len(self.groups), RANKS))
        for index, name in enumerate(self.groups):
            members = self._members[name]
            for unit in members:
                if unit in live:
                    found[index, candidate.type_of(unit).rank] += 1 / len(members)
        return found

    def many_shares(self, frame: Frame, chosen: Ints) -> Floats:
        """[n, groups, ranks]."""
        if id(frame) not in self._shares:
            self._shares[id(frame)] = (frame, self._share_table(frame))
        return self._shares[id(frame)][1][np.arange(len(self.groups))[None, :], chosen]

    def _share_table(self, frame: Frame) -> Floats:
        """[groups, options, ranks]."""
        table = np.zeros((len(self.groups), max(frame.counts, default=1), RANKS))
        for index, name in enumerate(self.groups):
            members = self._members[name]
            for unit in members:
                if unit not in frame.source:
                    continue
                source = frame.sources[frame.source[unit]]
                for option in range(frame.counts[index]):
                    rank = max((frame.signals[s].ranks[option] for s in source.signals), default=source.least)
                    table[index, option, rank] += 1 / len(members)
        return table


def _homes(space: SearchSpace) -> dict[str, str]:
    graph = space.graph
    homes = {unit: group.name for group in space.groups for unit in group.units}
    for unit in graph.units:
        if unit.name in homes:
            continue
        if unit.role is Role.TRANSPARENT:
            makers = [graph.unit_of[graph.producer[t]] for t in unit.inputs if t in graph.producer]
            homes[unit.name] = homes[makers[0]] if makers else "input"
        else:
            homes[unit.name] = unit.name
    return homes


def _possible(frame: Frame, source: int) -> list[int]:
    found = frame.sources[source]
    ranks = {found.least} | {r for s in found.signals for r in frame.signals[s].ranks if r >= found.least}
    return sorted(ranks)


def _dense(cells: dict[tuple[int, int], float], shape: tuple[int, int]) -> Floats:
    found = np.zeros(shape)
    for place, value in cells.items():
        found[place] = value
    return found


def _cube(cells: dict[tuple[int, int, int], float]) -> tuple[Ints, Floats]:
    columns = sorted({column for _, _, column in cells})
    place = {column: index for index, column in enumerate(columns)}
    cube = np.zeros((RANKS, RANKS, len(columns)))
    for (made, wanted, column), value in cells.items():
        cube[made, wanted, place[column]] = value
    return np.array(columns, dtype=np.int64), cube
