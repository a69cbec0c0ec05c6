"""Which tensor gets which quantizer on the host: the simulator's plan, with the ranges of the candidate's algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from mpsearch.candidate import Algorithm, Candidate, DataType
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.quant import algorithms, plan, ranges, statistics
from mpsearch.quant.plan import Plan
from mpsearch.quant.ranges import Range
from mpsearch.quant.statistics import Photos, Statistics


class Ranges:
    """What calibration says of each tensor, by algorithm; measured at first use.

    Args:
        cache: folder for statistics.
    """

    def __init__(self, graph: ModelGraph, calibration: Photos, *, cache: Path | None = None, threads: int = 1) -> None:
        self._graph, self._calibration, self._cache, self._threads = graph, calibration, cache, threads

    @cached_property
    def statistics(self) -> Statistics:
        """Extremes of the calibration photographs."""
        return statistics.measure(self._graph, self._calibration, cache=self._cache, threads=self._threads)

    def of(self, candidate: Candidate) -> Callable[[str], Range]:
        """Tensor -> its range, in the candidate's algorithm.

        ``standard`` takes the extremes over all photographs; ``moving_average`` the mean of each photograph's
        extremes, as onnxruntime's calibrator does under that name (the vendor's engine weighs the last photograph
        most); ``kl_divergence`` is the simulator's, and does not clip what leaves the network either.
        """
        known = self.statistics
        if candidate.algorithm is Algorithm.STANDARD:
            return known.minmax
        if candidate.algorithm is Algorithm.MOVING_AVERAGE:
            return self._mean
        delivered = {name for names in self._graph.delivered(candidate).values() for name in names}
        clipped = self._clipped
        return lambda tensor: known.minmax(tensor) if tensor in delivered else clipped(tensor)

    def _mean(self, tensor: str) -> Range:
        low, high = self.statistics.extremes[tensor].mean(axis=0)
        return float(low), float(high)

    @cached_property
    def _clipped(self) -> Callable[[str], Range]:
        found = statistics.histograms(
            self._graph, self._calibration, self.statistics, cache=self._cache, threads=self._threads
        )
        return algorithms.kl_divergence(found, algorithms.Options())


def types_of(graph: ModelGraph, candidate: Candidate) -> dict[str, DataType]:
    """Live unit -> type. Outputs are float32 on the host whatever their unit asks; theirs is their producer's."""
    types = dict(graph.assign(candidate))
    for unit in graph.units:
        if unit.role is Role.OUTPUT and unit.name in types:
            producer = graph.producer.get(unit.inputs[0])
            known = types.get(graph.unit_of[producer]) if producer is not None else None
            types[unit.name] = known or candidate.base_type
    return types


def lay_out(
    graph: ModelGraph, own: Callable[[str], Range], candidate: Candidate, types: Mapping[str, DataType]
) -> Plan:
    """Every quantizer of ``candidate``; ``own`` is :meth:`Ranges.of` it."""
    return plan.make(graph, candidate, types, ranges.share(graph, own, types))
