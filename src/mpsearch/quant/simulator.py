"""The host's stand-in for the engine: calibrate once a study, run every candidate on the evaluation photographs.

See ``docs/adr/0003-simulator.md`` for why it is built this way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

from mpsearch.candidate import BASES, Candidate, DataType, Scheme
from mpsearch.errors import ConfigError, DataError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import Tail
from mpsearch.quant import entropy, execution, plan, prefix, table
from mpsearch.quant.algorithms import Options
from mpsearch.quant.calibrated import Calibrated
from mpsearch.quant.kept import Kept
from mpsearch.quant.operators import Operator
from mpsearch.quant.plan import Plan, Step
from mpsearch.quant.prefix import Course, Prefixes
from mpsearch.quant.qparams import Arithmetic, FloatArray, Linear
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
        self._evaluation, self._threads = evaluation, threads or os.cpu_count() or 1
        self._known = Calibrated(graph, calibration, cache=cache, threads=self._threads, options=options or Options())
        self._equalized: Calibrated | None = None
        self._made: Kept[tuple[Arithmetic, Step], Operator] = Kept(OPERATORS_BYTES)
        self._batch_count = -(-len(evaluation) // BATCH)
        self._prefixes = Prefixes(graph, activations_bytes, len(evaluation), self._batch_count)

    @property
    def graph(self) -> ModelGraph:
        """What is simulated."""
        return self._graph

    @property
    def statistics(self) -> Statistics:
        """Of the calibration photographs; measured at first use."""
        return self._known.statistics

    @property
    def histograms(self) -> Histograms:
        """Of the calibration photographs; a second pass over them at first use."""
        return self._known.histograms

    @property
    def kept_bytes(self) -> int:
        """What the activations kept for later trials take."""
        return self._prefixes.used_bytes

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """See :meth:`mpsearch.evaluate.Executor.batches`."""
        if len(self._evaluation) == 0:
            raise DataError("no evaluation photographs", hint="Check the study's `data.evaluation`.")
        laid = self.plan(artifact.candidate, artifact.types)
        tail = Tail(self._of(artifact.candidate).graph, artifact.candidate)
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
        tail = Tail(self._of(artifact.candidate).graph, artifact.candidate)
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
        return self._of(candidate).plan(candidate, types)

    def linear(self, candidate: Candidate, unit: str) -> Linear | None:
        """The convolution or matrix product at the head of ``unit``, as ``candidate`` quantizes it."""
        return self._of(candidate).operators.linear(unit)

    def _of(self, candidate: Candidate) -> Calibrated:
        """The float model that ``candidate`` quantizes: the study's own, or the equalized one."""
        if candidate.option("equalization") == "none" or candidate.scheme is not Scheme.ENCODINGS:
            return self._known
        if self._equalized is None:
            self._equalized = self._known.equalized()
        return self._equalized

    def table(self, artifact: Artifact, ids: Mapping[str, str] | None = None) -> dict[str, table.Entry]:
        """Every quantizer in the engine's words; :func:`mpsearch.quant.table.render` makes the file of it.

        Args:
            ids: tensor -> the engine's layer id, from a probe conversion.

        Raises:
            ConfigError: an SNPE candidate; see :func:`mpsearch.quant.encodings`.
        """
        if artifact.candidate.scheme is Scheme.ENCODINGS:
            raise ConfigError(
                f"base {artifact.candidate.base} has no table of Acuity's", hint="Its encodings are what SNPE has."
            )
        laid = self.plan(artifact.candidate, artifact.types)
        heads = {step.unit: self._known.operators.linear(step.unit) for step in laid.steps}
        linears = {unit: node for unit, node in heads.items() if node is not None}
        return table.build(self._graph, laid, BASES[artifact.candidate.base], linears, ids)

    def entropy(self) -> dict[str, dict[str, float]]:
        """``{"out0": {tensor: entropy}, "weight": {tensor: entropy}}``; see :mod:`mpsearch.quant.entropy`."""
        weights = {}
        for unit in self._graph.compute_units:
            node = self._known.operators.linear(unit.name)
            if node is not None:
                weights[plan.before_activation(self._graph, unit) or unit.outputs[0]] = entropy.gini(node.weights)
        return {"out0": entropy.activations(self.histograms), "weight": weights}

    def _run(self, laid: Plan, course: Course, batches: Iterable[FloatArray | None]) -> Iterator[dict[str, FloatArray]]:
        known = self._of(laid.candidate)
        operators = [self._operator(known, step, laid.arithmetic) for step in course.steps]
        return execution.run(self._graph, laid, course, operators, batches, self._threads)

    def _operator(self, known: Calibrated, step: Step, arithmetic: Arithmetic) -> Operator:
        def make() -> tuple[Operator, int]:
            return known.operators.make(step, arithmetic), known.operators.size_bytes(step)

        return self._made.get_or_make((arithmetic, step), make)
