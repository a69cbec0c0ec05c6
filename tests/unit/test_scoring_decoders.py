"""Decoders against plain loops over cells, on graphs and outputs made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpsearch.errors import ConfigError, SetupError
from mpsearch.graph.model import ModelGraph, Node, Tensor
from mpsearch.scoring import decoders
from mpsearch.scoring.faces import detect

HEIGHT, WIDTH = 64, 96
ANCHORS = {
    8: [(4, 5), (8, 10), (13, 16)],
    16: [(23, 29), (43, 55), (73, 105)],
    32: [(146, 217), (231, 300), (335, 433)],
}


def graph(outputs: Mapping[str, tuple[int, ...]], nodes: tuple[Node, ...] = ()) -> ModelGraph:
    tensors = {name: Tensor(name, shape) for name, shape in outputs.items()}
    tensors["input"] = Tensor("input", (1, 3, HEIGHT, WIDTH))
    return ModelGraph(Path("hand.onnx"), "0", 13, nodes, tensors, (), ("input",), tuple(outputs), {})


def random_outputs(model: ModelGraph, count: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 1.5, (count, *model.tensors[name].shape[1:])).astype(np.float32) for name in model.outputs
    }


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def raw_yolo() -> ModelGraph:
    return graph({f"p{s}": (1, 48, HEIGHT // s, WIDTH // s) for s in (8, 16, 32)})


def tailed_yolo() -> ModelGraph:
    return graph({f"p{s}": (1, 3, HEIGHT // s, WIDTH // s, 16) for s in (8, 16, 32)})


def yunet_graph() -> ModelGraph:
    kinds = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    return graph({f"{kind}_{s}": (1, HEIGHT * WIDTH // s**2, n) for kind, n in kinds.items() for s in (8, 16, 32)})


RETINA_CELLS = 2 * sum(HEIGHT * WIDTH // s**2 for s in (8, 16, 32))


def retina_graph(*, softmax: bool = False) -> ModelGraph:
    nodes: tuple[Node, ...] = ()
    if softmax:
        nodes = (Node("s", "Softmax", ("c",), (), ("d",)), Node("r", "Reshape", ("d",), (), ("conf",)))
    return graph({"loc": (1, RETINA_CELLS, 4), "conf": (1, RETINA_CELLS, 2), "pts": (1, RETINA_CELLS, 10)}, nodes)


def expect(
    decoder: decoders.Decoder, outputs: dict[str, np.ndarray], cells: list[tuple[int, float, list[float], list[float]]]
) -> None:
    """``cells``: photograph, score, box, flat landmarks, in the order of the ids."""
    scores = decoder.scores(outputs)
    count = scores.shape[1]
    assert count == sum(head.cells for head in decoder.heads) == len(cells) // len(scores)
    ids = np.tile(np.arange(count), len(scores))
    boxes, points = decoder.decode(outputs, np.repeat(np.arange(len(scores)), count), ids)
    assert np.allclose(scores.ravel(), [score for _, score, _, _ in cells], atol=1e-6)
    assert np.allclose(boxes, [box for _, _, box, _ in cells], rtol=1e-6, atol=1e-4)
    assert np.allclose(points.reshape(len(cells), -1), [flat for _, _, _, flat in cells], rtol=1e-6, atol=1e-4)


def test_yolov5_face_agrees_with_a_loop_over_cells() -> None:
    model = raw_yolo()
    outputs = random_outputs(model)
    cells = []
    for image in range(2):
        for stride in (8, 16, 32):
            head = outputs[f"p{stride}"][image].astype(float)
            for a, (aw, ah) in enumerate(ANCHORS[stride]):
                for y in range(HEIGHT // stride):
                    for x in range(WIDTH // stride):
                        v = head[a * 16 : a * 16 + 16, y, x]
                        cx, cy = (2 * sigmoid(v[0]) - 0.5 + x) * stride, (2 * sigmoid(v[1]) - 0.5 + y) * stride
                        w, h = (2 * sigmoid(v[2])) ** 2 * aw, (2 * sigmoid(v[3])) ** 2 * ah
                        box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                        points = [v[5 + i] * (ah if i % 2 else aw) + (y if i % 2 else x) * stride for i in range(10)]
                        cells.append((image, sigmoid(v[4]) * sigmoid(v[15]), box, points))
    expect(decoders.create("yolov5-face", model), outputs, cells)


def test_both_layouts_of_yolov5_face_give_the_same_cells() -> None:
    raw, tailed = random_outputs(raw_yolo()), {}
    for name, values in raw.items():
        n, _, h, w = values.shape
        tailed[name] = values.reshape(n, 3, 16, h, w).transpose(0, 1, 3, 4, 2).copy()
    one, other = decoders.create("yolov5-face", raw_yolo()), decoders.create("yolov5-face", tailed_yolo())
    a, b = detect(one, raw), detect(other, tailed)
    assert len(a) > 5
    for field in ("image", "cell", "scores", "boxes", "landmarks"):
        assert (getattr(a, field) == getattr(b, field)).all()


def test_retinaface_agrees_with_a_loop_over_priors() -> None:
    model = retina_graph()
    outputs = random_outputs(model)
    sizes = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
    cells = []
    for image in range(2):
        i = 0
        for stride in (8, 16, 32):
            for y in range(HEIGHT // stride):
                for x in range(WIDTH // stride):
                    for size in sizes[stride]:
                        loc, conf, pts = (outputs[name][image, i].astype(float) for name in ("loc", "conf", "pts"))
                        px, py = (x + 0.5) * stride, (y + 0.5) * stride
                        cx, cy = px + loc[0] * 0.1 * size, py + loc[1] * 0.1 * size
                        w, h = size * math.exp(loc[2] * 0.2), size * math.exp(loc[3] * 0.2)
                        score = math.exp(conf[1]) / (math.exp(conf[0]) + math.exp(conf[1]))
                        points = [(py if k % 2 else px) + pts[k] * 0.1 * size for k in range(10)]
                        cells.append((image, score, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], points))
                        i += 1
    expect(decoders.create("retinaface", model), outputs, cells)


def test_yunet_agrees_with_a_loop_over_cells() -> None:
    model = yunet_graph()
    outputs = random_outputs(model)
    for name in outputs:
        if name.startswith(("cls", "obj")):
            outputs[name] = (1 / (1 + np.exp(-outputs[name]))).astype(np.float32)
    cells = []
    for image in range(2):
        for stride in (8, 16, 32):
            for y in range(HEIGHT // stride):
                for x in range(WIDTH // stride):
                    i = y * (WIDTH // stride) + x
                    cls, obj, box, kps = (
                        outputs[f"{k}_{stride}"][image, i].astype(float) for k in ("cls", "obj", "bbox", "kps")
                    )
                    cx, cy = (box[0] + x) * stride, (box[1] + y) * stride
                    w, h = math.exp(box[2]) * stride, math.exp(box[3]) * stride
                    points = [(kps[k] + (y if k % 2 else x)) * stride for k in range(10)]
                    score = math.sqrt(cls[0] * obj[0])
                    cells.append((image, score, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], points))
    expect(decoders.create("yunet", model), outputs, cells)


@pytest.mark.parametrize(("name", "model"), [("yolov5-face", raw_yolo()), ("yunet", yunet_graph())])
def test_a_dropped_output_leaves_the_other_cells_as_they_were(name: str, model: ModelGraph) -> None:
    decoder = decoders.create(name, model)
    outputs = random_outputs(model)
    for head in decoder.heads:
        for dropped in head.outputs:
            kept = {key: values for key, values in outputs.items() if key != dropped}
            scores, whole = decoder.scores(kept), decoder.scores(outputs)
            mine = np.zeros(scores.shape[1], bool)
            mine[head.first : head.first + head.cells] = True
            assert not head.present(kept)
            assert (scores[:, mine] == 0).all()
            assert (scores[:, ~mine] == whole[:, ~mine]).all()
            faces, all_faces = detect(decoder, kept), detect(decoder, outputs)
            lookup = {(i, c): k for k, (i, c) in enumerate(zip(all_faces.image, all_faces.cell, strict=True))}
            for k, key in enumerate(zip(faces.image, faces.cell, strict=True)):
                if key in lookup:
                    assert (faces.landmarks[k] == all_faces.landmarks[lookup[key]]).all()


def test_retinaface_without_one_of_its_outputs_has_no_cell() -> None:
    model = retina_graph()
    outputs = random_outputs(model)
    del outputs["pts"]
    assert (decoders.create("retinaface", model).scores(outputs) == 0).all()


def test_retinaface_takes_confidences_behind_a_softmax_as_they_are() -> None:
    outputs = random_outputs(retina_graph())
    for model, options in [(retina_graph(softmax=True), {}), (retina_graph(), {"conf": "probabilities"})]:
        decoder = decoders.create("retinaface", model, options)
        assert (decoder.scores(outputs) == outputs["conf"][..., 1]).all()
        assert decoder.options["conf"] == "probabilities"


def test_retinaface_outputs_of_one_shape_are_told_apart_by_name_or_option() -> None:
    shapes = {
        "conf": (1, RETINA_CELLS, 2),
        "a": (1, RETINA_CELLS, 4),
        "b": (1, RETINA_CELLS, 4),
        "lm": (1, RETINA_CELLS, 10),
    }
    with pytest.raises(ConfigError, match="expected loc"):
        decoders.create("retinaface", graph(shapes))
    decoder = decoders.create("retinaface", graph(shapes), {"outputs": {"loc": "b"}})
    assert decoder.heads[0].outputs == ("b", "conf", "lm")
    named = {("face_bbox" if name == "a" else name): shape for name, shape in shapes.items()}
    assert decoders.create("retinaface", graph(named)).heads[0].outputs[0] == "face_bbox"


def test_a_size_beyond_reason_stays_finite() -> None:
    model = retina_graph()
    outputs = {name: np.full((1, *model.tensors[name].shape[1:]), 3e4, np.float32) for name in model.outputs}
    boxes, points = decoders.create("retinaface", model).decode(outputs, np.zeros(1, int), np.zeros(1, int))
    assert np.isfinite(boxes).all()
    assert np.isfinite(points).all()


def test_points_and_anchors_come_from_shapes_and_options() -> None:
    model = graph({"p8": (1, 2 * 12, HEIGHT // 8, WIDTH // 8)})
    decoder = decoders.create("yolov5-face", model, {"anchors": {"8": [4, 5, 8, 10]}, "threshold": 0.25})
    assert (decoder.points, decoder.eyes, decoder.threshold) == (3, None, 0.25)
    assert decoder.options == {"threshold": 0.25, "anchors": {"8": [4.0, 5.0, 8.0, 10.0]}}


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("yolov5-face", {"treshold": 0.3}, "nearest: 'threshold'"),
        ("yolov5-face", {"threshold": 1.5}, "between 0 and 1"),
        ("yolov5-face", {"threshold": "high"}, "threshold"),
        ("yolov5-face", {"anchors": [4, 5]}, "strides"),
        ("yolov5-face", {"anchors": {8: [4, 5, 8]}}, "widths and heights"),
        ("yolov5-face", {"anchors": {"eight": [4, 5]}}, "eight"),
        ("yolov5-face", {"anchors": {8: [4, -5]}}, "positive"),
        ("tensors", {"threshold": 0.5}, "no option 'threshold'"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        decoders.create(name, raw_yolo(), options)


@pytest.mark.parametrize(
    "options", [{"conf": "maybe"}, {"variances": [0.1]}, {"outputs": {"lok": "loc"}}, {"outputs": 3}]
)
def test_wrong_options_of_retinaface_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        decoders.create("retinaface", retina_graph(), options)


@pytest.mark.parametrize("name", ["yolov5-face", "retinaface", "yunet"])
def test_a_model_that_does_not_fit_is_told_what_was_expected_and_what_it_has(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decoders.create(name, graph({"logits": (1, 1000)}))
    assert "expected" in caught.value.message
    assert "hand.onnx" in caught.value.message
    assert "64x96" in caught.value.message
    assert "logits 1x1000" in caught.value.message


def test_two_heads_of_one_stride_are_ambiguous() -> None:
    with pytest.raises(ConfigError, match="one head a stride"):
        decoders.create("yolov5-face", graph({"a": (1, 48, 8, 12), "b": (1, 48, 8, 12)}))


def test_an_unknown_decoder_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="nearest: 'retinaface'"):
        decoders.create("retinanface", raw_yolo())
    assert set(decoders.names()) >= {"yolov5-face", "retinaface", "yunet", "tensors"}


def test_a_plug_in_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    good = EntryPoint("mine", "mpsearch.scoring.decoders.tensors:create", decoders.GROUP)
    broken = EntryPoint("broken", "mpsearch.nowhere:create", decoders.GROUP)
    monkeypatch.setattr(decoders, "entry_points", lambda *, group: [good, broken])
    assert decoders.names()[-2:] == ("broken", "mine")
    assert decoders.create("mine", raw_yolo()).name == "tensors"
    with pytest.raises(SetupError, match=r"mpsearch\.nowhere"):
        decoders.create("broken", raw_yolo())
