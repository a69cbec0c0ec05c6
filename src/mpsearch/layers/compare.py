"""A quantized model layer by layer against the float model, over photographs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.layers.names import Joined, join, normalise
from mpsearch.layers.network import Layer, layers_of
from mpsearch.layers.similarity import Similarity, mean, similarity
from mpsearch.layers.sources import FloatArray, Found, Source
from mpsearch.scoring.outputs import cosine

Order = Literal["nchw", "nhwc"]
_AS_NEAR = 1e-4
"""Cosines of the two layouts that differ by less do not tell which one is right."""


@dataclass(frozen=True, slots=True)
class Row:
    """One layer.

    Attributes:
        similarity: the mean over photographs; None where a problem left nothing to compare.
        called: the source's name for it.
        photographs: how many took part.
    """

    layer: Layer
    similarity: Similarity | None
    called: str
    photographs: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Attributes:
    rows: the layers that both sides have, in execution order.
    model_only: layers of the float model that the source has not.
    source_only: the source's names that are no layer of the float model.
    problems: layers that could not be compared (in a photograph), each with the reason.
    notes: what was decided on the way.
    """

    source: str
    photographs: int
    rows: tuple[Row, ...]
    model_only: tuple[Layer, ...]
    source_only: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def compare(graph: ModelGraph, images: Iterable[FloatArray], source: Source) -> Comparison:
    """Run both models on each photograph, ``[C, H, W]`` float32 each, and compare what they have in common.

    A layer that cannot be read, has another size or holds NaN becomes a problem, and the others go on.
    """
    layers = layers_of(graph)
    model = FloatModel(graph, tensors=[layer.tensor for layer in layers])
    collected = _Collected(graph, layers, source)
    for image in images:
        collected.add(model.run(image[None]), source.run(collected.photographs, image))
    return collected.comparison()


class _Collected:
    """What is known so far, photograph by photograph."""

    def __init__(self, graph: ModelGraph, layers: Sequence[Layer], source: Source) -> None:
        self._inputs, self._layers, self._source = graph.inputs, layers, source
        self._of = {layer.tensor: layer for layer in layers}
        self._orders: Mapping[str, Order] | None = None if source.layout == "auto" else {}
        self._order: Order = "nhwc" if source.layout == "nhwc" else "nchw"
        self._values: dict[str, list[Similarity]] = {}
        self._called: dict[str, str] = {}
        self._others: dict[str, None] = {}
        self._problems: dict[str, None] = {}
        self._notes: list[str] = []
        self.photographs = 0

    def add(self, wanted: Mapping[str, FloatArray], found: Mapping[str, Found]) -> None:
        index, self.photographs = self.photographs, self.photographs + 1
        if not found:
            self._problem(f"photograph {index}: {self._source.name} has no output for it")
            return
        joined = join(self._layers, {name: None if f.values is None else f.values.size for name, f in found.items()})
        for sentence in joined.ambiguous:
            self._problem(sentence)
        self._others.update(dict.fromkeys(joined.others))
        if self._orders is None:
            self._orders, note = _layouts(joined, found, wanted, self._of)
            self._notes += [note] if note else []
        for layer in self._layers:
            if layer.tensor in self._called and layer.tensor not in joined.names:
                self._problem(f"{layer.name}: not there for photograph {index}")
        for tensor, name in joined.names.items():
            layer = self._of[tensor]
            if index and tensor not in self._called:
                self._problem(f"{layer.name}: only there from photograph {index} on")
            self._called.setdefault(tensor, name)
            values = _aligned(found[name], layer, self._orders.get(tensor, self._order))
            trouble = values if isinstance(values, str) else _not_finite(wanted[tensor], values)
            if isinstance(values, str) or trouble:
                self._problem(f"{layer.name}: photograph {index}: {trouble}")
            else:
                self._values.setdefault(tensor, []).append(similarity(wanted[tensor], values))

    def comparison(self) -> Comparison:
        rows = []
        for layer in self._layers:
            if layer.tensor in self._called:
                several = self._values.get(layer.tensor, [])
                rows.append(Row(layer, mean(several) if several else None, self._called[layer.tensor], len(several)))
        inputs = {normalise(name) for name in self._inputs}
        return Comparison(
            self._source.name,
            self.photographs,
            tuple(rows),
            tuple(layer for layer in self._layers if layer.tensor not in self._called),
            tuple(name for name in self._others if name not in self._called.values() and normalise(name) not in inputs),
            tuple(self._problems),
            tuple(self._notes),
        )

    def _problem(self, sentence: str) -> None:
        self._problems[sentence] = None


def _aligned(found: Found, layer: Layer, order: Order) -> FloatArray | str:
    """The values in the layer's shape, or why that cannot be."""
    if found.values is None:
        return found.problem
    values, shape = found.values, layer.shape
    if values.size != layer.elements:
        cut = "the file is truncated" if values.size < layer.elements else "it is longer"
        return f"{values.size} values, the layer has {layer.elements} ({'x'.join(map(str, shape))}): {cut}"
    if found.shaped and values.shape != shape:
        last = _moved(values.shape)
        return np.moveaxis(values, -1, 1) if last == shape else values.reshape(shape)
    if len(shape) == 4 and order == "nhwc" and (not found.shaped or _moved(shape) == shape):
        n, c, h, w = shape
        return values.reshape(n, h, w, c).transpose(0, 3, 1, 2)
    return values.reshape(shape)


def _moved(shape: Sequence[int]) -> tuple[int, ...]:
    """``shape`` with its last axis second."""
    return (*shape[:1], *shape[-1:], *shape[1:-1]) if len(shape) > 2 else tuple(shape)


def _not_finite(wanted: FloatArray, values: FloatArray) -> str:
    for side, array in (("the float model's output", wanted), ("the output", values)):
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            return f"{bad} of {array.size} values of {side} are NaN or infinite"
    return ""


def _layouts(
    joined: Joined, found: Mapping[str, Found], wanted: Mapping[str, FloatArray], of: Mapping[str, Layer]
) -> tuple[dict[str, Order], str]:
    """Tensor -> whether its channels come last, for arrays whose shape does not say: whichever is nearer to the float
    model, because a converter may turn some tensors and leave others. Where both are as near, what most layers are.
    """
    votes: dict[str, tuple[float, float]] = {}
    for tensor, name in joined.names.items():
        layer, one = of[tensor], found[name]
        if len(layer.shape) != 4 or one.values is None or (one.shaped and _moved(layer.shape) != layer.shape):
            continue
        if layer.shape[1] == 1 or layer.shape[2] * layer.shape[3] == 1:
            continue  # the same bytes either way
        nchw, nhwc = (_cosine(wanted[tensor], _aligned(one, layer, order)) for order in ("nchw", "nhwc"))
        votes[tensor] = nchw, nhwc
    last = {tensor for tensor, (nchw, nhwc) in votes.items() if nhwc > nchw}
    usual = len(last) * 2 > len(votes)
    for tensor, (nchw, nhwc) in votes.items():
        if abs(nhwc - nchw) < _AS_NEAR:
            (last.add if usual else last.discard)(tensor)
    if not votes:
        return {}, ""
    chosen: dict[str, Order] = {tensor: "nhwc" if tensor in last else "nchw" for tensor in votes}
    return chosen, (
        f"of {len(votes)} layers whose shape does not tell, {len(last)} are read as NHWC and "
        f"{len(votes) - len(last)} as NCHW, whichever is nearer to the float model; --shapes or --layout tell"
    )


def _cosine(wanted: FloatArray, values: FloatArray | str) -> float:
    if isinstance(values, str) or not np.isfinite(values).all():
        return 0.0
    a, b = wanted.reshape(-1).astype(np.float64), values.reshape(-1).astype(np.float64)
    return cosine(float(a @ b), float(a @ a), float(b @ b))
