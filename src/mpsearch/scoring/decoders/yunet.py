"""YuNet: per stride ``cls 1 x n x 1``, ``obj 1 x n x 1``, ``bbox 1 x n x 4``, ``kps 1 x n x 2*points``, no anchors.

Formulas: OpenCV, ``modules/objdetect/src/face_detect.cpp`` (postProcess). Class and objectness are probabilities and
enter as a product, so which is which does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base
from mpsearch.scoring.decoders.base import Decoder, Float64, Head, Index, Outputs

NAME = "yunet"
DEFAULT_STRIDES = (8, 16, 32)


@dataclass(frozen=True, slots=True)
class Level:
    """The outputs of one stride, which is in px, and its size in cells."""

    stride: int
    height: int
    width: int
    probabilities: tuple[str, str]
    bbox: str
    kps: str

    @property
    def outputs(self) -> tuple[str, ...]:
        return (*self.probabilities, self.bbox, self.kps)


class YuNet:
    """See the module. Cell ids count strides, rows, columns; a stride without one of its outputs is absent."""

    name = NAME
    anchored = True

    def __init__(self, levels: tuple[Level, ...], points: int, threshold: float, options: Mapping[str, Any]) -> None:
        self.threshold = threshold
        self.points = points
        self.eyes = (0, 1) if points == 5 else None
        self.options = options
        self._levels = levels
        heads: list[Head] = []
        for level in levels:
            heads.append(Head(level.outputs, base.cell_count(heads), level.height * level.width))
        self.heads = tuple(heads)

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        found = np.zeros((base.batch_of(outputs), base.cell_count(self.heads)), np.float32)
        for level, head in zip(self._levels, self.heads, strict=True):
            if head.present(outputs):
                one, other = (np.clip(outputs[name][..., 0], 0, 1) for name in level.probabilities)
                found[:, head.first : head.first + head.cells] = np.sqrt(one * other)
        return found

    def decode(self, outputs: Outputs, images: Index, cells: Index) -> tuple[Float64, Float64]:
        boxes = np.empty((len(cells), 4))
        landmarks = np.empty((len(cells), self.points, 2))
        heads = base.head_of(self.heads, cells)
        for index in np.unique(heads):
            level, mine = self._levels[index], heads == index
            local = cells[mine] - self.heads[index].first
            place = np.stack([local % level.width, local // level.width], axis=1)
            bbox = outputs[level.bbox][images[mine], local].astype(np.float64)
            size = np.exp(np.clip(bbox[:, 2:], None, base.EXPONENT_LIMIT)) * level.stride
            boxes[mine] = base.corners((bbox[:, :2] + place) * level.stride, size)
            offsets = outputs[level.kps][images[mine], local].astype(np.float64)
            landmarks[mine] = (offsets.reshape(-1, self.points, 2) + place[:, None]) * level.stride
        return boxes, landmarks


def create(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder:
    """Options: ``threshold`` (0.5), ``strides`` ([8, 16, 32]). Outputs are told apart by their shapes.

    Raises:
        ConfigError: the outputs of a stride are missing or not unique, or wrong options.
    """
    base.check_names(NAME, options, ("threshold", "strides"))
    threshold = base.read_threshold(NAME, options, 0.5)
    strides = tuple(int(s) for s in base.read_numbers(NAME, "strides", options.get("strides", DEFAULT_STRIDES)))
    levels = tuple(_level(graph, stride) for stride in strides)
    points = {graph.tensors[level.kps].shape[-1] // 2 for level in levels}
    if len(points) != 1:
        raise base.misfit(NAME, graph, "the same number of points at every stride")
    stated = {"threshold": threshold, "strides": list(strides)}
    return YuNet(levels, points.pop(), threshold, stated)


def _level(graph: ModelGraph, stride: int) -> Level:
    height, width = base.input_size(graph)
    rows, columns = height // stride, width // stride
    by_last: dict[int, list[str]] = {}
    for name, shape in base.shapes(graph).items():
        if len(shape) == 3 and shape[1] == rows * columns:
            by_last.setdefault(shape[2], []).append(name)
    one, four = by_last.pop(1, []), by_last.pop(4, [])
    rest = [name for last, names in by_last.items() if last >= 6 and last % 2 == 0 for name in names]
    if (len(one), len(four), len(rest)) != (2, 1, 1):
        cells = rows * columns
        raise base.misfit(
            NAME,
            graph,
            f"at stride {stride} cls and obj 1x{cells}x1, bbox 1x{cells}x4, kps 1x{cells}x(2*points)",
        )
    return Level(stride, rows, columns, (one[0], one[1]), four[0], rest[0])
