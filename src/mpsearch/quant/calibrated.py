"""A float model and what calibration knows of it: statistics, operators, every tensor's range for a candidate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import onnx

from mpsearch.candidate import Algorithm, Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.quant import algorithms, equalize, ranges, statistics
from mpsearch.quant.algorithms import Options
from mpsearch.quant.operators import Operators
from mpsearch.quant.plan import Plan, arithmetic_of, make
from mpsearch.quant.ranges import Range
from mpsearch.quant.snpe import Snpe
from mpsearch.quant.statistics import Histograms, Photos, Statistics


class Calibrated:
    """Everything here is measured at first use.

    Args:
        cache: folder for calibration statistics; None keeps them in memory only.
        options: of Acuity's calibration algorithms.
    """

    def __init__(
        self, graph: ModelGraph, photos: Photos, *, cache: Path | None, threads: int, options: Options
    ) -> None:
        self.graph = graph
        self._photos, self._cache, self._threads, self._options = photos, cache, threads, options
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @cached_property
    def operators(self) -> Operators:
        """Of the model's units."""
        return Operators(self.graph)

    @cached_property
    def statistics(self) -> Statistics:
        """Extremes of every tensor on every calibration photograph."""
        return statistics.measure(self.graph, self._photos, cache=self._cache, threads=self._threads)

    @cached_property
    def histograms(self) -> Histograms:
        """A second pass over the calibration photographs."""
        return statistics.histograms(
            self.graph, self._photos, self.statistics, cache=self._cache, threads=self._threads
        )

    def equalized(self) -> Calibrated:
        """The same of the model after cross-layer equalization, which is written beside the statistics."""
        if self._cache is None and self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mpsearch-")
        folder = Path(self._folder.name) if self._cache is None and self._folder else self._cache or Path()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"equalized-{self.graph.digest[:32]}.onnx"
        onnx.save(equalize.equalized(self.graph), str(path))
        return Calibrated(read(path), self._photos, cache=self._cache, threads=self._threads, options=self._options)

    def plan(self, candidate: Candidate, types: Mapping[str, DataType]) -> Plan:
        """Every quantizer of ``candidate``.

        Args:
            types: live unit -> type that was really built.
        """
        arithmetic = arithmetic_of(candidate)
        if isinstance(arithmetic, Snpe):
            found = ranges.along(self.graph, self._encoded(arithmetic), types, candidate.base_type)
            return make(self.graph, candidate, types, found)
        found = ranges.share(self.graph, self._in_acuity(candidate, types), types, parts=self._options.parts)
        through = ranges.converters(self.graph, found, types) if self._options.parts else None
        return make(self.graph, candidate, types, found, through=through)

    def _encoded(self, arithmetic: Snpe) -> Callable[[str, DataType], Range]:
        def own(tensor: str, kind: DataType) -> Range:
            return arithmetic.range(kind, self.statistics.minmax(tensor), lambda: self.histograms.counts[tensor])

        return own

    @cached_property
    def _nearest(self) -> Callable[[str], Range]:
        return algorithms.kl_divergence(self.histograms, self._options)

    def _in_acuity(self, candidate: Candidate, types: Mapping[str, DataType]) -> Callable[[str], Range]:
        """A tensor's range by its own statistics, as the candidate's algorithm sees them."""
        whole, graph = self.statistics.minmax, self.graph
        if candidate.algorithm is Algorithm.STANDARD:
            return whole
        if candidate.algorithm is Algorithm.MOVING_AVERAGE:
            return algorithms.moving_average(self.statistics, self._options)
        clipped = self._nearest
        delivered = {name for names in graph.delivered(candidate).values() for name in names}

        def by_type(tensor: str) -> Range:
            node = graph.producer.get(tensor)
            kind = candidate.base_type if node is None else types[graph.unit_of[node]]
            # The engine's landmark errors show that what leaves the network is not clipped.
            return whole(tensor) if kind.bits > 8 or tensor in delivered else clipped(tensor)

        return by_type
