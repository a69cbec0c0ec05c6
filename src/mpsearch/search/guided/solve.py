"""The exact proposal: the assignment of least error within a latency, by mixed-integer programming (HiGHS).

Variables: one binary for each option of each group; for a source that is a maximum over several groups, one for each of
its ranks; for each pair of sources with a switch cost, the joint choice, tied to both by its marginals (the local
polytope, which is exact on trees, so that the relaxation is tight). All are declared binary: HiGHS is faster so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from mpsearch.candidate import RANKS
from mpsearch.search.guided.arrays import Floats, Ints
from mpsearch.search.guided.features import Tables
from mpsearch.search.guided.frames import Frame
from mpsearch.search.guided.quiet import quiet

_GAP = 2e-3
_NOTHING, _SMALL = 1e-9, 1e-5
"""Below the solver's tolerances: of an error over the largest, and of a latency in percent of the target."""
_NODES = 300
"""A limit of nodes, not of time: the same on every computer."""

Terms = dict[int, float]


@dataclass
class _Program:
    """Rows and columns as they come."""

    count: int = 0
    rows: list[tuple[Terms, float, float]] = field(default_factory=list)

    def variables(self, count: int) -> range:
        made = range(self.count, self.count + count)
        self.count += count
        return made

    def row(self, terms: Terms, low: float, high: float) -> None:
        self.rows.append((terms, low, high))

    def constraint(self) -> LinearConstraint:
        entries = [(r, c, v) for r, (terms, _, _) in enumerate(self.rows) for c, v in terms.items()]
        r, c, v = zip(*entries, strict=True)
        matrix = coo_array((v, (r, c)), shape=(len(self.rows), self.count)).tocsr()
        return LinearConstraint(matrix, np.array([low for _, low, _ in self.rows]), [h for _, _, h in self.rows])


class Model:
    """One frame's program with one draw of the latency's weights; solved for many targets.

    Args:
        weights: [terms] ms for each unit of a latency feature.
    """

    def __init__(self, frame: Frame, tables: Tables, weights: Floats) -> None:
        self.frame = frame
        self._program = program = _Program()
        self._options = [program.variables(count) for count in frame.counts]
        for options in self._options:
            program.row(dict.fromkeys(options, 1.0), 1, 1)
        self._sources: dict[int, list[tuple[Terms, float]]] = {}
        latency: Terms = {}
        self._fixed_ms = float(tables.fixed @ weights[: len(tables.fixed)])
        for source, table in tables.single.items():
            ms = table @ weights[: table.shape[1]]
            for rank in range(RANKS):
                self._add(latency, self._is(source)[rank], float(ms[rank]))
        for (a, b), (columns, cube) in tables.pairs.items():
            cost = cube @ weights[columns]
            if np.abs(cost).max() > 0:
                self._pair(latency, a, b, cost)
        self._latency = latency

    def solve(self, error: Sequence[Floats], target_ms: float, known: Sequence[Ints], distance: int = 1) -> Ints | None:
        """The assignment [groups] of least summed ``error`` (a value for each group's options) within ``target_ms``
        that differs from each of ``known`` in at least ``distance`` groups; None when there is none."""
        program = self._program
        mark = len(program.rows)
        worst = max((float(values.max()) for values in error), default=1.0) or 1.0
        cost = np.zeros(program.count)
        for options, values in zip(self._options, error, strict=True):
            cost[list(options)] = values / worst
        budget = target_ms - self._fixed_ms
        scale = max(abs(target_ms), 1e-9) / 100
        program.row(
            {column: value / scale for column, value in self._latency.items() if abs(value / scale) > _SMALL},
            -np.inf,
            budget / scale,
        )
        for column, value in self._latency.items():
            cost[column] += 1e-8 * value / scale
        cost[np.abs(cost) < _NOTHING] = 0.0
        for chosen in known:
            picked = [o[c] for o, c in zip(self._options, chosen.tolist(), strict=True) if len(o) > 1]
            program.row(dict.fromkeys(picked, 1.0), -np.inf, len(picked) - distance)
        with quiet():
            found = milp(
                cost,
                integrality=np.ones(program.count, dtype=np.int64),
                bounds=Bounds(0, 1),
                constraints=program.constraint(),
                options={"mip_rel_gap": _GAP, "node_limit": _NODES},
            )
        del program.rows[mark:]
        if found.x is None:
            return None
        return self._chosen(found.x)

    def fastest(self) -> Ints:
        """The assignment [groups] of least latency."""
        cost = np.zeros(self._program.count)
        for column, value in self._latency.items():
            cost[column] += value
        cost /= max(float(np.abs(cost).max()), 1e-12)
        cost[np.abs(cost) < _NOTHING] = 0.0
        with quiet():
            found = milp(
                cost, integrality=np.ones(len(cost), dtype=np.int64), bounds=Bounds(0, 1),
                constraints=self._program.constraint(), options={"mip_rel_gap": _GAP / 10, "node_limit": _NODES},
            )  # fmt: skip
        # Something is always allowed; without a solution in time the first choices are as good as any.
        return np.zeros(len(self._options), dtype=np.int64) if found.x is None else self._chosen(found.x)

    def _chosen(self, x: Floats) -> Ints:
        return np.array([int(np.argmax(x[list(options)])) for options in self._options], dtype=np.int64)

    def _is(self, index: int) -> list[tuple[Terms, float]]:
        """For each rank: terms and constant whose sum is 1 when the source has that rank."""
        if index not in self._sources:
            self._sources[index] = self._make(index)
        return self._sources[index]

    def _make(self, index: int) -> list[tuple[Terms, float]]:
        source = self.frame.sources[index]
        if not source.signals:
            return [({}, float(rank == source.least)) for rank in range(RANKS)]
        if len(source.signals) == 1:
            signal = self.frame.signals[next(iter(source.signals))]
            found: list[tuple[Terms, float]] = [({}, 0.0) for _ in range(RANKS)]
            for option, rank in zip(self._options[signal.group], signal.ranks, strict=True):
                found[max(rank, source.least)][0][option] = 1.0
            return found
        return self._maximum(source.least, sorted(source.signals))

    def _maximum(self, least: int, signals: list[int]) -> list[tuple[Terms, float]]:
        """Above ``least``: "at least rank k" is 1 when it is for some signal, and only then."""
        program = self._program
        above: dict[int, int] = {}
        for rank in range(least + 1, RANKS):
            reach: Terms = {}
            parts: list[Terms] = []
            for s in signals:
                signal = self.frame.signals[s]
                columns = self._options[signal.group]
                part = {columns[o]: 1.0 for o, own in enumerate(signal.ranks) if own >= rank}
                if part:
                    parts.append(part)
                    for column in part:
                        reach[column] = reach.get(column, 0.0) + 1.0
            if not parts:
                break
            (variable,) = program.variables(1)
            above[rank] = variable
            for part in parts:
                program.row({variable: 1.0, **{c: -v for c, v in part.items()}}, 0, np.inf)
            program.row({variable: 1.0, **{c: -v for c, v in reach.items()}}, -np.inf, 0)
        found: list[tuple[Terms, float]] = []
        for rank in range(RANKS):
            terms: Terms = {}
            constant = float(rank == least)
            if rank > least and rank in above:
                terms[above[rank]] = 1.0
            if rank >= least and rank + 1 in above:
                terms[above[rank + 1]] = -1.0
            found.append((terms, constant))
        return found

    def _pair(self, latency: Terms, a: int, b: int, cost: Floats) -> None:
        first, second = self._is(a), self._is(b)
        ranks_a = [r for r in range(RANKS) if first[r][0] or first[r][1]]
        ranks_b = [r for r in range(RANKS) if second[r][0] or second[r][1]]
        if len(ranks_a) == 1 or len(ranks_b) == 1:
            for r in ranks_a:
                for q in ranks_b:
                    self._add(latency, second[q] if len(ranks_a) == 1 else first[r], float(cost[r, q]))
            return
        joint = {(r, q): self._program.variables(1)[0] for r in ranks_a for q in ranks_b}
        for r in ranks_a:
            self._equal({joint[r, q]: 1.0 for q in ranks_b}, first[r])
        for q in ranks_b:
            self._equal({joint[r, q]: 1.0 for r in ranks_a}, second[q])
        for (r, q), variable in joint.items():
            latency[variable] = latency.get(variable, 0.0) + float(cost[r, q])

    def _equal(self, terms: Terms, other: tuple[Terms, float]) -> None:
        row = dict(terms)
        for column, value in other[0].items():
            row[column] = row.get(column, 0.0) - value
        self._program.row(row, other[1], other[1])

    def _add(self, latency: Terms, indicator: tuple[Terms, float], ms: float) -> None:
        for column, value in indicator[0].items():
            latency[column] = latency.get(column, 0.0) + value * ms
        self._fixed_ms += indicator[1] * ms
