"""YOLOv5-face: raw heads ``1 x A*C x H x W``, or heads behind their Reshape and Transpose ``1 x A x H x W x C``.

``C = 6 + 2 * points``: cx cy w h, objectness, landmarks, class. Formulas: yolov5-face, ``models/yolo.py`` (Detect).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base
from mpsearch.scoring.decoders.base import Decoder, Float64, Head, Index, Outputs

NAME = "yolov5-face"
DEFAULT_ANCHORS = {
    8: (4.0, 5.0, 8.0, 10.0, 13.0, 16.0),
    16: (23.0, 29.0, 43.0, 55.0, 73.0, 105.0),
    32: (146.0, 217.0, 231.0, 300.0, 335.0, 433.0),
}
"""Stride -> widths and heights in turn, px; as yolov5-face is trained with them."""
FIXED_CHANNELS = 6


@dataclass(frozen=True, slots=True)
class Grid:
    """One head: its output, stride in px, anchors ``[A, 2]`` in px, size in cells."""

    output: str
    stride: int
    anchors: Float64
    height: int
    width: int
    channels: int
    raw: bool

    @property
    def cells(self) -> int:
        return len(self.anchors) * self.height * self.width

    def split(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[N, A, C, H, W]`` view of the output, whichever layout it has."""
        if self.raw:
            return values.reshape(-1, len(self.anchors), self.channels, self.height, self.width)
        return values.transpose(0, 1, 4, 2, 3)


class Yolov5Face:
    """See the module. Cell ids count heads in the model's order, then anchors, rows, columns: both layouts agree."""

    name = NAME
    anchored = True

    def __init__(self, grids: tuple[Grid, ...], threshold: float, anchors: Mapping[int, tuple[float, ...]]) -> None:
        self.threshold = threshold
        self.points = (grids[0].channels - FIXED_CHANNELS) // 2
        self.eyes = (0, 1) if self.points == 5 else None
        self.options = {"threshold": threshold, "anchors": {str(k): list(v) for k, v in anchors.items()}}
        self._grids = grids
        heads: list[Head] = []
        for grid in grids:
            heads.append(Head((grid.output,), base.cell_count(heads), grid.cells))
        self.heads = tuple(heads)

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        found = np.zeros((base.batch_of(outputs), base.cell_count(self.heads)), np.float32)
        for grid, head in zip(self._grids, self.heads, strict=True):
            if head.present(outputs):
                values = grid.split(outputs[grid.output])
                score = base.sigmoid(values[:, :, 4]) * base.sigmoid(values[:, :, -1])
                found[:, head.first : head.first + head.cells] = score.reshape(len(score), -1)
        return found

    def decode(self, outputs: Outputs, images: Index, cells: Index) -> tuple[Float64, Float64]:
        boxes = np.empty((len(cells), 4))
        landmarks = np.empty((len(cells), self.points, 2))
        heads = base.head_of(self.heads, cells)
        for index in np.unique(heads):
            grid, mine = self._grids[index], heads == index
            shape = (len(grid.anchors), grid.height, grid.width)
            anchor, y, x = np.unravel_index(cells[mine] - self.heads[index].first, shape)
            raw = grid.split(outputs[grid.output])[images[mine], anchor, :, y, x].astype(np.float64)
            place, size = np.stack([x, y], axis=1), grid.anchors[anchor]
            centre = (2 * base.sigmoid(raw[:, 0:2]) - 0.5 + place) * grid.stride
            boxes[mine] = base.corners(centre, (2 * base.sigmoid(raw[:, 2:4])) ** 2 * size)
            offsets = raw[:, 5 : 5 + 2 * self.points].reshape(-1, self.points, 2)
            landmarks[mine] = offsets * size[:, None] + place[:, None] * grid.stride
        return boxes, landmarks


def create(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder:
    """Options: ``threshold`` (0.4), ``anchors`` (stride -> widths and heights, px). Strides come from the shapes;
    outputs of other shapes are not read.

    Raises:
        ConfigError: no head among the outputs, two of the same stride, or wrong options.
    """
    base.check_names(NAME, options, ("threshold", "anchors"))
    anchors = base.read_per_stride(NAME, "anchors", options.get("anchors", DEFAULT_ANCHORS))
    for stride, values in anchors.items():
        if len(values) % 2:
            raise ConfigError(f"decoder {NAME}: anchors[{stride}] must be widths and heights in turn: {values}")
    found = (_grid(name, shape, graph, anchors) for name, shape in base.shapes(graph).items())
    grids = tuple(grid for grid in found if grid is not None)
    alike = {(grid.channels, grid.raw) for grid in grids}
    if len(alike) != 1 or len({grid.stride for grid in grids}) != len(grids):
        sizes = ", ".join(f"stride {stride}: {len(values) // 2} anchors" for stride, values in anchors.items())
        raise base.misfit(
            NAME,
            graph,
            "one head a stride, all alike, 1 x A*(6+2*points) x H x W or 1 x A x H x W x (6+2*points) "
            f"with at least one point ({sizes})",
        )
    return Yolov5Face(grids, base.read_threshold(NAME, options, 0.4), anchors)


def _grid(
    name: str, shape: tuple[int, ...], graph: ModelGraph, anchors: Mapping[int, tuple[float, ...]]
) -> Grid | None:
    """The head that an output of this shape is, or None."""
    if len(shape) not in (4, 5):
        return None
    raw = len(shape) == 4
    rows, columns = shape[-2:] if raw else shape[2:4]
    height, width = base.input_size(graph)
    stride = height // rows
    if stride not in anchors or (rows * stride, columns * stride) != (height, width):
        return None
    sizes = np.asarray(anchors[stride]).reshape(-1, 2)
    channels, rest = divmod(shape[1], len(sizes)) if raw else (shape[4], shape[1] - len(sizes))
    if rest or channels <= FIXED_CHANNELS or channels % 2:
        return None
    return Grid(name, stride, sizes, rows, columns, channels, raw)
