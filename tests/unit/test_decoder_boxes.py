"""Decoders of boxes against plain loops over cells, for every layout that they read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph, Node, Tensor
from mpsearch.scoring import decoders
from mpsearch.scoring.decoders.base import Classifies
from mpsearch.scoring.faces import detect

HEIGHT, WIDTH = 64, 96
STRIDES = (8, 16, 32)
CELLS = {stride: (HEIGHT // stride, WIDTH // stride) for stride in STRIDES}
TOTAL = sum(rows * columns for rows, columns in CELLS.values())
Outputs = dict[str, np.ndarray]


def graph(outputs: Mapping[str, tuple[int, ...]], *, behind_sigmoid: tuple[str, ...] = ()) -> ModelGraph:
    tensors = {name: Tensor(name, shape) for name, shape in outputs.items()}
    tensors["input"] = Tensor("input", (1, 3, HEIGHT, WIDTH))
    nodes = tuple(Node(f"s_{name}", "Sigmoid", ("input",), (), (name,)) for name in behind_sigmoid)
    return ModelGraph(Path("hand.onnx"), "0", 13, nodes, tensors, (), ("input",), tuple(outputs), {})


def random_outputs(model: ModelGraph, count: int = 2, seed: int = 0) -> Outputs:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 1.5, (count, *model.tensors[name].shape[1:])).astype(np.float32) for name in model.outputs
    }


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mean_bin(values: np.ndarray) -> float:
    weights = [math.exp(v) for v in values]
    return sum(i * w for i, w in enumerate(weights)) / sum(weights)


def cells() -> Iterator[tuple[int, int, int]]:
    for stride, (rows, columns) in CELLS.items():
        for y in range(rows):
            for x in range(columns):
                yield stride, y, x


def sides(values: np.ndarray, stride: int, y: int, x: int, offset: float = 0.5) -> list[float]:
    """``values`` has four distances in strides."""
    cx, cy = (x + offset) * stride, (y + offset) * stride
    left, top, right, bottom = (float(v) * stride for v in values)
    return [cx - left, cy - top, cx + right, cy + bottom]


def expect(decoder: decoders.Decoder, outputs: Outputs, wanted: list[tuple[float, int, list[float]]]) -> None:
    """``wanted``: score, class and box of each cell, photograph after photograph."""
    scores = decoder.scores(outputs)
    count = scores.shape[1]
    images = np.repeat(np.arange(len(scores)), count)
    ids = np.tile(np.arange(count), len(scores))
    boxes, points = decoder.decode(outputs, images, ids)
    assert isinstance(decoder, Classifies)
    assert points.shape == (len(wanted), 0, 2)
    assert np.allclose(scores.ravel(), [score for score, _, _ in wanted], atol=1e-6)
    assert decoder.classify(outputs, images, ids).tolist() == [label for _, label, _ in wanted]
    assert np.allclose(boxes, [box for _, _, box in wanted], rtol=1e-6, atol=1e-4)


def best(values: np.ndarray) -> tuple[float, int]:
    label = max(range(len(values)), key=lambda i: values[i])
    return float(values[label]), label


def v8_heads(classes: int = 80) -> ModelGraph:
    return graph({f"p{s}": (1, 64 + classes, *CELLS[s]) for s in STRIDES})


def test_raw_heads_of_yolov8_agree_with_a_loop_over_cells() -> None:
    outputs, wanted = random_outputs(v8_heads()), []
    for image in range(2):
        for stride, y, x in cells():
            v = outputs[f"p{stride}"][image, :, y, x].astype(float)
            logit, label = best(v[64:])
            found = np.array([mean_bin(v[16 * k : 16 * k + 16]) for k in range(4)])
            wanted.append((sigmoid(logit), label, sides(found, stride, y, x)))
    decoder = decoders.create("yolo", v8_heads())
    expect(decoder, outputs, wanted)
    assert (decoder.options["bins"], decoder.options["classes"], decoder.options["scores"]) == (16, 80, "logits")
    assert decoder.options["labels"][0] == "person"


@pytest.mark.parametrize("objectness", [False, True])
def test_separate_heads_of_yolov6_agree_with_a_loop_over_cells(objectness: bool) -> None:
    shapes = {f"cls{s}": (1, 3, *CELLS[s]) for s in STRIDES} | {f"reg{s}": (1, 4, *CELLS[s]) for s in STRIDES}
    if objectness:
        shapes |= {f"obj{s}": (1, 1, *CELLS[s]) for s in STRIDES}
    model = graph(shapes)
    outputs, wanted = random_outputs(model), []
    for image in range(2):
        for stride, y, x in cells():
            reg, cls = (outputs[f"{k}{stride}"][image, :, y, x].astype(float) for k in ("reg", "cls"))
            logit, label = best(cls)
            sure = sigmoid(float(outputs[f"obj{stride}"][image, 0, y, x])) if objectness else 1.0
            wanted.append((sigmoid(logit) * sure, label, sides(reg, stride, y, x)))
    options = {"objectness": "multiply"} if objectness else {}
    expect(decoders.create("yolo", model, options), outputs, wanted)


def test_heads_of_85_channels_are_distances_a_repeated_confidence_and_80_probabilities() -> None:
    model = graph({f"p{s}": (1, 85, *CELLS[s]) for s in STRIDES}, behind_sigmoid=tuple(f"p{s}" for s in STRIDES))
    outputs, wanted = random_outputs(model), []
    for values in outputs.values():
        values[:, 5:] = 1 / (1 + np.exp(-values[:, 5:]))
        values[:, 4] = 0.5  # must not matter
    for image in range(2):
        for stride, y, x in cells():
            v = outputs[f"p{stride}"][image, :, y, x].astype(float)
            score, label = best(v[5:])
            wanted.append((score, label, sides(v[:4], stride, y, x)))
    decoder = decoders.create("yolo", model)
    expect(decoder, outputs, wanted)
    assert (decoder.options["objectness"], decoder.options["scores"]) == ("none", "probabilities")


@pytest.mark.parametrize("boxes", ["cxcywh", "xyxy"])
@pytest.mark.parametrize("rows", [False, True])
def test_joined_outputs_agree_with_a_loop_over_rows(rows: bool, boxes: str) -> None:
    """Rows have objectness, columns have none, unless the options say otherwise."""
    channels = 9 if rows else 8
    model = graph({"out": (1, TOTAL, channels) if rows else (1, channels, TOTAL)}, behind_sigmoid=("out",))
    outputs, wanted = random_outputs(model), []
    table = outputs["out"] if rows else outputs["out"].transpose(0, 2, 1)
    table[..., 4:] = 1 / (1 + np.exp(-table[..., 4:]))
    table[..., :4] *= 20
    for v in table.reshape(-1, channels).astype(float):
        score, label = best(v[5:] if rows else v[4:])
        a, b, c, d = v[:4]
        box = [a - c / 2, b - d / 2, a + c / 2, b + d / 2] if boxes == "cxcywh" else [a, b, c, d]
        wanted.append((score * v[4] if rows else score, label, box))
    expect(decoders.create("yolo", model, {"boxes": boxes}), outputs, wanted)


def test_raw_heads_and_the_joined_output_of_one_network_find_the_same_objects() -> None:
    raw = random_outputs(v8_heads(5), seed=3)
    one = decoders.create("yolo", v8_heads(5), {"bins": 16})
    ids = np.arange(TOTAL)
    joined = np.zeros((2, 9, TOTAL), np.float32)
    for image in range(2):
        corners, _ = one.decode(raw, np.full(TOTAL, image), ids)
        joined[image, :4] = np.concatenate(
            [(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1
        ).T
    joined[:, 4:] = np.concatenate([v[:, 64:].reshape(2, 5, -1) for v in raw.values()], axis=2)
    other = decoders.create("yolo", graph({"out": (1, 9, TOTAL)}))
    a, b = detect(one, raw), detect(other, {"out": joined})
    assert len(a) > 10
    assert (a.cell == b.cell).all()
    assert (a.classes == b.classes).all()
    assert np.allclose(a.boxes, b.boxes, atol=1e-3)


@pytest.mark.parametrize("plus", [False, True])
def test_nanodet_agrees_with_a_loop_over_cells(plus: bool) -> None:
    if plus:
        model = graph({"out": (1, TOTAL, 7 + 32)}, behind_sigmoid=("out",))
    else:
        shapes = {f"cls{s}": (1, rows * cols, 7) for s, (rows, cols) in CELLS.items()}
        shapes |= {f"reg{s}": (1, rows * cols, 32) for s, (rows, cols) in CELLS.items()}
        model = graph(shapes, behind_sigmoid=tuple(f"cls{s}" for s in STRIDES))
    outputs, wanted = random_outputs(model), []
    for name, values in outputs.items():
        if not name.startswith("reg"):
            values[..., :7] = 1 / (1 + np.exp(-values[..., :7]))
    for image in range(2):
        for index, (stride, y, x) in enumerate(cells()):
            if plus:
                cls, reg = outputs["out"][image, index, :7], outputs["out"][image, index, 7:]
            else:
                cls, reg = (outputs[f"{k}{stride}"][image, y * CELLS[stride][1] + x] for k in ("cls", "reg"))
            found = np.array([mean_bin(reg[8 * k : 8 * k + 8].astype(float)) for k in range(4)])
            score, label = best(cls)
            wanted.append((score, label, sides(found, stride, y, x, 0.0 if plus else 0.5)))
    decoder = decoders.create("nanodet", model, {"strides": list(STRIDES)})
    expect(decoder, outputs, wanted)
    assert decoder.options["scores"] == "probabilities"


def test_nanodet_with_as_many_classes_as_distances_asks_the_graph_which_is_which() -> None:
    shapes = {f"a{s}": (1, rows * cols, 32) for s, (rows, cols) in CELLS.items()}
    shapes |= {f"b{s}": (1, rows * cols, 32) for s, (rows, cols) in CELLS.items()}
    decoder = decoders.create("nanodet", graph(shapes, behind_sigmoid=tuple(f"b{s}" for s in STRIDES)))
    assert decoder.heads[0].outputs == ("b8", "a8")


@pytest.mark.parametrize(("count", "anchored"), [(TOTAL, True), (3 * TOTAL, True), (300, False)])
def test_rows_that_the_model_sorted_itself_are_no_lasting_places(count: int, anchored: bool) -> None:
    decoder = decoders.create("yolo", graph({"out": (1, count, 85)}))
    assert decoder.anchored is anchored


def test_a_dropped_output_takes_its_cells_and_no_others() -> None:
    decoder, outputs = decoders.create("yolo", v8_heads()), random_outputs(v8_heads())
    kept = {name: values for name, values in outputs.items() if name != "p16"}
    scores, whole = decoder.scores(kept), decoder.scores(outputs)
    gone = slice(decoder.heads[1].first, decoder.heads[2].first)
    assert (scores[:, gone] == 0).all()
    assert (np.delete(scores, np.r_[gone], 1) == np.delete(whole, np.r_[gone], 1)).all()
    assert len(detect(decoder, kept)) > 0


def test_suppression_is_within_a_class() -> None:
    """Two boxes on one spot: of one class the better stays, of two classes both."""
    model = graph({"out": (1, TOTAL, 7)})
    same = np.full((1, TOTAL, 7), -9, np.float32)
    same[0, :2] = [[50, 50, 20, 20, 1, 6, -9], [50, 50, 20, 20, 1, 5, -9]]
    decoder = decoders.create("yolo", model, {"objectness": "ignore", "classes": 2})
    assert len(detect(decoder, {"out": same})) == 1
    same[0, 1, 5:] = -9, 5
    found = detect(decoder, {"out": same})
    assert found.classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "outputs", "options", "says"),
    [
        ("yolo", {"a": (1, 1000)}, {}, "expected"),
        ("yolo", {f"p{s}": (1, 84, *CELLS[s]) for s in (8, 16)}, {}, "at stride 32"),
        ("yolo", {f"p{s}": (1, 80 + s, *CELLS[s]) for s in STRIDES}, {}, "same channels at every stride"),
        ("yolo", {f"{k}{s}": (1, 4, *CELLS[s]) for k in "ab" for s in STRIDES}, {}, "both could be either"),
        ("yolo", {"out": (1, 84, TOTAL)}, {"classes": 90}, "90 classes"),
        ("yolo", {"out": (1, 84, TOTAL)}, {"classes": "many"}, "classes must be a whole number"),
        ("yolo", {"out": (1, 84, TOTAL)}, {"objectnes": "none"}, "nearest: 'objectness'"),
        ("yolo", {"out": (1, 84, TOTAL)}, {"objectness": "perhaps"}, "none of auto, none, multiply, ignore"),
        ("yolo", {"out": (1, 84, TOTAL)}, {"labels": ["one"]}, "1 labels for 80 classes"),
        ("yolo", {"out": (1, 84, TOTAL)}, {"labels": 3}, "list of names"),
        ("yolo", {"out": (1, 84, TOTAL)}, {"scores": "sure"}, "auto, logits, probabilities"),
        ("nanodet", {"a": (1, 1000)}, {}, "expected one output"),
        ("nanodet", {"a": (1, 96, 80), "b": (1, 96, 32)}, {}, "at stride 16"),
        ("segmentation", {"a": (1, 1000)}, {}, "expected one output"),
        ("segmentation", {"a": (1, 3, 8, 12), "b": (1, 3, 8, 12)}, {}, "say `output:`"),
        ("segmentation", {"a": (1, 8, 12)}, {"map": "classes"}, "stated number of"),
        ("segmentation", {"a": (1, 3, 8, 12)}, {"map": "colours"}, "none of auto"),
    ],
)
def test_what_does_not_fit_is_said(
    name: str, outputs: dict[str, tuple[int, ...]], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        decoders.create(name, graph(outputs), options)


@pytest.mark.parametrize(
    ("shape", "options", "values", "classes"),
    [
        ((1, 3, 8, 12), {}, lambda wanted: np.eye(3)[wanted].transpose(0, 3, 1, 2), 3),
        ((1, 8, 12, 3), {}, lambda wanted: np.eye(3)[wanted], 3),
        ((1, 1, 8, 12), {}, lambda wanted: (wanted[:, None] > 0) - 0.5, 2),
        ((1, 8, 12), {"map": "classes", "classes": 3}, lambda wanted: wanted + 0.2, 3),
        ((1, 1, 8, 12), {"map": "classes", "labels": ["a", "b", "c"]}, lambda wanted: wanted[:, None], 3),
    ],
)
def test_every_layout_of_a_map_gives_the_same_classes(
    shape: tuple[int, ...], options: dict[str, Any], values: Any, classes: int
) -> None:
    wanted = np.random.default_rng(0).integers(0, 3, (2, 8, 12))
    decoder = decoders.create("segmentation", graph({"map": shape}), options)
    assert isinstance(decoder, decoders.Segments)
    assert decoder.classes == classes
    found = decoder.class_map({"map": values(wanted).astype(np.float32)})
    assert (found == (wanted if classes == 3 else wanted > 0)).all()
    assert (decoder.class_map({"other": np.zeros((2, 1), np.float32)}) == 0).all()


def test_a_yes_or_no_behind_a_sigmoid_is_cut_at_one_half() -> None:
    values = np.float32([[[[0.4, 0.6]]]])
    for behind, wanted in ((("map",), [0, 1]), ((), [1, 1])):
        decoder = decoders.create("segmentation", graph({"map": (1, 1, 1, 2)}, behind_sigmoid=behind))
        assert isinstance(decoder, decoders.Segments)
        assert decoder.class_map({"map": values}).ravel().tolist() == wanted
