"""Latency of a candidate from a profile: a sum over units and over edges, so a search can solve it exactly.

    total = fixed + preprocessing + sum of unit_ms + sum of edge_ms

A unit's time depends on its own type only, an edge's on the two types at its ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod

from mpsearch.board import htp, verisilicon
from mpsearch.board.parameters import Htp, Profile, VeriSilicon
from mpsearch.board.work import Work
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError
from mpsearch.graph.model import ModelGraph, Unit, output_unit

_CAMERA = re.compile(r"(nv12|nv21|yuv420|yuv444|rgb|bgra|gray):[1-9]\d*x[1-9]\d*")


@dataclass(frozen=True, slots=True)
class Edge:
    """A tensor on its way from one live unit to another.

    Attributes:
        producer: a unit, or None for the model's input, which has the base type.
    """

    producer: str | None
    consumer: str
    tensor: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Cost:
    """A predicted latency and where it goes.

    Attributes:
        parts_ms: the engines of the family and ``conversions``, ``preprocess``, ``fixed``; their sum is the total.
        unit_ms: live unit -> ms, conversions left out.
        edge_ms: edge -> ms of its conversion, only where there is one.
    """

    total_ms: float
    parts_ms: Mapping[str, float]
    unit_ms: Mapping[str, float]
    edge_ms: Mapping[Edge, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the device runs for one choice of cuts and dropped outputs.

    Attributes:
        units: live, in execution order.
        edges: between live units, output units among the consumers.
    """

    units: tuple[Unit, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Prices:
    """What a family of NPUs charges; all that the cost model knows of a family.

    Attributes:
        engines: keys of :attr:`~mpsearch.board.work.Work.parts_ms`.
        unit: ``(graph, unit, type)`` -> engine times, conversions at the unit's edges left out.
        conversion_ms: ``(shape of the tensor, made, wanted)`` -> what an edge costs between two types that differ.
    """

    engines: tuple[str, ...]
    unit: Callable[[ModelGraph, Unit, DataType], Work]
    conversion_ms: Callable[[tuple[int, ...], DataType, DataType], float]


def prices(profile: Profile) -> Prices:
    """The prices of ``profile``'s family.

    Raises:
        TypeError: a family without a cost model.
    """
    match profile:
        case VeriSilicon():
            return Prices(
                verisilicon.ENGINES,
                partial(verisilicon.unit_work, profile),
                partial(verisilicon.conversion_ms, profile),
            )
        case Htp():
            return Prices(htp.ENGINES, partial(htp.unit_work, profile), partial(htp.conversion_ms, profile))
    raise TypeError(f"no cost model for {type(profile).__name__}")


class CostModel:
    """The cost model of one profile on one graph; the time of each unit and type is worked out once."""

    def __init__(self, profile: Profile, graph: ModelGraph) -> None:
        self.profile = profile
        self.graph = graph
        self._prices = prices(profile)
        self._work: dict[tuple[str, DataType], Work] = {}
        self._plans: dict[tuple[object, object], Plan] = {}

    def work(self, unit: str, kind: DataType) -> Work:
        """Engine times of ``unit`` in ``kind``."""
        known = self._work.get((unit, kind))
        if known is None:
            known = self._work[unit, kind] = self._prices.unit(self.graph, self.graph.unit[unit], kind)
        return known

    def conversion_ms(self, edge: Edge, made: DataType, wanted: DataType) -> float:
        """Cost of ``edge`` when its producer has type ``made`` and its consumer ``wanted``."""
        if made is wanted:
            return 0.0
        return self._prices.conversion_ms(edge.shape, made, wanted)

    def base_ms(self, candidate: Candidate) -> float:
        """What every choice of types pays: the fixed cost and the preprocessing.

        Raises:
            CandidateError: a preprocessing the model does not know.
        """
        return self.profile.fixed_ms + self._preprocess_ms(candidate.preprocess)

    def plan(self, candidate: Candidate) -> Plan:
        """Live units and edges; depends on the candidate's cuts and dropped outputs only."""
        key = (candidate.cuts, candidate.dropped)
        if key not in self._plans:
            self._plans[key] = self._make_plan(candidate)
        return self._plans[key]

    def estimate(self, candidate: Candidate, types: Mapping[str, DataType]) -> Cost:
        """Predicted latency.

        Args:
            types: live unit -> type, as :meth:`ModelGraph.assign` or a toolchain gives them.

        Raises:
            CandidateError: a preprocessing the model does not know.
        """
        plan = self.plan(candidate)
        unit_ms: dict[str, float] = {}
        parts_ms = dict.fromkeys(self._prices.engines, 0.0)
        for unit in plan.units:
            work = self.work(unit.name, types[unit.name])
            unit_ms[unit.name] = work.total_ms
            for engine, ms in work.parts_ms.items():
                parts_ms[engine] += ms
        edge_ms: dict[Edge, float] = {}
        for edge in plan.edges:
            made = candidate.base_type if edge.producer is None else types[edge.producer]
            wanted = types[edge.consumer]
            if made is not wanted:
                edge_ms[edge] = self.conversion_ms(edge, made, wanted)
        parts_ms["conversions"] = sum(edge_ms.values())
        parts_ms["preprocess"] = self._preprocess_ms(candidate.preprocess)
        parts_ms["fixed"] = self.profile.fixed_ms
        return Cost(sum(parts_ms.values()), parts_ms, unit_ms, edge_ms)

    def _preprocess_ms(self, preprocess: str) -> float:
        if preprocess == "cpu":
            return 0.0
        rate = self.profile.preprocess_ns_per_pixel
        if rate is None or not _CAMERA.fullmatch(preprocess):
            hint = "Write it like nv12:1024x768." if rate else f"{self.profile.name} takes frames from the CPU only."
            raise CandidateError(f"preprocessing {preprocess!r} has no cost", stage="time", hint=hint)
        pixels = prod(self.graph.tensors[self.graph.inputs[0]].shape[-2:])
        return pixels * rate / 1e6

    def _make_plan(self, candidate: Candidate) -> Plan:
        graph = self.graph
        live = graph.live(candidate)
        edges = [self._edge(tensor, unit.name) for unit in live if unit.nodes for tensor in dict.fromkeys(unit.inputs)]
        for output, tensors in graph.delivered(candidate).items():
            edges += [self._edge(tensor, output_unit(output)) for tensor in tensors]
        return Plan(live, tuple(edges))

    def _edge(self, tensor: str, consumer: str) -> Edge:
        node = self.graph.producer.get(tensor)
        producer = None if node is None else self.graph.unit_of[node]
        return Edge(producer, consumer, tensor, self.graph.tensors[tensor].shape)


class _ByIdentity:
    """A graph as a cache key: graphs hold dicts, so they have no hash of their own."""

    __slots__ = ("graph",)

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph

    def __hash__(self) -> int:
        return id(self.graph)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.graph is self.graph


@lru_cache(maxsize=8)
def _model(profile: Profile, key: _ByIdentity) -> CostModel:
    return CostModel(profile, key.graph)


def estimate(profile: Profile, graph: ModelGraph, candidate: Candidate, types: Mapping[str, DataType]) -> Cost:
    """:meth:`CostModel.estimate` with the model of the last few profiles and graphs kept."""
    return _model(profile, _ByIdentity(graph)).estimate(candidate, types)
