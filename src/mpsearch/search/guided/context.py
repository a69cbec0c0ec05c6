"""What the guided search knows before its first trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from mpsearch.board.cost import Edge, Plan
from mpsearch.board.work import Work
from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph, output_unit
from mpsearch.pareto.limits import Limits
from mpsearch.space.groups import cost
from mpsearch.space.space import SearchSpace

PARTS = frozenset(("exact", "remainder", "draws", "free"))
"""Exact solutions; what no sum explains; draws of the posterior in place of its mean; trials that no model decides."""


class Prior(Protocol):
    """What latency is expected of each part; :class:`mpsearch.board.cost.CostModel` is one. Only ratios matter: the
    scale, and every part, are corrected by what the trials measure."""

    def plan(self, candidate: Candidate) -> Plan:
        """Live units and edges; depends on cuts and dropped outputs only."""

    def work(self, unit: str, kind: DataType) -> Work:
        """The time of ``unit`` in ``kind``, ms."""

    def conversion_ms(self, edge: Edge, made: DataType, wanted: DataType) -> float:
        """What ``edge`` costs between two types that differ."""

    def base_ms(self, candidate: Candidate) -> float:
        """What every choice of types pays."""


class PlainPrior:
    """For targets without a cost model: time follows MACs and elements, 16 bits take twice as long as 8, float16
    twice again, and every change of type moves its tensor once. The sum over an all-8-bit network is 1 ms."""

    _FACTORS = (1.0, 2.0, 3.0, 4.0)

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._plans: dict[tuple[object, object], Plan] = {}
        self._total = sum(cost(unit, graph) for unit in graph.units)

    def plan(self, candidate: Candidate) -> Plan:
        key = (candidate.cuts, candidate.dropped)
        if key not in self._plans:
            graph, live = self._graph, self._graph.live(candidate)
            edges = [self._edge(t, unit.name) for unit in live if unit.nodes for t in dict.fromkeys(unit.inputs)]
            for output, tensors in graph.delivered(candidate).items():
                edges += [self._edge(tensor, output_unit(output)) for tensor in tensors]
            self._plans[key] = Plan(live, tuple(edges))
        return self._plans[key]

    def work(self, unit: str, kind: DataType) -> Work:
        found = self._graph.unit[unit]
        if not found.nodes:
            return Work()
        return Work({"work": cost(found, self._graph) / self._total * self._FACTORS[kind.rank]})

    def conversion_ms(self, edge: Edge, made: DataType, wanted: DataType) -> float:
        return 0.0 if made is wanted else 8 * edge.elements / self._total

    def base_ms(self, candidate: Candidate) -> float:
        return 0.05

    def _edge(self, tensor: str, consumer: str) -> Edge:
        node = self._graph.producer.get(tensor)
        producer = None if node is None else self._graph.unit_of[node]
        return Edge(producer, consumer, tensor, self._graph.tensors[tensor].shape)


def seeds(space: SearchSpace, extra: Iterable[Candidate] = ()) -> tuple[Candidate, ...]:
    """What a guided study measures first: the ends of the range, every uniform base at the deepest cut, then ``extra``.
    Tails and single groups are not needed: the models ask for what they want to know."""
    deepest: dict[str, Candidate] = {}
    for candidate in space.uniforms():  # by depth of cut within each algorithm and setting, of which the first is taken
        first = deepest.setdefault(candidate.base, candidate)
        if (candidate.algorithm, candidate.options) == (first.algorithm, first.options):
            deepest[candidate.base] = candidate
    found = [*deepest.values(), *map(space.canonical, extra)]
    return tuple({candidate.digest: candidate for candidate in found}.values())


@dataclass
class Rivals:
    """The other models of a study: what they have reached, and what this one's next proposal promises beyond that.

    Attributes:
        points: ms and error of their front, as far as it keeps the limits on faces.
        worst: the largest error of theirs; 0 where nothing was measured.
        near: whether the next trial is for the least error within the budget, the same for all models, so that what
            they promise compares; None leaves it to each.
        promise: the gain that the models expect of the candidate that was chosen last: ms x log error, or log error
            where ``near``. None where no model chose.
    """

    points: tuple[tuple[float, float], ...] = ()
    worst: float = 0.0
    near: bool | None = None
    promise: float | None = None


@dataclass(frozen=True)
class Context:
    """Everything that :class:`~mpsearch.search.guided.sampler.GuidedSampler` is told.

    Attributes:
        prior: expected latencies; None takes :class:`PlainPrior`.
        cheap_error: the cheap rung: landmark error of a candidate on few photographs, px^2, or None where it cannot be
            had. None as a whole where there is no such rung.
        cheap_cost: what one such call costs, as a share of one evaluation's photographs.
        cheap_share: the cheap rung's limit, as a share of :attr:`planned` evaluations' photographs.
        cheap_left_s: seconds that may go to it yet; the limit where a board's time is known.
        planned: evaluations that the study will have; 0 when nobody knows.
        cheap_known: what earlier calls found, by the candidate's digest; the sampler adds to it.
        parts: of the method that are in use; a benchmark leaves some out.
        twin: what identifies a candidate's outcome, None where nobody can tell (:mod:`mpsearch.search.twins`).
        hints: group -> how hard it is expected to be to quantize, in standard deviations over the groups.
        rivals: where the study has several models.
        shelf: names of its boards, where the study has several; the slowest is what is predicted.
    """

    space: SearchSpace
    limits: Limits
    prior: Prior | None = None
    cheap_error: Callable[[Candidate], float | None] | None = None
    cheap_cost: float = 0.1
    cheap_share: float = 0.25
    cheap_left_s: Callable[[], float] = lambda: inf
    planned: int = 0
    cheap_known: dict[str, float | None] = field(default_factory=dict)
    parts: frozenset[str] = PARTS
    twin: Callable[[Candidate], str | None] = lambda candidate: None
    hints: Mapping[str, float] = field(default_factory=dict)
    rivals: Rivals | None = None
    shelf: tuple[str, ...] = ()

    @property
    def cheap_calls(self) -> int:
        """How many calls of the cheap rung the limit allows."""
        if self.cheap_error is None or self.cheap_cost <= 0:
            return 0
        return int(self.cheap_share * max(self.planned, 40) / self.cheap_cost)
