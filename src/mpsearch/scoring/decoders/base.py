"""What a decoder is, and the helpers that all of them share."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph

Outputs = Mapping[str, NDArray[np.float32]]
Index = NDArray[np.int64]
Float64 = NDArray[np.float64]

_MOVES = frozenset({"Reshape", "Transpose", "Concat", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Cast", "Resize"})

EXPONENT_LIMIT = 10.0
"""Sizes are exp(raw): beyond e^10 times its prior a box is nonsense, and without a limit it would be infinite."""


@dataclass(frozen=True, slots=True)
class Head:
    """Cells that stand or fall together.

    Attributes:
        outputs: the model outputs that these cells are read from; when one of them is dropped, so are the cells.
        first: id of the first cell.
        cells: how many.
    """

    outputs: tuple[str, ...]
    first: int
    cells: int

    def present(self, outputs: Iterable[str]) -> bool:
        """Whether all its outputs are among ``outputs``."""
        return set(self.outputs) <= set(outputs)


class Decoder(Protocol):
    """Turns complete model outputs into predictions, one a *cell* (grid position and anchor, or prior).

    A cell's id is its place in the complete model, so it stays the same when other outputs are dropped. Outputs are
    ``[N, ...]`` float32 with the model's own shape behind the first axis; a dropped output is absent.
    """

    @property
    def name(self) -> str: ...

    @property
    def threshold(self) -> float:
        """Score from which on a cell is a face; above 0."""

    @property
    def heads(self) -> tuple[Head, ...]:
        """All cells, in the order of their ids; empty for a decoder that knows neither faces nor objects."""

    @property
    def points(self) -> int:
        """Landmarks a face; 0 for objects that are boxes only."""

    @property
    def eyes(self) -> tuple[int, int] | None:
        """The two landmarks whose distance normalises ``nme``: the outer points of the eyes; None where unknown."""

    @property
    def anchored(self) -> bool:
        """Whether a cell means the same place in every run. False where the model sorts its own detections; then
        the matched error takes the place of the cell error."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Every option with its value in force; plain data, for messages and digests."""

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        """``[N, all cells]``, 0 for the cells of an absent head."""

    def decode(self, outputs: Outputs, images: Index, cells: Index) -> tuple[Float64, Float64]:
        """Boxes xyxy ``[k, 4]`` and landmarks ``[k, points, 2]`` in network px of ``cells``  # [k]  in photographs
        ``images``  # [k]  of this batch; their heads must be present."""


@runtime_checkable
class Classifies(Protocol):
    """A decoder that tells classes apart."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class, ``""`` where unknown."""

    def classify(self, outputs: Outputs, images: Index, cells: Index) -> Index:
        """``[k]`` class of each of ``cells``, see :meth:`Decoder.decode`."""


@runtime_checkable
class Segments(Protocol):
    """A decoder whose task is a class for every pixel. Has no heads."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class, ``""`` where unknown."""

    @property
    def classes(self) -> int:
        """How many."""

    def class_map(self, outputs: Outputs) -> Index:
        """``[N, height, width]``; all of class 0 where the map's output is absent."""


class NoCells:
    """The part of :class:`Decoder` that a decoder without faces has to have."""

    threshold = 1.0
    points = 0
    eyes: tuple[int, int] | None = None
    anchored = True
    heads: tuple[Head, ...] = ()

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        return np.zeros((batch_of(outputs), 0), np.float32)

    def decode(self, outputs: Outputs, images: Index, cells: Index) -> tuple[Float64, Float64]:
        return np.zeros((len(cells), 4)), np.zeros((len(cells), 0, 2))


def cell_count(heads: Sequence[Head]) -> int:
    return sum(head.cells for head in heads)


def head_of(heads: Sequence[Head], cells: Index) -> Index:
    """``[k]`` index into ``heads`` for each of ``cells``."""
    return np.searchsorted([head.first for head in heads], cells, side="right") - 1


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """``1 / (1 + exp(-x))``, in the type of ``x``; exact at both ends where exp would overflow."""
    half: NDArray[Any] = np.tanh(x * np.float32(0.5))
    half *= np.float32(0.5)
    half += np.float32(0.5)
    return half


def corners(centre: Float64, size: Float64) -> Float64:
    """Centres ``[k, 2]`` and sizes ``[k, 2]`` to xyxy ``[k, 4]``."""
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def batch_of(outputs: Outputs) -> int:
    """Photographs in the batch."""
    return len(next(iter(outputs.values()))) if outputs else 0


def input_size(graph: ModelGraph) -> tuple[int, int]:
    """Height and width of the model's input."""
    return graph.tensors[graph.inputs[0]].shape[-2], graph.tensors[graph.inputs[0]].shape[-1]


def shapes(graph: ModelGraph) -> dict[str, tuple[int, ...]]:
    """Model output -> shape, in the model's order."""
    return {name: graph.tensors[name].shape for name in graph.outputs}


def activated(graph: ModelGraph, tensor: str, by: Collection[str]) -> bool:
    """Whether an operation of ``by`` is in front of ``tensor``, behind nodes that only move data."""
    todo = [tensor]
    while todo:
        name = graph.producer.get(todo.pop())
        if name is None:
            continue
        node = graph.node[name]
        if node.op_type in by:
            return True
        if node.op_type in _MOVES:
            todo.extend(node.inputs)
    return False


def misfit(decoder: str, graph: ModelGraph, expected: str) -> ConfigError:
    """The error for a model that the decoder cannot read."""
    has = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes(graph).items())
    height, width = input_size(graph)
    return ConfigError(
        f"decoder {decoder}: {graph.path.name} does not fit: expected {expected}; "
        f"the model has an input of {height}x{width} and outputs {has}",
        hint="Choose another decoder, or set its options (docs/decoders.md).",
    )


def check_names(decoder: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises:
    ConfigError: an option that the decoder has not.
    """
    names = sorted(known)
    for option in options:
        if option not in names:
            near = difflib.get_close_matches(str(option), names, 1)
            raise ConfigError(
                f"decoder {decoder}: no option {option!r}" + (f"; nearest: {near[0]!r}" if near else ""),
                hint=f"Options: {', '.join(names) or 'none'}",
            )


def read_threshold(decoder: str, options: Mapping[str, Any], default: float) -> float:
    """The option ``threshold``, in (0, 1)."""
    (value,) = read_numbers(decoder, "threshold", [options.get("threshold", default)], count=1)
    if not 0 < value < 1:
        raise ConfigError(f"decoder {decoder}: threshold {value} must lie between 0 and 1")
    return value


def read_numbers(decoder: str, option: str, value: Any, *, count: int | None = None) -> tuple[float, ...]:
    """A list of positive numbers.

    Raises:
        ConfigError: something else, or not ``count`` of them.
    """
    good = isinstance(value, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) and v > 0 for v in value
    )
    if not good or not value or (count is not None and len(value) != count):
        wanted = f"{count} positive number(s)" if count else "a list of positive numbers"
        raise ConfigError(f"decoder {decoder}: {option} must be {wanted}, got {value!r}")
    return tuple(float(v) for v in value)


def read_per_stride(decoder: str, option: str, value: Any) -> dict[int, tuple[float, ...]]:
    """A mapping stride -> list of positive numbers, sorted by stride; keys may be text, as in JSON."""
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(f"decoder {decoder}: {option} must map strides to lists of numbers, got {value!r}")
    read: dict[int, tuple[float, ...]] = {}
    for key, numbers in value.items():
        if not str(key).isdigit() or int(key) < 1:
            raise ConfigError(f"decoder {decoder}: {option}: stride {key!r} must be a positive whole number")
        read[int(key)] = read_numbers(decoder, f"{option}[{key}]", numbers)
    return dict(sorted(read.items()))
