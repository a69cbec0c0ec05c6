"""The metric on cases worked out by hand: a tiny model with two heads, whose faces are put where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError, ConfigError, ModelError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.record import Score
from mpsearch.scoring import cutcheck, decoders
from mpsearch.scoring.decoders.base import Decoder, Float64, Head, Index, Outputs
from mpsearch.scoring.scorer import TaskScorer

SIZE = 64
ANCHORS = {"8": [16, 20], "16": [30, 40]}
BRIGHT, DARK = 255, 0
SMALL, BIG = "small", "big"
EYES = np.array([[-4, -4], [4, -4], [0, 0], [-3, 5], [3, 5]], np.float32)
Batch = dict[str, np.ndarray]


def head(cells: int, faces: Mapping[tuple[int, int], float], anchor: tuple[int, int]) -> np.ndarray:
    """``[16, cells, cells]``: a face at each (row, column) with its objectness logit, as large as the anchor."""
    values = np.zeros((16, cells, cells), np.float32)
    values[4], values[15] = -20, 20
    for (y, x), logit in faces.items():
        values[4, y, x] = logit
        values[5:15, y, x] = (EYES / np.array(anchor)).ravel()
    return values


def write_model(path: Path, *, big_face: bool = True) -> Path:
    """Each head: a convolution that darkens the objectness of dark photographs, plus a constant; then the transposed
    5-D tail. One face at cell (2, 5) of the small head (20 px high), one at (1, 1) of the big one (40 px)."""
    nodes, constants, outputs = [], [], []
    layout = [(SMALL, 8, {(2, 5): 15.0}, (16, 20)), (BIG, 16, {(1, 1): 15.0} if big_face else {}, (30, 40))]
    for name, stride, faces, anchor in layout:
        cells = SIZE // stride
        weight = np.zeros((16, 3, stride, stride), np.float32)
        weight[4] = 25 / (3 * stride * stride)  # of a picture in 0..1: +25 when bright
        constant = head(cells, faces, anchor)[None]
        constant[:, 4] -= 25
        for key, value in (("w", weight), ("c", constant), ("s", np.array([1, 1, 16, cells, cells], np.int64))):
            constants.append(numpy_helper.from_array(value, f"{name}_{key}"))
        nodes += [
            helper.make_node(
                "Conv", ["x", f"{name}_w"], [f"{name}_conv"], f"{name}_Conv", strides=[stride] * 2,
                kernel_shape=[stride] * 2,
            ),
            helper.make_node("Add", [f"{name}_conv", f"{name}_c"], [f"{name}_raw"], f"{name}_Add"),
            helper.make_node("Reshape", [f"{name}_raw", f"{name}_s"], [f"{name}_5d"], f"{name}_Reshape"),
            helper.make_node("Transpose", [f"{name}_5d"], [name], f"{name}_Transpose", perm=[0, 1, 3, 4, 2]),
        ]  # fmt: skip
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, cells, cells, 16]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIZE, SIZE])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    return read(write_model(tmp_path_factory.mktemp("tiny") / "tiny.onnx"))


def photographs(*grey: int) -> PhotoSet:
    images = [np.full((SIZE, SIZE, 3), value, np.uint8) for value in grey]
    return PhotoSet.from_arrays([f"{i}.png" for i in range(len(grey))], images, Preprocess(SIZE, SIZE))


def scorer_of(model: ModelGraph, photos: PhotoSet | None = None, **options: Any) -> TaskScorer:
    decoder = options.pop("decoder", None) or decoders.create("yolov5-face", model, {"anchors": ANCHORS})
    return TaskScorer(model, decoder, photos or photographs(BRIGHT, DARK, BRIGHT), threads=1, **options)


@pytest.fixture
def scorer(model: ModelGraph) -> TaskScorer:
    found = scorer_of(model)
    found.prepare()
    return found


def candidate_of(scorer: TaskScorer) -> Batch:
    """A copy of the float outputs, to be spoilt."""
    return {name: values.copy() for name, values in scorer.float_outputs.items()}


def scored(scorer: TaskScorer, batch: Mapping[str, np.ndarray]) -> Score:
    return scorer.score(iter([batch]))


def move(batch: Batch, dx: float, dy: float, *, image: int = 0) -> None:
    """All landmarks of the small face, in px."""
    batch[SMALL][image, 0, 2, 5, 5:15] += np.tile([dx / 16, dy / 20], 5).astype(np.float32)


def test_the_reference_has_the_faces_that_were_put_there(scorer: TaskScorer) -> None:
    faces = scorer.reference
    assert faces.image.tolist() == [0, 0, 2, 2]
    assert np.allclose(faces.boxes[faces.cell < 64], [[36, 10, 52, 30]] * 2)
    assert np.allclose(faces.landmarks[faces.cell < 64][0], EYES + np.array([40, 16]))


def test_a_perfect_candidate_has_no_error_at_all(scorer: TaskScorer) -> None:
    score = scored(scorer, candidate_of(scorer))
    assert score.objective == score.cell_landmark_mse_px2 == score.matched_landmark_mse_px2 == score.nme == 0
    assert (score.faces, score.missed, score.extra) == (4, 0, 0)
    assert score.matched_iou == pytest.approx(1)
    assert score.per_image == (0.0, None, 0.0)
    assert score.outputs[SMALL] == {"mse": 0.0, "sqnr_db": 200.0, "cosine": pytest.approx(1)}


def test_landmarks_moved_by_3_and_4_px_cost_25_px2(scorer: TaskScorer) -> None:
    batch = candidate_of(scorer)
    move(batch, 3, 4)
    score = scored(scorer, batch)
    assert score.per_image == (pytest.approx(25 / 2, rel=1e-5), None, 0.0)
    assert score.cell_landmark_mse_px2 == pytest.approx(25 / 4, rel=1e-5)
    assert score.matched_landmark_mse_px2 == pytest.approx(25 / 4, rel=1e-5)
    assert score.nme == pytest.approx(5 / 8 / 4, rel=1e-5)
    assert score.objective == score.cell_landmark_mse_px2
    assert score.outputs[SMALL]["sqnr_db"] < 200
    assert score.outputs[BIG]["sqnr_db"] == 200


def test_a_lost_face_is_missed_and_does_not_better_the_objective(scorer: TaskScorer) -> None:
    batch = candidate_of(scorer)
    move(batch, 3, 4)
    batch[SMALL][0, 0, 2, 5, 4] = -20
    score = scored(scorer, batch)
    assert (score.faces, score.missed, score.extra) == (4, 1, 0)
    assert score.cell_landmark_mse_px2 == pytest.approx(25 / 4, rel=1e-5)
    assert score.matched_landmark_mse_px2 == 0


def test_a_box_that_moved_away_is_missed_and_extra(scorer: TaskScorer) -> None:
    batch = candidate_of(scorer)
    batch[SMALL][0, 0, 2, 5, 2:4] = 20  # four times as large: IoU 1/16
    score = scored(scorer, batch)
    assert (score.missed, score.extra) == (1, 1)
    assert score.cell_landmark_mse_px2 == 0


def test_a_face_in_a_photograph_without_any_counts_as_extra_only(scorer: TaskScorer) -> None:
    batch = candidate_of(scorer)
    batch[SMALL][1, 0, 6, 1, 4] = 20
    score = scored(scorer, batch)
    assert (score.faces, score.missed, score.extra, score.objective) == (4, 0, 1, 0)
    assert score.per_image[1] is None


def test_faces_of_a_dropped_output_count_a_quarter_of_their_squared_diagonal(scorer: TaskScorer) -> None:
    batch = candidate_of(scorer)
    del batch[BIG]
    score = scored(scorer, batch)
    penalty = (30**2 + 40**2) / 4
    assert (score.faces, score.missed, score.extra) == (4, 2, 0)
    assert score.objective == pytest.approx(penalty / 2)
    assert score.per_image == (pytest.approx(penalty / 2), None, pytest.approx(penalty / 2))
    assert score.matched_landmark_mse_px2 == 0
    assert set(score.outputs) == {SMALL}


def test_faces_outside_the_declared_sizes_leave_with_their_output(model: ModelGraph) -> None:
    for sizes, faces, missed in [((10, 30), 2, 0), ((10, 40), 4, 2)]:
        scorer = scorer_of(model, face_sizes=sizes)
        whole = candidate_of(scorer)
        assert scored(scorer, whole).faces == 4
        del whole[BIG]
        score = scored(scorer, whole)
        assert (score.faces, score.missed, score.extra) == (faces, missed, 0)


def test_a_candidate_without_any_face_in_scope_is_at_fault(tmp_path: Path) -> None:
    model = read(write_model(tmp_path / "tiny.onnx", big_face=False))
    scorer = scorer_of(model, face_sizes=(100, 200))
    batch = candidate_of(scorer)
    assert scored(scorer, batch).faces == 2
    with pytest.raises(CandidateError, match="dropped") as caught:
        scored(scorer, {BIG: batch[BIG]})
    assert caught.value.stage == "score"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_not_finite_are_the_candidates_fault(scorer: TaskScorer, bad: float) -> None:
    batch = candidate_of(scorer)
    batch[BIG][1, 0, 0, 0, 0] = bad
    with pytest.raises(CandidateError, match=r"'big'.*photograph 1") as caught:
        scored(scorer, batch)
    assert caught.value.stage == "score"


def test_batches_that_do_not_fit_are_a_bug_and_not_a_bad_candidate(scorer: TaskScorer) -> None:
    batch = candidate_of(scorer)
    wrong: list[list[Mapping[str, np.ndarray]]] = [
        [],
        [{}],
        [{**batch, "other": batch[BIG]}],
        [{BIG: batch[BIG][:, :, :2]}],
        [{name: values[:2] for name, values in batch.items()}],
        [{name: values[:2] for name, values in batch.items()}, {BIG: batch[BIG][2:]}],
    ]
    for batches in wrong:
        with pytest.raises(ValueError):  # noqa: PT011  (each has its own words)
            scorer.score(iter(batches))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)  # a scorer only reads
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_the_score_does_not_depend_on_how_photographs_are_batched(
    scorer: TaskScorer, sizes: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    batch = {
        name: values + rng.normal(0, 0.3, values.shape).astype(np.float32)
        for name, values in scorer.float_outputs.items()
    }

    def split() -> Iterator[Batch]:
        start = 0
        for size in [*sizes, len(scorer.photos)]:
            part = {name: values[start : start + size] for name, values in batch.items()}
            if not len(part[BIG]):
                return
            yield part
            start += size

    whole, parts = scored(scorer, batch), scorer.score(split())
    assert whole == parts
    assert whole.objective > 0
    assert whole.faces == 4


def test_a_decoder_without_lasting_cells_is_judged_by_matches_and_penalty(model: ModelGraph) -> None:
    class Sorted:
        """A model that sorts its own detections."""

        anchored = False
        name, threshold, points, eyes, options = "sorted", 0.4, 5, None, {}

        def __init__(self, inner: Decoder) -> None:
            self._inner = inner

        @property
        def heads(self) -> tuple[Head, ...]:
            return self._inner.heads

        def scores(self, outputs: Outputs) -> np.ndarray:
            return self._inner.scores(outputs)

        def decode(self, outputs: Outputs, images: Index, cells: Index) -> tuple[Float64, Float64]:
            return self._inner.decode(outputs, images, cells)

    scorer = scorer_of(model, decoder=Sorted(decoders.create("yolov5-face", model, {"anchors": ANCHORS})))
    batch = candidate_of(scorer)
    move(batch, 3, 4)
    batch[SMALL][2, 0, 2, 5, 4] = -20
    score = scored(scorer, batch)
    penalty = (16**2 + 20**2) / 4
    assert score.cell_landmark_mse_px2 is None
    assert score.matched_landmark_mse_px2 == pytest.approx(25 / 3, rel=1e-5)
    assert score.objective == pytest.approx((25 + penalty) / 4, rel=1e-5)
    assert score.missed == 1
    unit = 0.3 * np.array([np.hypot(16, 20)])
    assert score.nme == pytest.approx(float((5 / unit).sum() / 3), rel=1e-5)


def test_without_faces_the_objective_is_the_mean_over_outputs_of_noise_over_signal(model: ModelGraph) -> None:
    scorer = scorer_of(model, decoder=decoders.create("tensors", model))
    scorer.prepare()
    batch = candidate_of(scorer)
    batch[SMALL][0] += 2
    score = scored(scorer, batch)
    signal = float((scorer.float_outputs[SMALL].astype(float) ** 2).mean())
    assert score.per_image == (pytest.approx(1e6 * 4 / signal / 2, rel=1e-5), 0.0, 0.0)
    assert score.objective == pytest.approx(1e6 * 4 / signal / 6, rel=1e-5)
    assert (score.kind, score.unit) == ("tensors", "ppm")
    assert (score.cell_landmark_mse_px2, score.matched_landmark_mse_px2, score.faces) == (None, None, 0)
    assert score.outputs[SMALL]["mse"] == pytest.approx(4 / 3, rel=1e-5)
    dropped = scored(scorer, {SMALL: scorer.float_outputs[SMALL]})
    assert dropped.objective == pytest.approx(1e6 / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("grey", "says"), [((DARK, DARK), "no face in any of the 2"), ((BRIGHT, DARK, DARK), "1 of 3")]
)
def test_too_few_faces_of_the_float_model_stop_the_study(model: ModelGraph, grey: tuple[int, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        scorer_of(model, photographs(*grey)).prepare()
    for part in ("means (0.0, 0.0, 0.0)", "scale (255.0", "now rgb", "yolov5-face", '"threshold":0.4'):
        assert part in caught.value.hint


def test_half_of_the_photographs_with_a_face_are_enough(model: ModelGraph) -> None:
    scorer_of(model, photographs(BRIGHT, DARK)).prepare()


def test_photographs_of_another_size_are_refused(model: ModelGraph) -> None:
    images = [np.zeros((8, 8, 3), np.uint8)]
    with pytest.raises(ConfigError, match=r"1x3x64x64.*1x3x32x64"):
        scorer_of(model, PhotoSet.from_arrays(["a"], images, Preprocess(32, 64))).prepare()


def test_the_float_model_runs_once_and_a_broken_cache_is_made_anew(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    model = read(write_model(tmp_path / "tiny.onnx"))
    outputs = scorer_of(model, cache=cache).float_outputs
    (file,) = cache.iterdir()
    model.path.unlink()
    again = scorer_of(model, cache=cache).float_outputs
    assert all((again[name] == outputs[name]).all() for name in outputs)
    write_model(model.path)
    whole = file.read_bytes()
    for broken in (b"", b"nonsense", whole[:1000], whole[:3000] + b"\xff" * 200 + whole[3200:]):
        file.write_bytes(broken)
        again = scorer_of(model, cache=cache).float_outputs
        assert all((again[name] == outputs[name]).all() for name in outputs)
        assert file.read_bytes() == whole
    assert list(cache.iterdir()) == [file]
    other = scorer_of(model, photographs(BRIGHT), cache=cache)
    assert len(other.float_outputs[BIG]) == 1
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_done_without(model: ModelGraph, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    scorer = scorer_of(model, cache=tmp_path / "file")
    scorer.prepare()
    assert len(scorer.reference) == 4


def test_every_cut_that_the_graph_offers_keeps_the_faces(model: ModelGraph, scorer: TaskScorer) -> None:
    cuts = [(output, cut) for output, points in model.cut_points.items() for cut in points]
    assert (SMALL, ("small_raw",)) in cuts
    for cut in cuts:
        scorer.check_cut(Candidate(cuts=(cut,)))
        scorer.check_cut(Candidate(cuts=(cut,), dropped=tuple({SMALL, BIG} - {cut[0]})))
    scorer.check_cut(Candidate())


@pytest.mark.parametrize(("channel", "shift", "says"), [(5, 1e-4, "off by up to 0.0016"), (4, -60, "in place of")])
def test_a_cut_that_changes_the_faces_is_refused(
    model: ModelGraph, scorer: TaskScorer, channel: int, shift: float, says: str
) -> None:
    reference = candidate_of(scorer)
    reference[SMALL][0, 0, 2, 5, channel] += shift
    with pytest.raises(ModelError, match=f"small at small_raw.*{says}"):
        cutcheck.check_cut(
            model, scorer.decoder, scorer.photos, reference, Candidate(cuts=((SMALL, ("small_raw",)),)), threads=1
        )


def test_a_cut_of_a_model_without_faces_is_compared_by_its_outputs(model: ModelGraph) -> None:
    scorer = scorer_of(model, decoder=decoders.create("tensors", model))
    candidate = Candidate(cuts=((SMALL, ("small_raw",)),))
    scorer.check_cut(candidate)
    reference = candidate_of(scorer)
    reference[SMALL][0, 0, 0, 0, 0] += 0.1
    with pytest.raises(ModelError, match="output 'small' is off"):
        cutcheck.check_cut(model, scorer.decoder, scorer.photos, reference, candidate, threads=1)


def test_settings_tell_apart_what_decides_a_score(model: ModelGraph) -> None:
    one = scorer_of(model).settings
    assert one == scorer_of(model).settings
    assert one != scorer_of(model, face_sizes=(10.0, 30.0)).settings
    assert one != scorer_of(model, photographs(BRIGHT)).settings
    strict = decoders.create("yolov5-face", model, {"anchors": ANCHORS, "threshold": 0.6})
    assert one != scorer_of(model, decoder=strict).settings
