"""Boxes of any class from dense heads: what YOLOv6, YOLOv8, NanoDet and their like have in common.

A head is a grid of cells, each with scores for the classes and a box: distances from the cell's centre to its four
sides, plain or as a distribution over bins (Generalized Focal Loss, arXiv 2006.04388, eq. 6), or corners in px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base
from mpsearch.scoring.decoders.base import Float64, Head, Index, Outputs
from mpsearch.scoring.decoders.labels import COCO

OFFSET = 0.5
"""Where a cell's centre lies, in strides from its corner."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some channels of some cells of an output.

    Attributes:
        rows: the layout is ``[N, cells, channels]``; else ``[N, channels, ...cells]``.
        channel, channels: the first, and how many.
        cell, cells: likewise.
    """

    output: str
    rows: bool
    channel: int
    channels: int
    cell: int
    cells: int

    def _flat(self, outputs: Outputs) -> NDArray[np.float32]:
        values = outputs[self.output]
        return values if self.rows else values.reshape(len(values), values.shape[1], -1)

    def highest(self, outputs: Outputs) -> NDArray[np.float32]:
        """``[N, cells]`` the largest channel of each cell."""
        values = self._flat(outputs)
        cells = slice(self.cell, self.cell + self.cells)
        channels = slice(self.channel, self.channel + self.channels)
        part = values[:, cells, channels] if self.rows else values[:, channels, cells]
        best: NDArray[np.float32] = part.max(axis=2 if self.rows else 1)
        return best

    def at(self, outputs: Outputs, images: Index, cells: Index) -> Float64:
        """``[k, channels]`` of ``cells``, counted from the first of this part."""
        values, where = self._flat(outputs), cells + self.cell
        chosen = values[images, where] if self.rows else values[images, :, where]
        return chosen[:, self.channel : self.channel + self.channels].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Level:
    """One grid.

    Attributes:
        scores: a channel for each class.
        boxes: ``4 * bins`` channels of distances left, top, right, bottom in strides; or 4 of a box in px.
        objectness: multiplies the scores; None where there is none.
        stride: in px; 0 where boxes are in px.
        width: of the grid, in cells.
    """

    scores: Part
    boxes: Part
    objectness: Part | None
    stride: int
    width: int

    @property
    def outputs(self) -> tuple[str, ...]:
        parts = (self.scores, self.boxes, *((self.objectness,) if self.objectness else ()))
        return tuple(dict.fromkeys(part.output for part in parts))


class DenseBoxes:
    """See the module. Implements :class:`~mpsearch.scoring.decoders.base.Classifies` too.

    Args:
        logits: scores (and objectness) need a sigmoid.
        bins: of each distance; 1 for plain ones.
        offset: of a cell's centre, in strides.
        coding: of boxes in px: ``"cxcywh"`` or ``"xyxy"``.
    """

    points = 0
    eyes: tuple[int, int] | None = None

    def __init__(
        self,
        name: str,
        levels: Sequence[Level],
        options: Mapping[str, Any],
        *,
        threshold: float,
        labels: tuple[str, ...],
        logits: bool,
        bins: int = 1,
        offset: float = OFFSET,
        coding: str = "cxcywh",
        anchored: bool = True,
    ) -> None:
        self.name, self.options, self.threshold, self.labels = name, options, threshold, labels
        self.anchored = anchored
        self._levels, self._logits, self._bins = tuple(levels), logits, bins
        self._offset, self._coding = offset, coding
        heads: list[Head] = []
        for level in levels:
            heads.append(Head(level.outputs, base.cell_count(heads), level.scores.cells))
        self.heads = tuple(heads)

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        found = np.zeros((base.batch_of(outputs), base.cell_count(self.heads)), np.float32)
        for level, head in zip(self._levels, self.heads, strict=True):
            if head.present(outputs):
                score = self._probability(level.scores.highest(outputs))
                if level.objectness is not None:
                    score = score * self._probability(level.objectness.highest(outputs))
                found[:, head.first : head.first + head.cells] = score
        return found

    def classify(self, outputs: Outputs, images: Index, cells: Index) -> Index:
        found = np.zeros(len(cells), np.int64)
        for level, mine, local in self._split(cells):
            found[mine] = level.scores.at(outputs, images[mine], local).argmax(axis=1)
        return found

    def decode(self, outputs: Outputs, images: Index, cells: Index) -> tuple[Float64, Float64]:
        boxes = np.empty((len(cells), 4))
        for level, mine, local in self._split(cells):
            raw = level.boxes.at(outputs, images[mine], local)
            if level.stride:
                centre = (np.stack([local % level.width, local // level.width], axis=1) + self._offset) * level.stride
                sides = distances(raw, self._bins) * level.stride
                boxes[mine] = np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], axis=1)
            else:
                boxes[mine] = base.corners(raw[:, :2], raw[:, 2:]) if self._coding == "cxcywh" else raw
        return boxes, np.zeros((len(cells), 0, 2))

    def _probability(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return base.sigmoid(values) if self._logits else np.clip(values, 0, 1)

    def _split(self, cells: Index) -> list[tuple[Level, NDArray[np.bool_], Index]]:
        """Level, which of ``cells`` are its own, and those counted from its first."""
        heads = base.head_of(self.heads, cells)
        return [
            (self._levels[index], heads == index, cells[heads == index] - self.heads[index].first)
            for index in np.unique(heads)
        ]


def distances(raw: Float64, bins: int) -> Float64:
    """``[k, 4 * bins]`` to ``[k, 4]``: with several bins, the mean of their numbers 0 ... bins - 1 under a softmax."""
    if bins == 1:
        return raw
    parts = raw.reshape(len(raw), 4, bins)
    power = np.exp(parts - parts.max(axis=2, keepdims=True))
    mean: Float64 = (power @ np.arange(bins, dtype=np.float64)) / power.sum(axis=2)
    return mean


def read_labels(decoder: str, options: Mapping[str, Any], classes: int) -> tuple[str, ...]:
    """The option ``labels``: a list with a name for each class; without it COCO's names for 80 classes, else none.

    Raises:
        ConfigError: not a list of names, or not one for each class.
    """
    given = options.get("labels")
    if given is None:
        return COCO if classes == len(COCO) else ("",) * classes
    if not isinstance(given, list | tuple) or not all(isinstance(label, str) for label in given):
        raise ConfigError(f"decoder {decoder}: labels must be a list of names, got {given!r}")
    if len(given) != classes:
        raise ConfigError(f"decoder {decoder}: {len(given)} labels for {classes} classes")
    return tuple(given)


def read_logits(decoder: str, options: Mapping[str, Any], graph: ModelGraph, tensor: str) -> bool:
    """The option ``scores``: ``logits`` or ``probabilities``; ``auto`` looks for a Sigmoid in front of ``tensor``."""
    given = options.get("scores", "auto")
    if given not in ("auto", "logits", "probabilities"):
        raise ConfigError(f"decoder {decoder}: scores {given!r} is none of auto, logits, probabilities")
    return given == "logits" or (given == "auto" and not base.activated(graph, tensor, ("Sigmoid",)))


def read_count(decoder: str, option: str, options: Mapping[str, Any]) -> int | None:
    """A whole number above 0, or None where it is not given."""
    value = options.get(option)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigError(f"decoder {decoder}: {option} must be a whole number above 0, got {value!r}")
    return value


def read_strides(decoder: str, options: Mapping[str, Any], default: Sequence[int]) -> tuple[int, ...]:
    """The option ``strides``."""
    return tuple(int(s) for s in base.read_numbers(decoder, "strides", options.get("strides", list(default))))


def grid(graph: ModelGraph, stride: int) -> tuple[int, int]:
    """Rows and columns of cells at ``stride``."""
    height, width = base.input_size(graph)
    return -(-height // stride), -(-width // stride)
