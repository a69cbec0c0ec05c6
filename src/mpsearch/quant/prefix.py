"""Activations kept between trials: a candidate that agrees with an earlier one up to some units starts behind them.

A tensor's key is a digest over the step that makes it and the keys of what that step reads, back to the photographs:
equal keys mean equal numbers. Which tensors are kept depends on the network alone: those that cross one of
:data:`CHECKPOINTS` narrow places, spread evenly over the work. A trial works backwards from the outputs and stops at
what is here, so parts beside the changed units are re-used too, not only those in front.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from mpsearch.graph.model import ModelGraph
from mpsearch.quant.kept import Kept
from mpsearch.quant.plan import Plan, Step
from mpsearch.quant.qparams import QParams

Key = bytes
CHECKPOINTS = 8
_NS_PER_MAC, _NS_PER_VALUE = 0.03, 1.0
"""Rough costs of 8-bit work on one core; only where the checkpoints lie depends on them."""


class Layer:
    """One tensor of all evaluation photographs, batch by batch.

    Attributes:
        batches: codes or float32, ``[images, *shape of the tensor]``; None until they are made.
    """

    __slots__ = ("batches",)

    def __init__(self, count: int) -> None:
        self.batches: list[NDArray[np.generic] | None] = [None] * count

    @property
    def complete(self) -> bool:
        return all(batch is not None for batch in self.batches)


@dataclass(frozen=True)
class Course:
    """What is left to do for one candidate.

    Attributes:
        steps: in execution order, only those that must run.
        found: tensor -> what an earlier trial made of it.
        new: tensor -> where to put it, for later trials.
        keys: of ``new``.
        reads_photographs: whether the network's input must be quantized.
        unused: index in ``steps`` -> tensors that nobody reads after it.
    """

    steps: tuple[Step, ...]
    found: Mapping[str, Layer]
    new: Mapping[str, Layer]
    keys: tuple[Key, ...]
    reads_photographs: bool
    unused: Mapping[int, Sequence[str]]


class Prefixes:
    """The activations of earlier trials on one set of photographs.

    Args:
        limit_bytes: of all activations together; 0 keeps none.
        photographs, batches: how many photographs there are, and into how many batches they are split.
    """

    def __init__(self, graph: ModelGraph, limit_bytes: int, photographs: int, batches: int) -> None:
        self._graph = graph
        self._kept: Kept[Key, Layer] = Kept(limit_bytes)
        self._photographs, self._batches = photographs, batches
        self._places: dict[tuple[str, ...], frozenset[str]] = {}

    @property
    def used_bytes(self) -> int:
        return self._kept.used_bytes

    def course(self, laid: Plan) -> Course:
        """What must run for ``laid``; room for what it will keep is made now, so that the limit holds all the time.

        Call :meth:`forget` with the course's keys if it does not come to its end.
        """
        if self._kept.limit_bytes == 0:
            return whole(self._graph, laid)
        worth = self._worth(laid)
        keys = chain(self._graph, laid)
        stored = quantizers(self._graph, laid)
        made_first = [tensor for tensor in stored if tensor in worth]
        present = {t: layer for t in made_first if (layer := self._kept.get(keys[t])) is not None and layer.complete}
        course = _demand(self._graph, laid, present)
        made = {tensor for step in course.steps for tensor, _ in step.targets}
        if course.reads_photographs:
            made.update(self._graph.inputs)
        size = {tensor: self._size_bytes(tensor, stored[tensor]) for tensor in made_first}
        taken = sum(size[tensor] for tensor in present)
        new: dict[str, Layer] = {}
        for tensor in made_first:
            if tensor in made and tensor not in present and taken + size[tensor] <= self._kept.limit_bytes:
                layer = Layer(self._batches)
                self._kept.put(keys[tensor], layer, size[tensor])
                new[tensor] = layer
                taken += size[tensor]
        for tensor in reversed(made_first):  # what lies early serves the most candidates: it goes last
            self._kept.get(keys[tensor])
        return replace(course, new=new, keys=tuple(keys[tensor] for tensor in new))

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop what was not finished."""
        self._kept.remove(keys)

    def _size_bytes(self, tensor: str, params: QParams | None) -> int:
        width = 4 if params is None else params.code_type.itemsize
        return prod(self._graph.tensors[tensor].shape) * width * self._photographs

    def _worth(self, laid: Plan) -> frozenset[str]:
        units = tuple(step.unit for step in laid.steps)
        if units not in self._places:
            self._places.clear()  # another cut; within one study there are few, and making them anew is cheap
            self._places[units] = checkpoints(self._graph, laid)
        return self._places[units]


def whole(graph: ModelGraph, laid: Plan) -> Course:
    """Everything from the photographs on, nothing kept."""
    return _demand(graph, laid, {})


def quantizers(graph: ModelGraph, laid: Plan) -> dict[str, QParams | None]:
    """Tensor -> the quantizer it is stored with, in the order in which they are made."""
    made = {tensor: params for step in laid.steps for tensor, params in step.targets}
    return {graph.inputs[0]: laid.input, **made}


def chain(graph: ModelGraph, laid: Plan) -> dict[str, Key]:
    """Tensor -> digest of everything that decides its numbers, the photographs apart."""
    keys = {graph.inputs[0]: _digest(repr(laid.input).encode())}
    for step in laid.steps:
        before = b"".join(keys[tensor] for tensor, _ in step.sources)
        key = _digest(repr(laid.arithmetic).encode(), repr(step).encode(), before)
        keys.update({tensor: _digest(key, tensor.encode()) for tensor, _ in step.targets})
    return keys


def checkpoints(graph: ModelGraph, laid: Plan, count: int = CHECKPOINTS) -> frozenset[str]:
    """The tensors worth keeping: the network's input, and what crosses the narrowest place in each ``count``-th part
    of the work."""
    values = {tensor: prod(graph.tensors[tensor].shape) for tensor in quantizers(graph, laid)}
    work = [
        graph.unit[step.unit].macs * _NS_PER_MAC + sum(values[tensor] for tensor, _ in step.targets) * _NS_PER_VALUE
        for step in laid.steps
    ]
    crossing = _crossing(laid)
    width = [sum(values[tensor] for tensor in tensors) for tensors in crossing]
    part = np.minimum(np.cumsum(work) / sum(work) * count, count - 1).astype(int)
    chosen = {graph.inputs[0]}
    for index in range(count):
        places = np.flatnonzero(part == index)
        if len(places):
            chosen.update(crossing[min(places, key=lambda place: width[place])])
    return frozenset(chosen)


def _crossing(laid: Plan) -> list[set[str]]:
    """For each step the tensors that exist behind it and are still to be read."""
    still = {tensor for tensor, _ in laid.delivered}
    found: list[set[str]] = []
    for step in reversed(laid.steps):
        found.append(set(still))
        still -= {tensor for tensor, _ in step.targets}
        still |= {tensor for tensor, _ in step.sources}
    return found[::-1]


def _demand(graph: ModelGraph, laid: Plan, present: Mapping[str, Layer]) -> Course:
    """Backwards from what is delivered, as far as nothing is present."""
    maker = {tensor: index for index, step in enumerate(laid.steps) for tensor, _ in step.targets}
    found: dict[str, Layer] = {}
    wanted: set[int] = set()
    todo = [tensor for tensor, _ in laid.delivered]
    reads = False
    while todo:
        tensor = todo.pop()
        if tensor in present:
            found[tensor] = present[tensor]
        elif tensor in graph.inputs:
            reads = True
        elif maker[tensor] not in wanted:
            wanted.add(maker[tensor])
            todo += [source for source, _ in laid.steps[maker[tensor]].sources]
    steps = tuple(laid.steps[index] for index in sorted(wanted))
    return Course(steps, found, {}, (), reads, _last_readers(laid, steps))


def _last_readers(laid: Plan, steps: Sequence[Step]) -> dict[int, list[str]]:
    """Index in ``steps`` -> tensors that may go after it: all but the delivered ones."""
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        for name, _ in (*step.sources, *step.targets):
            last[name] = index
    stay = {name for name, _ in laid.delivered}
    found: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in stay:
            found.setdefault(index, []).append(name)
    return found


def _digest(*parts: bytes) -> Key:
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()
