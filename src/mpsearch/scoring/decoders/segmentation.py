"""A class for every pixel: scores ``1 x C x h x w`` or ``1 x h x w x C``, one channel for yes or no, or the map itself
``1 x h x w`` behind an ArgMax.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base, dense
from mpsearch.scoring.decoders.base import Decoder, Index, Outputs

NAME = "segmentation"
KINDS = ("auto", "scores", "binary", "classes")


class Segmentation(base.NoCells):
    """See the module. Implements :class:`~mpsearch.scoring.decoders.base.Segments`.

    Args:
        axis: of the classes, counted in the output; None for a map without that axis.
        cut: a binary score from which on a pixel is of class 1.
    """

    name = NAME

    def __init__(
        self,
        output: str,
        size: tuple[int, int],
        kind: str,
        axis: int | None,
        cut: float,
        labels: tuple[str, ...],
        options: Mapping[str, Any],
    ) -> None:
        self.options, self.labels = options, labels
        self._output, self._size, self._kind, self._axis, self._cut = output, size, kind, axis, cut

    @property
    def classes(self) -> int:
        return len(self.labels)

    def class_map(self, outputs: Outputs) -> Index:
        if self._output not in outputs:
            return np.zeros((base.batch_of(outputs), *self._size), np.int64)
        values: NDArray[np.float32] = outputs[self._output]
        if self._kind == "scores":
            return np.asarray(values.argmax(axis=self._axis), np.int64)
        plane = np.asarray(values if self._axis is None else values.take(0, axis=self._axis))
        found = plane > self._cut if self._kind == "binary" else np.rint(plane)
        return np.asarray(found, np.int64)


def create(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder:
    """Options: ``output`` (where the model has several), ``map`` (``auto``, ``scores``, ``binary`` or ``classes``),
    ``classes`` (needed for a map of classes), ``labels``.

    Raises:
        ConfigError: no such output, or wrong options.
    """
    base.check_names(NAME, options, ("output", "map", "classes", "labels"))
    kind = options.get("map", "auto")
    if kind not in KINDS:
        raise ConfigError(f"decoder {NAME}: map {kind!r} is none of {', '.join(KINDS)}")
    output = _output(graph, options)
    shape = base.shapes(graph)[output]
    axis, size = _layout(graph, shape)
    channels = 1 if axis is None else shape[axis]
    if kind == "auto":
        integer = base.activated(graph, output, ("ArgMax",))
        kind = "scores" if channels > 1 else "classes" if integer else "binary"
    asked = dense.read_count(NAME, "classes", options)
    labels = options.get("labels")
    classes = {"scores": channels, "binary": 2}.get(kind) or asked or (len(labels) if labels else 0)
    if not classes or (asked or classes) != classes or (kind != "scores" and channels > 1):
        raise base.misfit(NAME, graph, f"map {kind!r} with {asked or 'a stated number of'} classes (`classes:`)")
    names = dense.read_labels(NAME, options, classes)
    probable = base.activated(graph, output, ("Sigmoid",))
    stated = {"output": output, "map": kind, "classes": classes, "labels": list(names)}
    return Segmentation(output, size, kind, axis, 0.5 if probable else 0.0, names, stated)


def _output(graph: ModelGraph, options: Mapping[str, Any]) -> str:
    fits = [name for name, shape in base.shapes(graph).items() if len(shape) in (3, 4)]
    given = options.get("output")
    if given in fits:
        return str(given)
    if given is not None or len(fits) != 1:
        raise base.misfit(NAME, graph, "one output 1xCxhxw, 1xhxwxC or 1xhxw (with several, say `output:`)")
    return fits[0]


def _layout(graph: ModelGraph, shape: tuple[int, ...]) -> tuple[int | None, tuple[int, int]]:
    """Axis of the classes, height and width. The pixels' axes are those with the input's aspect."""
    if len(shape) == 3:
        return None, (shape[1], shape[2])
    height, width = base.input_size(graph)
    first = shape[2] * width == shape[3] * height
    last = shape[1] * width == shape[2] * height
    return (3, (shape[1], shape[2])) if last and not first else (1, (shape[2], shape[3]))
