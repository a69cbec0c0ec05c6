"""The host's stand-in for the engine: calibrate once a study, run every candidate on the evaluation photographs.

See ``docs/adr/0003-simulator.md`` for why it is built this way.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mpsearch.candidate import BASES, Algorithm, Candidate, DataType
from mpsearch.errors import DataError, ModelError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import Tail
from mpsearch.quant import algorithms, entropy, lookup, plan, ranges, schemes, statistics, table
from mpsearch.quant.algorithms import Options
from mpsearch.quant.operators import Array, Operator, Operators
from mpsearch.quant.plan import Plan, Step
from mpsearch.quant.ranges import Range
from mpsearch.quant.schemes import FloatArray
from mpsearch.quant.statistics import Histograms, Photos, Statistics

BATCH = 4
"""Photographs a task: enough to hide Python's part, few enough to stay in the cache."""
_OPERATORS = 1024


class Simulator:
    """An :class:`~mpsearch.evaluate.Executor` that quantizes on the host.

    Args:
        cache: folder for calibration statistics; None keeps them in memory only.
        threads: worker threads; 0 takes every core.
        options: of the calibration algorithms.

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
    ) -> None:
        self._graph = graph
        self._calibration, self._evaluation = calibration, evaluation
        self._cache, self._threads = cache, threads or os.cpu_count() or 1
        self._options = options or Options()
        self._statistics: Statistics | None = None
        self._histograms: Histograms | None = None
        self._clipped: Callable[[str], Range] | None = None
        self._operators = Operators(graph)
        self._made: OrderedDict[tuple[str, Step], Operator] = OrderedDict()

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

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """See :meth:`mpsearch.evaluate.Executor.batches`."""
        if len(self._evaluation) == 0:
            raise DataError("no evaluation photographs", hint="Check the study's `data.evaluation`.")
        laid = self.plan(artifact.candidate, artifact.types)
        tail = Tail(self._graph, artifact.candidate)
        for device in self._run(laid, self._evaluation.batches(BATCH)):
            yield tail.complete(device)

    def outputs(self, wanted: Candidate | Artifact, images: FloatArray) -> dict[str, FloatArray]:
        """Model output -> ``[N, ...]`` for ``images`` ``[N, C, H, W]``."""
        artifact = wanted if isinstance(wanted, Artifact) else Artifact(wanted, self._graph.assign(wanted))
        laid = self.plan(artifact.candidate, artifact.types)
        tail = Tail(self._graph, artifact.candidate)
        parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        done = [tail.complete(device) for device in self._run(laid, iter(parts))]
        return {name: np.concatenate([part[name] for part in done]) for name in done[0]}

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

    def _run(self, laid: Plan, batches: Iterator[FloatArray]) -> Iterator[dict[str, FloatArray]]:
        """The delivered tensors, batch by batch in order; at most one batch a worker is in flight."""
        operators = [self._operator(laid, step) for step in laid.steps]
        with ThreadPoolExecutor(self._threads) as pool:
            waiting: deque[Future[dict[str, FloatArray]]] = deque()
            for batch in batches:
                waiting.append(pool.submit(self._one, laid, operators, batch))
                if len(waiting) > self._threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _operator(self, laid: Plan, step: Step) -> Operator:
        key = (laid.candidate.base, step)
        if (known := self._made.get(key)) is not None:
            self._made.move_to_end(key)
            return known
        made = self._operators.make(step, BASES[laid.candidate.base])
        self._made[key] = made
        if len(self._made) > _OPERATORS:
            self._made.popitem(last=False)
        return made

    def _one(self, laid: Plan, operators: list[Operator], images: FloatArray) -> dict[str, FloatArray]:
        if not np.isfinite(images).all():
            raise DataError("a photograph holds NaN or infinite values", hint="Check means and scale.")
        source = self._graph.inputs[0]
        stored: dict[str, schemes.QParams | None] = {source: laid.input}
        values: dict[str, Array] = {
            source: lookup.convert(images.reshape(len(images), 1, *images.shape[1:]), None, laid.input)
        }
        readers = _last_readers(laid)
        for index, (step, operator) in enumerate(zip(laid.steps, operators, strict=True)):
            arrays = [lookup.convert(values[name], stored[name], read) for name, read in step.sources]
            for (name, params), made in zip(step.targets, operator(arrays), strict=True):
                shape = self._graph.tensors[name].shape
                if made.shape[1:] != shape:
                    raise ModelError(f"unit {step.unit!r} made {made.shape[1:]} for {name!r}, expected {shape}")
                values[name], stored[name] = made, params
            for name in readers.get(index, ()):
                del values[name]
        out: dict[str, FloatArray] = {}
        for name, params in laid.delivered:
            codes = lookup.convert(values[name], stored[name], params)
            real = lookup.convert(codes, params, None)
            out[name] = real.reshape(len(real) * real.shape[1], *real.shape[2:])
        return out


def _last_readers(laid: Plan) -> dict[int, list[str]]:
    """Step index -> the tensors that nobody reads after it."""
    last: dict[str, int] = {}
    for index, step in enumerate(laid.steps):
        for name, _ in (*step.sources, *step.targets):
            last[name] = index
    kept = {name for name, _ in laid.delivered}
    found: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in kept:
            found.setdefault(index, []).append(name)
    return found
