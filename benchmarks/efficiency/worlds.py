"""Worlds to search in: recorded networks and synthetic ones, with what a search may know of them for free.

A world is a graph of groups with a few types each, a true latency and error of every assignment, and a prior that is
wrong: every group's time by type is off by a lognormal factor, and the true latency holds terms of three groups that no
sum over groups and edges can express.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from efficiency.table import Parts, Table, opened
from mpsearch import canonical
from mpsearch.board.cost import Edge, Plan
from mpsearch.board.work import Work
from mpsearch.candidate import BASES, Candidate, DataType, Scheme
from mpsearch.graph.model import ModelGraph, Node, Role, Tensor, Unit, output_unit
from mpsearch.record import Failed, Measured, Record, Score, Timing
from mpsearch.space import load as loading
from mpsearch.space import spec, yamlfile
from mpsearch.space.space import SearchSpace

_TRIPLES = 1.0
"""Hidden terms of three groups, for each group."""
_TRIPLE_SHARE = 0.012
"""What such a term is worth, as a share of the all-8-bit latency (standard deviation)."""


def column(kind: DataType) -> int:
    """Place of a type in a world's tables: 8 bits, int16, float16."""
    return min(kind.rank, 2)


class GroupPrior:
    """:class:`mpsearch.search.guided.Prior` over groups."""

    def __init__(self, graph: ModelGraph, parts: Parts, *, switches: bool = True) -> None:
        self._graph, self._parts, self._switches = graph, parts, switches
        names = [unit.name for unit in graph.compute_units]
        self._index = {name: index for index, name in enumerate(names)}
        self._table = {edge: parts.edge_ms[i] for i, edge in enumerate(parts.edges)}
        self._plan = self._make()

    def plan(self, candidate: Candidate) -> Plan:
        return self._plan

    def work(self, unit: str, kind: DataType) -> Work:
        index = self._index.get(unit)
        return Work() if index is None else Work({"all": float(self._parts.unit_ms[index, column(kind)])})

    def conversion_ms(self, edge: Edge, made: DataType, wanted: DataType) -> float:
        if not self._switches or made is wanted or edge.consumer not in self._index:
            return 0.0
        a = -1 if edge.producer is None else self._index[edge.producer]
        table = self._table.get((a, self._index[edge.consumer]))
        return 0.0 if table is None else float(table[column(made), column(wanted)])

    def base_ms(self, candidate: Candidate) -> float:
        return self._parts.fixed_ms

    def _make(self) -> Plan:
        edges = []
        for unit in self._graph.units:
            for tensor in unit.inputs:
                node = self._graph.producer.get(tensor)
                edges.append(Edge(node, unit.name, tensor, self._graph.tensors[tensor].shape))
        return Plan(self._graph.units, tuple(edges))


@dataclass(frozen=True)
class World:
    """One thing to search in.

    Attributes:
        error_px2, latency_ms: truth, by assignment (a tuple of ranks).
        budget_times: the budget, in all-8-bit latencies.
        noise: of one timing, relative.
        fails: assignments of two groups that do not compile: ((group, rank), (group, rank)).
        cheap: error on few photographs by assignment; None where there is none.
        cheap_cost: of one such call, in evaluations.
    """

    name: str
    graph: ModelGraph
    space: SearchSpace
    parts: Parts
    truth: Truth
    budget_times: float
    noise: float = 0.003
    fails: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
    cheap_cost: float = 0.1
    drift: float = 0.0

    @property
    def types(self) -> int:
        return len(self.parts.unit_ms[0])

    @property
    def groups(self) -> int:
        return len(self.parts.unit_ms)

    @cached_property
    def budget_ms(self) -> float:
        return self.budget_times * self.truth.latency_ms((0,) * self.groups)

    def value(self, chosen: Sequence[int]) -> tuple[float, float] | None:
        """True latency and error; None when it does not compile."""
        key = tuple(int(c) for c in chosen)
        if any(key[a] == ra and key[b] == rb for (a, ra), (b, rb) in self.fails):
            return None
        error = self.truth.error_px2(key)
        return None if math.isnan(error) else (self.truth.latency_ms(key), error)

    def candidate(self, chosen: Sequence[int]) -> Candidate:
        point = {f"type:{g.name}": g.choices[int(c)] for g, c in zip(self.space.groups, chosen, strict=True)}
        return self.space.at(point)

    def chosen(self, candidate: Candidate) -> tuple[int, ...]:
        return tuple(column(candidate.type_of(group.units[0])) for group in self.space.groups)

    def record(self, chosen: Sequence[int], rng: np.random.Generator, count: int) -> Record:
        """One measurement, with its noise, and heat that builds up over the evaluations."""
        candidate, found = self.candidate(chosen), self.value(chosen)
        if found is None:
            return Record(candidate, Failed("build", "CandidateError", "does not compile"))
        heat = 1 + self.drift * (1 - np.exp(-count / 20))
        latency_ms = found[0] * heat * float(np.exp(self.noise * rng.standard_normal()))
        score = Score(found[1], found[1], found[1], faces=100, missed=0, extra=0)
        return Record(candidate, Measured(score, Timing((latency_ms,), "simulated", self.name)))

    @cached_property
    def best(self) -> tuple[float, float]:
        """Hypervolume and least error within the budget: of every assignment, where they can be listed."""
        return self.truth.best(self)


class Truth:
    """Latency and error of every assignment."""

    def latency_ms(self, chosen: tuple[int, ...]) -> float:
        raise KeyError(chosen)

    def error_px2(self, chosen: tuple[int, ...]) -> float:
        raise KeyError(chosen)

    def cheap_px2(self, chosen: tuple[int, ...]) -> float | None:
        return None

    def best(self, world: World) -> tuple[float, float]:
        """See :attr:`World.best`."""
        from efficiency.scores import volume

        points = [world.value(c) for c in product(range(world.types), repeat=world.groups)]
        known = [p for p in points if p is not None]
        within = [error for latency, error in known if latency <= world.budget_ms]
        return volume(world, known), min(within, default=float("nan"))


@dataclass(frozen=True)
class Hidden:
    """What no prior knows: factors [groups, types] on unit times, and terms of three groups."""

    factors: np.ndarray
    triples: tuple[tuple[tuple[int, int, int], tuple[int, int, int], float], ...]

    @classmethod
    def draw(cls, parts: Parts, spread: float, rng: np.random.Generator, *, strength: float = 1.0) -> Hidden:
        groups, types = parts.unit_ms.shape
        factors = np.exp(spread * rng.standard_normal((groups, types)))
        scale = strength * _TRIPLE_SHARE * (parts.unit_ms[:, 0].sum() + parts.fixed_ms)
        triples = []
        for _ in range(int(_TRIPLES * groups) if groups >= 3 else 0):
            where = tuple(int(i) for i in sorted(rng.choice(groups, 3, replace=False)))
            ranks = tuple(int(r) for r in rng.integers(0, types, 3))
            triples.append((where, ranks, float(scale * rng.standard_normal())))
        return cls(factors, tuple(triples))

    def extra_ms(self, parts: Parts, chosen: tuple[int, ...]) -> float:
        index = np.arange(len(chosen)), np.array(chosen)
        total = float((parts.unit_ms[index] * (self.factors[index] - 1)).sum())
        for where, ranks, ms in self.triples:
            if all(chosen[g] == r for g, r in zip(where, ranks, strict=True)):
                total += ms
        return total


@dataclass(frozen=True)
class Recorded(Truth):
    """A real network, from its table."""

    parts: Parts
    hidden: Hidden
    table: Table

    def latency_ms(self, chosen: tuple[int, ...]) -> float:
        return self.table[chosen][0] + self.hidden.extra_ms(self.parts, chosen)

    def error_px2(self, chosen: tuple[int, ...]) -> float:
        return self.table[chosen][1]

    def cheap_px2(self, chosen: tuple[int, ...]) -> float | None:
        error = self.table[chosen][2]
        return None if math.isnan(error) else error

    def best(self, world: World) -> tuple[float, float]:
        """Of all that was ever measured, by any method with any seed: a lower bound where that is not everything."""
        from efficiency.scores import volume

        known = [point for chosen in self.table.known if (point := world.value(chosen)) is not None]
        within = [error for latency, error in known if latency <= world.budget_ms]
        return volume(world, known), min(within, default=math.nan)


def recorded(path: Path, budget_times: float, *, spread: float = 0.25, seed: int = 0, **other: Any) -> World:
    """A recorded network; ``seed`` draws what the prior does not know."""
    table = opened(path)
    parts, made_of = table.parts, table.made_of
    hidden = Hidden.draw(parts, spread, np.random.default_rng([7, seed]))
    graph = group_graph(len(parts.unit_ms), parts.edges)
    space = group_space(graph, made_of["types"], made_of["base"])
    return World(
        path.stem, graph, space, parts, Recorded(parts, hidden, table), budget_times, cheap_cost=table.cheap_cost,
        **other,
    )  # fmt: skip


def group_graph(groups: int, edges: Sequence[tuple[int, int]]) -> ModelGraph:
    """One convolution a group."""
    feeds = {g: sorted({a for a, b in edges if b == g and a < g}) or [-1] for g in range(groups)}
    names = [f"g{i}" for i in range(groups)]
    tensor = {-1: "input", **{i: f"t{i}" for i in range(groups)}}
    ends = tuple(tensor[i] for i in range(groups) if not any(i in feeds[g] for g in range(groups)))
    nodes = tuple(Node(names[i], "Conv", tuple(tensor[a] for a in feeds[i]), (), (tensor[i],)) for i in range(groups))
    units = [Unit(n.name, Role.COMPUTE, "conv", (n.name,), n.inputs, n.outputs) for n in nodes]
    units += [Unit(output_unit(o), Role.OUTPUT, "output", (), (o,), (o,)) for o in ends]
    tensors = {name: Tensor(name, (1, 8, 8, 8)) for name in tensor.values()}
    return ModelGraph(
        Path("groups.onnx"), canonical.digest([groups, sorted(edges)]), 13, nodes, tensors, tuple(units), ("input",),
        ends, {},
    )  # fmt: skip


def group_space(graph: ModelGraph, types: Sequence[str], base: str = "uint8") -> SearchSpace:
    vendor = "snpe" if BASES[base].scheme is Scheme.ENCODINGS else "synap"
    text = (
        f"vendor: {vendor}\nbases: [{base}]\nuniforms: [{base}]\ntypes: [{', '.join(types)}]\ngrouping: each\n"
        "tails: 0\ncuts: none\n"
    )
    return loading.build(spec.parse(yamlfile.parse(text, "groups.yaml"), "groups"), graph, illegal=lambda *_: ())


def without(world: World, **changes: Any) -> World:
    return replace(world, **changes)
