"""A course run over photographs: the steps that are left, batch by batch, a batch a thread."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from mpsearch.errors import DataError, ModelError
from mpsearch.graph.model import ModelGraph
from mpsearch.quant import lookup, prefix
from mpsearch.quant.operators import Array, Operator
from mpsearch.quant.plan import Plan
from mpsearch.quant.prefix import Course
from mpsearch.quant.qparams import FloatArray
from mpsearch.quant.statistics import check_shape


def run(
    graph: ModelGraph,
    laid: Plan,
    course: Course,
    operators: Sequence[Operator],
    batches: Iterable[FloatArray | None],
    threads: int,
) -> Iterator[dict[str, FloatArray]]:
    """The delivered tensors, ``[N, ...]`` float32, batch by batch in order; at most a batch more than there are
    threads is in flight.

    Args:
        operators: of the course's steps.
        batches: photographs, or None for each batch where the course does not read them.

    Raises:
        DataError: a photograph with NaN or infinite values.
    """

    def one(index: int, images: FloatArray | None) -> dict[str, FloatArray]:
        return _one(graph, laid, course, operators, index, images)

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[dict[str, FloatArray]]] = deque()
        for index, images in enumerate(batches):
            waiting.append(pool.submit(one, index, images))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def give_back() -> None:
    """Return freed memory to the system: glibc keeps it scattered between what stays, and a study of hundreds of
    trials grows by what no trial uses. Does nothing where the C library has no such call."""
    if _TRIM is not None:
        _TRIM(0)


def _find_trim() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


_TRIM = _find_trim()


def _one(
    graph: ModelGraph,
    laid: Plan,
    course: Course,
    operators: Sequence[Operator],
    index: int,
    images: FloatArray | None,
) -> dict[str, FloatArray]:
    stored = prefix.quantizers(graph, laid)
    values: dict[str, Array] = {}
    for name, layer in course.found.items():
        batch = layer.batches[index]
        assert batch is not None
        values[name] = batch
    if images is not None:
        check_shape(graph, images)
        if not np.isfinite(images).all():
            raise DataError("a photograph holds NaN or infinite values", hint="Check means and scale.")
        codes = lookup.convert(images.reshape(len(images), 1, *images.shape[1:]), None, laid.input)
        _set(values, course, index, graph.inputs[0], codes)
    for place, (step, operator) in enumerate(zip(course.steps, operators, strict=True)):
        arrays = [lookup.convert(values[name], stored[name], read) for name, read in step.sources]
        for (name, _), made in zip(step.targets, operator(arrays), strict=True):
            shape = graph.tensors[name].shape
            if made.shape[1:] != shape:
                raise ModelError(f"unit {step.unit!r} made {made.shape[1:]} for {name!r}, expected {shape}")
            _set(values, course, index, name, made)
        for name in course.unused.get(place, ()):
            del values[name]
    out: dict[str, FloatArray] = {}
    for name, params in laid.delivered:
        codes = lookup.convert(values[name], stored[name], params)
        real = lookup.convert(codes, params, None)
        out[name] = real.reshape(len(real) * real.shape[1], *real.shape[2:])
    return out


def _set(values: dict[str, Array], course: Course, index: int, name: str, made: Array) -> None:
    values[name] = made
    if name in course.new:
        course.new[name].batches[index] = made
