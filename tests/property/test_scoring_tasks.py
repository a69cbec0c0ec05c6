"""Every objective: none for the float model itself, never less with more of the same noise, each in its unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mpsearch.errors import ConfigError, ModelError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.pareto.front import ERROR_FLOOR
from mpsearch.record import Candidate, Measured, Record, Score, Timing
from mpsearch.scoring import decoders
from mpsearch.scoring.scorer import TaskScorer, task_for
from mpsearch.scoring.segmentation import confusion, iou_by_class, mean_iou
from mpsearch.task import TASKS
from mpsearch.testing.models import Builder, save

SIZE, COUNT = 64, 3
PHOTOS = [np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), np.uint8) for i in range(COUNT)]
Outputs = Mapping[str, np.ndarray]


def network(path: Any, task: str) -> ModelGraph:
    """Random heads: plain distances and two classes at three strides; or a map of two classes; or two tensors."""
    b = Builder(seed=5)
    if task == "boxes":
        outputs = []
        for stride in (8, 16, 32):
            head = b.conv("input", 3, 6, kernel=1)
            head = b.node("AveragePool", head, kernel_shape=[stride] * 2, strides=[stride] * 2)
            bias = b.constant(np.float32([2, 2, 2, 2, 0, 0]).reshape(1, 6, 1, 1))
            outputs.append(b.node("Add", head, bias))
    else:
        halves = np.zeros((1, 2, SIZE, SIZE), np.float32)
        halves[0, 0, :, : SIZE // 2] = halves[0, 1, :, SIZE // 2 :] = 1
        outputs = [b.node("Add", b.conv("input", 3, 2, kernel=1), b.constant(halves))]
        outputs += [b.conv("input", 3, 4)] if task == "tensors" else []
    return read(save(b.model(outputs, shape=(1, 3, SIZE, SIZE)), path / f"{task}.onnx"))


DECODERS = {"boxes": ("yolo", {"threshold": 0.3}), "segmentation": ("segmentation", {}), "tensors": ("tensors", {})}


@pytest.fixture(scope="module", params=list(DECODERS))
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TaskScorer:
    graph = network(tmp_path_factory.mktemp("net"), request.param)
    name, options = DECODERS[request.param]
    photos = PhotoSet.from_arrays([f"{i}.png" for i in range(COUNT)], PHOTOS, Preprocess(SIZE, SIZE))
    found = TaskScorer(graph, decoders.create(name, graph, options), photos, threads=1)
    found.prepare()
    assert found.task is TASKS[request.param]
    return found


def spoilt(scorer: TaskScorer, seed: int, size: float) -> Outputs:
    rng = np.random.default_rng(seed)
    return {
        name: (values + size * rng.normal(size=values.shape)).astype(np.float32)
        for name, values in scorer.float_outputs.items()
    }


def scored(scorer: TaskScorer, outputs: Outputs) -> Score:
    return scorer.score(iter([outputs]))


def test_the_float_model_itself_has_no_error(scorer: TaskScorer) -> None:
    score = scored(scorer, scorer.float_outputs)
    assert score.objective == 0
    assert (score.missed, score.extra) == (0, 0)
    assert set(score.per_image) <= {0.0, None}
    assert (score.kind, score.unit) == (scorer.task.name, scorer.task.unit)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), small=st.floats(0.001, 2), factor=st.floats(1.05, 4))
def test_more_of_the_same_noise_is_never_less_error(scorer: TaskScorer, seed: int, small: float, factor: float) -> None:
    less, more = (scored(scorer, spoilt(scorer, seed, size)).objective for size in (small, small * factor))
    assert 0 <= less <= more * (1 + 1e-3)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), cut=st.integers(0, COUNT))
def test_how_photographs_are_split_into_batches_does_not_matter(scorer: TaskScorer, seed: int, cut: int) -> None:
    outputs = spoilt(scorer, seed, 0.3)
    parts = [{n: v[a:b] for n, v in outputs.items()} for a, b in ((0, cut), (cut, COUNT)) if a < b]
    assert scorer.score(iter(parts)) == scored(scorer, outputs)


def test_noise_in_one_photograph_is_that_photographs_error(scorer: TaskScorer) -> None:
    outputs = {name: values.copy() for name, values in scorer.float_outputs.items()}
    for name, values in spoilt(scorer, 1, 2.0).items():
        outputs[name][1] = values[1]
    score = scored(scorer, outputs)
    assert [bool(value) for value in score.per_image] == [False, True, False]


def test_every_task_survives_a_record_and_has_a_column_of_its_own(scorer: TaskScorer) -> None:
    score = scored(scorer, spoilt(scorer, 2, 0.5))
    record = Record(Candidate("uint8"), Measured(score, Timing((1.0,), "simulated", "toy")))
    assert Record.from_json(record.to_json()) == record
    assert score.objective > ERROR_FLOOR
    assert len({task.column for task in TASKS.values()}) == len(TASKS)
    assert all(task.column.endswith(task.unit) for task in TASKS.values())


def test_a_record_from_before_errors_had_a_task_reads_as_landmarks() -> None:
    score = Score(2.0, 3.0, 2.0, 5, 1, 0, per_image=(2.0, None))
    data = Record(Candidate("uint8"), Measured(score, Timing((1.0,), "simulated", "toy"))).to_json()
    stored = data["measured"]["score"]
    for new, old in (("objective", "objective_px2"), ("per_image", "per_image_px2")):
        stored[old] = stored.pop(new)
    del stored["kind"], stored["matched_box_mse_px2"]
    found = Record.from_json(data).outcome
    assert isinstance(found, Measured)
    assert (found.score, found.score.unit) == (score, "px2")


def test_boxes_moved_by_3_and_4_px_cost_25_px2(tmp_path: Any) -> None:
    graph = network(tmp_path, "boxes")
    photos = PhotoSet.from_arrays(["a"], PHOTOS[:1], Preprocess(SIZE, SIZE))
    scorer = TaskScorer(graph, decoders.create("yolo", graph, {"threshold": 0.3}), photos, threads=1)
    outputs = {name: values.copy() for name, values in scorer.float_outputs.items()}
    for stride, values in zip((8, 16, 32), outputs.values(), strict=True):
        values[:, :4] += np.float32([-3, -4, 3, 4]).reshape(1, 4, 1, 1) / stride  # to the right by 3, down by 4
    score = scored(scorer, outputs)
    assert score.objective == pytest.approx(25, rel=1e-4)
    assert score.matched_box_mse_px2 == pytest.approx(25, rel=1e-4)
    assert score.cell_landmark_mse_px2 is score.nme is None


def test_a_lost_object_does_not_better_the_objective(tmp_path: Any) -> None:
    graph = network(tmp_path, "boxes")
    photos = PhotoSet.from_arrays(["a"], PHOTOS[:1], Preprocess(SIZE, SIZE))
    scorer = TaskScorer(graph, decoders.create("yolo", graph, {"threshold": 0.3}), photos, threads=1)
    outputs = {name: values.copy() for name, values in scorer.float_outputs.items()}
    for values in outputs.values():
        values[:, :4] += 0.1
    before = scored(scorer, outputs)
    for values in outputs.values():
        values[:, 4:] -= 30
    after = scored(scorer, outputs)
    assert (after.objective, after.missed) == (before.objective, after.faces)


@pytest.mark.parametrize(
    ("decoder", "objective", "can"),
    [
        ("yolo", "landmarks", "boxes, tensors"),
        ("yolo", "segmentation", "boxes, tensors"),
        ("tensors", "boxes", "tensors"),
    ],
)
def test_an_objective_that_the_decoder_cannot_serve_is_refused(
    tmp_path: Any, decoder: str, objective: str, can: str
) -> None:
    graph = network(tmp_path, "boxes")
    with pytest.raises(ConfigError, match=f"With this decoder: {can}"):
        task_for(decoders.create(decoder, graph), objective)


def test_tensors_as_the_objective_of_a_detector_keep_counting_what_is_missed(tmp_path: Any) -> None:
    graph = network(tmp_path, "boxes")
    photos = PhotoSet.from_arrays(["a"], PHOTOS[:1], Preprocess(SIZE, SIZE))
    decoder = decoders.create("yolo", graph, {"threshold": 0.3})
    scorer = TaskScorer(graph, decoder, photos, objective="tensors", threads=1)
    silent = {name: np.zeros_like(values) for name, values in scorer.float_outputs.items()}
    score = scored(scorer, silent)
    assert score.objective == pytest.approx(1e6)
    assert (score.unit, score.missed) == ("ppm", score.faces)
    assert score.faces > 0


@settings(deadline=None)
@given(st.data())
def test_mean_iou_agrees_with_sets_of_pixels(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 4))
    pixels = st.lists(st.sampled_from([*range(classes), 255]), min_size=6, max_size=6)
    wanted, found = (np.array(data.draw(pixels)).reshape(2, 3) for _ in range(2))
    counts = confusion(wanted, found, classes)
    ratios = []
    for c in range(classes):
        here = {i for i in range(6) if wanted.flat[i] == c}
        there = {i for i in range(6) if found.flat[i] == c and wanted.flat[i] != 255}
        expected = len(here & there) / len(here | there) if here else np.nan
        assert iou_by_class(counts)[c] == pytest.approx(expected, nan_ok=True)
        ratios += [expected] if here else []
    if ratios:
        assert mean_iou(counts) == pytest.approx(sum(ratios) / len(ratios))
    else:
        with pytest.raises(ValueError, match="no labelled pixel"):
            mean_iou(counts)


def test_one_class_everywhere_stops_the_study(tmp_path: Any) -> None:
    b = Builder()
    lift = b.constant(np.float32([0, 1e3]).reshape(1, 2, 1, 1))
    model = b.model([b.node("Add", b.conv("input", 3, 2), lift)], shape=(1, 3, SIZE, SIZE))
    graph = read(save(model, tmp_path / "flat.onnx"))
    photos = PhotoSet.from_arrays(["a"], PHOTOS[:1], Preprocess(SIZE, SIZE))
    with pytest.raises(ConfigError, match=r"one class \(1\) everywhere"):
        TaskScorer(graph, decoders.create("segmentation", graph), photos, threads=1).prepare()


def test_a_map_behind_an_arg_max_is_counted_but_not_searched(tmp_path: Any) -> None:
    b = Builder()
    scores = b.conv("input", 3, 2)
    chosen = b.node("ArgMax", scores, axis=1, keepdims=0)
    model = b.model([chosen], shape=(1, 3, SIZE, SIZE))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(chosen, TensorProto.INT64, [1, SIZE, SIZE]))
    graph = read(save(model, tmp_path / "map.onnx"))
    decoder = decoders.create("segmentation", graph, {"classes": 2})
    scorer = TaskScorer(graph, decoder, PhotoSet.from_arrays(["a"], PHOTOS[:1], Preprocess(SIZE, SIZE)), threads=1)
    assert scorer.reference_map.shape == (1, SIZE, SIZE)
    with pytest.raises(ModelError, match=f"cannot be quantized\\n  Export the model with {scores} as its output"):
        scorer.prepare()
