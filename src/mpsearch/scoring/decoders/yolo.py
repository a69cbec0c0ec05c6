"""YOLOv6 and YOLOv8 (and what is exported like them): raw heads, or all boxes in one output.

Raw heads, per stride ``s`` with ``h x w = H/s x W/s`` cells: distances ``1 x 4*bins x h x w`` and scores
``1 x classes x h x w``, apart or joined as ``1 x (4*bins [+ 1] + classes) x h x w``. All in one:
``1 x (4 [+ 1] + classes) x N`` or ``1 x N x (4 [+ 1] + classes)`` with boxes in px. Formulas: YOLOv6,
``yolov6/models/effidehead.py``; ultralytics, ``nn/modules/head.py`` (Detect); luxonis tools, ``yolo/detect_head.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base, dense
from mpsearch.scoring.decoders.base import Decoder
from mpsearch.scoring.decoders.dense import DenseBoxes, Level, Part
from mpsearch.scoring.decoders.labels import COCO

NAME = "yolo"
STRIDES = (8, 16, 32)
V8_BINS = 16
"""Bins of each distance that YOLOv6 and YOLOv8 are trained with where they use a distribution."""
OBJECTNESS = ("auto", "none", "multiply", "ignore")
OPTIONS = ("threshold", "strides", "classes", "bins", "objectness", "boxes", "scores", "labels")


@dataclass(frozen=True, slots=True)
class Channels:
    """What the channels of a joined output are: boxes, then objectness where there is one, then scores."""

    boxes: int
    extra: int
    classes: int

    @property
    def bins(self) -> int:
        return self.boxes // 4


def create(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder:
    """Options: ``threshold`` (0.4), ``strides`` ([8, 16, 32]), ``classes`` and ``bins`` (told from the channels where
    they leave no doubt), ``objectness`` (``none``, ``multiply`` or ``ignore``), ``boxes`` (``cxcywh`` or ``xyxy``, of
    boxes in px), ``scores`` (``auto``, ``probabilities`` or ``logits``), ``labels``.

    Raises:
        ConfigError: outputs that do not fit or leave doubt, or wrong options.
    """
    base.check_names(NAME, options, OPTIONS)
    for option, known in (("objectness", OBJECTNESS), ("boxes", ("cxcywh", "xyxy"))):
        if options.get(option, known[0]) not in known:
            raise ConfigError(f"decoder {NAME}: {option} {options[option]!r} is none of {', '.join(known)}")
    threshold = base.read_threshold(NAME, options, 0.4)
    strides = dense.read_strides(NAME, options, STRIDES)
    cells = sum(rows * columns for rows, columns in (dense.grid(graph, stride) for stride in strides))
    flat = [name for name, shape in base.shapes(graph).items() if len(shape) == 3]
    anchored = True
    if len(flat) == 1 and len(graph.outputs) == 1:
        levels, objectness = [_concatenated(graph, flat[0], options)], _objectness(options, "multiply")
        anchored = levels[0].scores.cells % cells == 0  # rows that the model sorted itself are any number
    else:
        levels, objectness = [_raw(graph, stride, options) for stride in strides], _objectness(options, "ignore")
    kinds = {(level.scores.channels, level.boxes.channels, level.objectness is None) for level in levels}
    if len(kinds) != 1:
        raise base.misfit(NAME, graph, "heads with the same channels at every stride")
    classes, box_channels, _ = kinds.pop()
    if objectness == "ignore":
        levels = [Level(level.scores, level.boxes, None, level.stride, level.width) for level in levels]
    labels = dense.read_labels(NAME, options, classes)
    logits = dense.read_logits(NAME, options, graph, levels[0].scores.output)
    bins = box_channels // 4
    stated = {
        "threshold": threshold,
        "strides": list(strides),
        "classes": classes,
        "bins": bins,
        "objectness": objectness if any(level.objectness for level in levels) else "none",
        "boxes": options.get("boxes", "cxcywh"),
        "scores": "logits" if logits else "probabilities",
        "labels": list(labels),
    }
    return DenseBoxes(
        NAME, levels, stated, threshold=threshold, labels=labels, logits=logits, bins=bins,
        coding=stated["boxes"], anchored=anchored,
    )  # fmt: skip


def _objectness(options: Mapping[str, Any], default: str) -> str:
    given: str = options.get("objectness", "auto")
    return default if given == "auto" else given


def _concatenated(graph: ModelGraph, name: str, options: Mapping[str, Any]) -> Level:
    """All cells as one level with boxes in px; the shorter side holds the channels."""
    _, a, b = base.shapes(graph)[name]
    rows = a > b
    cells, channels = (a, b) if rows else (b, a)
    found = _channels(graph, channels, options, boxes=4, with_objectness=rows)
    objectness = Part(name, rows, 4, 1, 0, cells) if found.extra else None
    scores = Part(name, rows, 4 + found.extra, found.classes, 0, cells)
    return Level(scores, Part(name, rows, 0, 4, 0, cells), objectness, 0, cells)


def _raw(graph: ModelGraph, stride: int, options: Mapping[str, Any]) -> Level:
    rows, columns = dense.grid(graph, stride)
    cells = rows * columns
    fits = {n: s[1] for n, s in base.shapes(graph).items() if len(s) == 4 and s[2:] == (rows, columns)}

    def part(name: str, first: int, channels: int) -> Part:
        return Part(name, False, first, channels, 0, cells)

    if len(fits) == 1:
        ((name, channels),) = fits.items()
        given = dense.read_count(NAME, "bins", options)
        wide = given or (V8_BINS if channels > 4 * V8_BINS and channels != len(COCO) + 5 else 1)
        found = _channels(graph, channels, options, boxes=4 * wide, with_objectness=channels == len(COCO) + 5)
        objectness = part(name, found.boxes, 1) if found.extra else None
        scores = part(name, found.boxes + found.extra, found.classes)
        return Level(scores, part(name, 0, found.boxes), objectness, stride, columns)
    single = [name for name, channels in fits.items() if channels == 1] if len(fits) == 3 else []
    pair = [name for name in fits if name not in single]
    chosen = _reg_and_cls(fits, pair, options)
    if len(pair) != 2 or chosen is None or len(single) > 1:
        raise base.misfit(
            NAME, graph,
            f"one output with all boxes; or at stride {stride} (cells {rows}x{columns}) one head of 4*bins + classes "
            "channels, or distances and scores apart (say `classes:` or `bins:` where both could be either)",
        )  # fmt: skip
    boxes, scores_of = chosen
    objectness = part(single[0], 0, 1) if single else None
    return Level(part(scores_of, 0, fits[scores_of]), part(boxes, 0, fits[boxes]), objectness, stride, columns)


def _reg_and_cls(fits: Mapping[str, int], pair: list[str], options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which of two outputs holds distances and which scores; None where it cannot be told."""
    classes, bins = dense.read_count(NAME, "classes", options), dense.read_count(NAME, "bins", options)
    wide = {4 * bins} if bins else {4, 4 * V8_BINS, 4 * (V8_BINS + 1)}
    orders = [
        (boxes, scores)
        for boxes, scores in (tuple(pair), tuple(reversed(pair)))
        if fits[boxes] in wide and (classes is None or fits[scores] == classes)
    ] if len(pair) == 2 else []  # fmt: skip
    return orders[0] if len(orders) == 1 else None


def _channels(
    graph: ModelGraph, channels: int, options: Mapping[str, Any], *, boxes: int, with_objectness: bool
) -> Channels:
    """Told by ``classes:`` or ``objectness:``, else by what such a layout usually has."""
    classes = dense.read_count(NAME, "classes", options)
    given = options.get("objectness", "auto")
    if classes is not None:
        extra = channels - boxes - classes
    elif given != "auto":
        extra = 0 if given == "none" else 1
    else:
        extra = 1 if with_objectness else 0
    found = Channels(boxes, extra, channels - boxes - extra)
    if extra not in (0, 1) or found.classes < 1 or (extra == 0 and given in ("multiply", "ignore")):
        raise base.misfit(
            NAME, graph, f"{boxes} channels of boxes, 0 or 1 of objectness and {classes or 'some'} classes"
        )
    return found
