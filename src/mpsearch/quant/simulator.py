"""The host's stand-in for the engine: calibrate once a study, run every candidate on the evaluation photographs.

See ``docs/adr/0003-simulator.md`` for why it is built this way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

from mpsearch.candidate import BASES, Algorithm, Base, Candidate, DataType
from mpsearch.errors import DataError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import Tail
from mpsearch.quant import algorithms, entropy, execution, plan, prefix, ranges, statistics, table
from mpsearch.quant.algorithms import Options
from mpsearch.quant.kept import Kept
from mpsearch.quant.operators import Operator, Operators
from mpsearch.quant.plan import Plan, Step
from mpsearch.quant.prefix import Course, Prefixes
from mpsearch.quant.ranges import Range
from mpsearch.quant.schemes import FloatArray
from mpsearch.quant.statistics import Histograms, Photos, Statistics

BATCH = 4
"""Photographs a task: enough to hide Python's part, few enough to stay in the cache."""
ACTIVATIONS_BYTES = 384 << 20
OPERATORS_BYTES = 96 << 20
"""Of operators (sessions, weights, tables) kept between trials."""


class Simulator:
    """An :class:`~mpsearch.evaluate.Executor` that quantizes on the host.

    Args:
        cache: folder for calibration statistics; None keeps them in memory only.
        threads: worker threads; 0 takes every core.
        options: of the calibration algorithms.
        activations_bytes: of activations kept for later trials; 0 keeps none. Changes the time of a trial, never a
            bit of its result.

    Raises:
        DataError: no photographs, or values that are not finite.
    """

    def __init__(
        self,
        graph: ModelGraph,
        calibration: Photos,
        evaluation: Photos,
        *,
        cache: Path | None = None,
        threads: int = 0,
        options: Options | None = None,
        activations_bytes: int = ACTIVATIONS_BYTES,
    ) -> None:
        self._graph = graph
        self._calibration, self._evaluation = calibration, evaluation
        self._cache, self._threads = cache, threads or os.cpu_count() or 1
        self._options = options or Options()
        self._statistics: Statistics | None = None
        self._histograms: Histograms | None = None
        self._clipped: Callable[[str], Range] | None = None
        self._operators = Operators(graph)
        self._made: Kept[tuple[Base, Step], Operator] = Kept(OPERATORS_BYTES)
        self._batch_count = -(-len(evaluation) // BATCH)
        self._prefixes = Prefixes(graph, activations_bytes, len(evaluation), self._batch_count)

    @property
    def statistics(self) -> Statistics:
        """Of the calibration photographs; measured at first use."""
        if self._statistics is None:
            self._statistics = statistics.measure(
                self._graph, self._calibration, cache=self._cache, threads=self._threads
            )
        return self._statistics

    @property
    def histograms(self) -> Histograms:
        """Of the calibration photographs; a second pass over them at first use."""
        if self._histograms is None:
            self._histograms = statistics.histograms(
                self._graph, self._calibration, self.statistics, cache=self._cache, threads=self._threads
            )
        return self._histograms

    @property
    def kept_bytes(self) -> int:
        """What the activations kept for later trials take."""
        return self._prefixes.used_bytes

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """See :meth:`mpsearch.evaluate.Executor.batches`."""
        if len(self._evaluation) == 0:
            raise DataError("no evaluation photographs", hint="Check the study's `data.evaluation`.")
        laid = self.plan(artifact.candidate, artifact.types)
        tail = Tail(self._graph, artifact.candidate)
        course = self._prefixes.course(laid)
        execution.give_back()  # what had to make room
        batches: Iterable[FloatArray | None] = self._evaluation.batches(BATCH)
        if not course.reads_photographs:
            batches = repeat(None, self._batch_count)
        finished = False
        try:
            for device in self._run(laid, course, batches):
                yield tail.complete(device)
            finished = True
        finally:
            if not finished:
                self._prefixes.forget(course.keys)
            execution.give_back()

    def outputs(self, wanted: Candidate | Artifact, images: FloatArray) -> dict[str, FloatArray]:
        """Model output -> ``[N, ...]`` for ``images`` ``[N, C, H, W]``."""
        artifact = wanted if isinstance(wanted, Artifact) else Artifact(wanted, self._graph.assign(wanted))
        laid = self.plan(artifact.candidate, artifact.types)
        tail = Tail(self._graph, artifact.candidate)
        parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        done = [tail.complete(device) for device in self._run(laid, prefix.whole(self._graph, laid), parts)]
        return {name: np.concatenate([part[name] for part in done]) for name in done[0]}

    def inner(self, candidate: Candidate, images: FloatArray) -> dict[str, FloatArray]:
        """Every tensor that a unit makes, dequantized, for ``images`` ``[N, C, H, W]``; takes much memory."""
        laid = self.plan(candidate, self._graph.assign(candidate))
        every = replace(laid, delivered=tuple(prefix.quantizers(self._graph, laid).items()))
        (made,) = self._run(every, prefix.whole(self._graph, every), [images])
        return made

    def plan(self, candidate: Candidate, types: Mapping[str, DataType]) -> Plan:
        """Every quantizer of ``candidate``.

        Args:
            types: live unit -> type that was really built.
        """
        found = ranges.share(self._graph, self._ranges(candidate, types), types)
        return plan.make(self._graph, candidate, types, found)

    def _ranges(self, candidate: Candidate, types: Mapping[str, DataType]) -> Callable[[str], Range]:
        """A tensor's range by its own statistics, as the candidate's algorithm sees them."""
        whole = self.statistics.minmax
        if candidate.algorithm is Algorithm.STANDARD:
            return whole
        if candidate.algorithm is Algorithm.MOVING_AVERAGE:
            return algorithms.moving_average(self.statistics, self._options)
        if self._clipped is None:
            self._clipped = algorithms.kl_divergence(self.histograms, self._options)
        clipped, graph = self._clipped, self._graph
        delivered = {name for names in graph.delivered(candidate).values() for name in names}

        def by_type(tensor: str) -> Range:
            node = graph.producer.get(tensor)
            kind = candidate.base_type if node is None else types[graph.unit_of[node]]
            # The engine's landmark errors show that what leaves the network is not clipped.
            return whole(tensor) if kind.bits > 8 or tensor in delivered else clipped(tensor)

        return by_type

    def table(self, artifact: Artifact, ids: Mapping[str, str] | None = None) -> dict[str, table.Entry]:
        """Every quantizer in the engine's words; :func:`mpsearch.quant.table.render` makes the file of it.

        Args:
            ids: tensor -> the engine's layer id, from a probe conversion.
        """
        laid = self.plan(artifact.candidate, artifact.types)
        linears = {step.unit: node for step in laid.steps if (node := self._operators.linear(step.unit)) is not None}
        return table.build(self._graph, laid, BASES[artifact.candidate.base], linears, ids)

    def entropy(self) -> dict[str, dict[str, float]]:
        """``{"out0": {tensor: entropy}, "weight": {tensor: entropy}}``; see :mod:`mpsearch.quant.entropy`."""
        weights = {}
        for unit in self._graph.compute_units:
            node = self._operators.linear(unit.name)
            if node is not None:
                weights[plan.before_activation(self._graph, unit) or unit.outputs[0]] = entropy.gini(node.weights)
        return {"out0": entropy.activations(self.histograms), "weight": weights}

    def _run(self, laid: Plan, course: Course, batches: Iterable[FloatArray | None]) -> Iterator[dict[str, FloatArray]]:
        base = BASES[laid.candidate.base]
        operators = [self._operator(step, base) for step in course.steps]
        return execution.run(self._graph, laid, course, operators, batches, self._threads)

    def _operator(self, step: Step, base: Base) -> Operator:
        def make() -> tuple[Operator, int]:
            return self._operators.make(step, base), self._operators.size_bytes(step)

        return self._made.get_or_make((base, step), make)
