"""NanoDet: per stride scores ``1 x n x classes`` and distances ``1 x n x 4*bins``; or NanoDet-Plus, all strides in one
output ``1 x N x (classes + 4*bins)``.

Formulas: nanodet, ``model/head/gfl_head.py`` (centres half a stride in) and ``nanodet_plus_head.py`` (at the corner).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base, dense
from mpsearch.scoring.decoders.base import Decoder
from mpsearch.scoring.decoders.dense import DenseBoxes, Level, Part

NAME = "nanodet"
STRIDES = (8, 16, 32)
PLUS_STRIDES = (8, 16, 32, 64)
BINS = 8


def create(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder:
    """Options: ``threshold`` (0.4), ``strides`` ([8, 16, 32]; of NanoDet-Plus [8, 16, 32, 64]), ``bins`` (8),
    ``scores`` (``auto``, ``probabilities`` or ``logits``), ``labels``.

    Raises:
        ConfigError: outputs that do not fit, or wrong options.
    """
    base.check_names(NAME, options, ("threshold", "strides", "bins", "scores", "labels"))
    threshold = base.read_threshold(NAME, options, 0.4)
    bins = dense.read_count(NAME, "bins", options) or BINS
    joined = len(graph.outputs) == 1
    strides = dense.read_strides(NAME, options, PLUS_STRIDES if joined else STRIDES)
    levels = _joined(graph, strides, bins) if joined else [_level(graph, stride, bins) for stride in strides]
    classes = {level.scores.channels for level in levels}
    if len(classes) != 1:
        raise base.misfit(NAME, graph, "the same number of classes at every stride")
    labels = dense.read_labels(NAME, options, classes.pop())
    logits = dense.read_logits(NAME, options, graph, levels[0].scores.output)
    stated = {
        "threshold": threshold,
        "strides": list(strides),
        "bins": bins,
        "scores": "logits" if logits else "probabilities",
        "labels": list(labels),
    }
    offset = 0.0 if joined else dense.OFFSET
    return DenseBoxes(
        NAME, levels, stated, threshold=threshold, labels=labels, logits=logits, bins=bins, offset=offset
    )  # fmt: skip


def _level(graph: ModelGraph, stride: int, bins: int) -> Level:
    rows, columns = dense.grid(graph, stride)
    cells = rows * columns
    fits = {name: shape[2] for name, shape in base.shapes(graph).items() if len(shape) == 3 and shape[1] == cells}
    boxes = [name for name, channels in fits.items() if channels == 4 * bins]
    if len(boxes) == 2:  # as many classes as bins of four sides: the scores are those behind a Sigmoid
        boxes = [name for name in boxes if not base.activated(graph, name, ("Sigmoid",))]
    scores = [name for name in fits if name not in boxes]
    if len(boxes) != 1 or len(scores) != 1:
        raise base.misfit(
            NAME, graph, f"at stride {stride} scores 1x{cells}xclasses and distances 1x{cells}x{4 * bins}"
        )
    return Level(
        Part(scores[0], True, 0, fits[scores[0]], 0, cells), Part(boxes[0], True, 0, 4 * bins, 0, cells), None,
        stride, columns,
    )  # fmt: skip


def _joined(graph: ModelGraph, strides: tuple[int, ...], bins: int) -> list[Level]:
    grids = [dense.grid(graph, stride) for stride in strides]
    total = sum(rows * columns for rows, columns in grids)
    name = graph.outputs[0]
    shape = base.shapes(graph)[name]
    if len(shape) != 3 or shape[1] != total or shape[2] <= 4 * bins:
        raise base.misfit(NAME, graph, f"one output 1x{total}x(classes + {4 * bins}) for strides {list(strides)}")
    classes = shape[2] - 4 * bins
    levels, first = [], 0
    for stride, (rows, columns) in zip(strides, grids, strict=True):
        cells = rows * columns
        scores = Part(name, True, 0, classes, first, cells)
        levels.append(Level(scores, Part(name, True, classes, 4 * bins, first, cells), None, stride, columns))
        first += cells
    return levels
