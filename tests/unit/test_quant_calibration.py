"""Calibration algorithms, range sharing, entropy and tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mpsearch.candidate import Candidate, DataType
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.quant import algorithms, entropy, ranges, table
from mpsearch.quant.algorithms import Options
from mpsearch.quant.simulator import Simulator
from mpsearch.quant.statistics import BINS, Histograms, Statistics
from mpsearch.testing.models import Builder, save


def histogram_of(values: np.ndarray) -> Histograms:
    low, high = float(values.min()), float(values.max())
    counts = np.histogram(values, bins=BINS, range=(low, high))[0]
    return Histograms({"t": counts}, {"t": (low, high)})


@given(st.lists(st.tuples(st.floats(-9, 0, width=32), st.floats(0, 9, width=32)), min_size=1, max_size=9))
def test_a_moving_average_stays_between_what_was_seen(rows: list[tuple[float, float]]) -> None:
    known = Statistics({"t": np.array(rows, np.float32)})
    low, high = algorithms.moving_average(known, Options())("t")
    assert min(a for a, _ in rows) - 1e-6 <= low <= max(a for a, _ in rows) + 1e-6
    assert min(b for _, b in rows) - 1e-6 <= high <= max(b for _, b in rows) + 1e-6


def test_the_moving_averages_weight_is_that_of_the_past() -> None:
    known = Statistics({"t": np.array([[0, 100], [0, 0]], np.float32)})
    assert algorithms.moving_average(known, Options(moving_average_weight=0.25))("t") == (0.0, 25.0)


def test_divergence_clips_a_lone_outlier_and_keeps_a_flat_distribution() -> None:
    rng = np.random.default_rng(0)
    flat = rng.uniform(-1, 1, 1_000_000)
    low, high = algorithms.kl_divergence(histogram_of(flat), Options())("t")
    assert low < -0.98
    assert high > 0.98
    outlier = np.append(rng.normal(0, 1, 1_000_000), 60.0)
    low, high = algorithms.kl_divergence(histogram_of(outlier), Options())("t")
    assert 3 < high < 40
    assert low == pytest.approx(float(outlier.min()), rel=1e-6)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"moving_average_weight 1\.5"):
        Options(moving_average_weight=1.5)
    with pytest.raises(ValueError, match="divergence_first_quantize_bits"):
        Options(divergence_first_quantize_bits=40)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40))
def test_entropy_is_the_mean_difference_of_all_pairs(values: list[float]) -> None:
    magnitudes = np.abs(np.array(values))
    mean = magnitudes.mean()
    slow = 0.0 if mean < 1e-9 else float(np.abs(magnitudes[:, None] - magnitudes).mean() / (2 * mean))
    if mean == 0 or mean >= 1e-9:
        assert entropy.gini(np.array(values)) == pytest.approx(slow, abs=1e-9)


def test_an_entropy_file_is_read_back_in_the_engines_order() -> None:
    text = entropy.render({"b_2": 0.5, "a_1": 0.25}, {"a_1": 0.75})
    assert text == "@a_1:out0, 0.25\n@b_2:out0, 0.5\n@a_1:weight, 0.75\n"
    assert entropy.parse("Model converted with\n" + text) == {
        ("a_1", "out0"): 0.25,
        ("b_2", "out0"): 0.5,
        ("a_1", "weight"): 0.75,
    }
    with pytest.raises(ValueError, match="no line like"):
        entropy.parse("nothing here")


def concat_model(folder: Path) -> ModelGraph:
    """x -> a, b -> Concat -> y; a is also read by c -> z."""
    weights = {name: np.full((2, 2, 1, 1), value, np.float32) for name, value in {"a": 1.0, "b": 4.0, "c": 1.0}.items()}
    nodes = [
        helper.make_node("Conv", ["x", "aw"], ["at"], name="a"),
        helper.make_node("Conv", ["x", "bw"], ["bt"], name="b"),
        helper.make_node("Concat", ["at", "bt"], ["y"], name="cat", axis=1),
        helper.make_node("Conv", ["at", "cw"], ["z"], name="c"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
[helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 4, 4]) for n, c in (("y", 4), ("z", 2))],
        [numpy_helper.from_array(value, name + "w") for name, value in weights.items()],
    )  # fmt: skip
    path = folder / "concat.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), str(path))
    return read(path)


OWN: Callable[[str], tuple[float, float]] = {
    "x": (0.0, 1.0), "at": (-1.0, 2.0), "bt": (-3.0, 1.0), "y": (-3.0, 2.0), "z": (0.0, 5.0)
}.__getitem__  # fmt: skip


def test_a_concat_and_its_inputs_share_the_widest_range(tmp_path: Path) -> None:
    found = ranges.share(concat_model(tmp_path), OWN)
    assert found["at"] == found["bt"] == found["y"] == (-3.0, 2.0)
    assert found["z"] == (0.0, 5.0)


def test_a_concat_shares_no_range_with_inputs_of_another_type(tmp_path: Path) -> None:
    graph = concat_model(tmp_path)
    candidate = Candidate(overrides=(("b", DataType.INT16),))
    found = ranges.share(graph, OWN, graph.assign(candidate))
    assert found["at"] == (-1.0, 2.0)
    assert found["y"] == (-3.0, 2.0)


def sliced_model(folder: Path) -> ModelGraph:
    """x -> a; the first half of a goes into a Concat, the second into b, which goes there too."""
    b = Builder(seed=3)
    first = b.conv("input", 3, 4, kernel=1, name="a")
    zero, two, four, axis = (b.constant(np.array([value], np.int64)) for value in (0, 2, 4, 1))
    left = b.node("Slice", first, zero, two, axis, name="left")
    right = b.node("Slice", first, two, four, axis, name="right")
    joined = b.node("Concat", left, b.conv(right, 2, 2, kernel=1, name="b"), axis=1, name="join")
    return read(save(b.model([joined], shape=(1, 3, 8, 8)), folder / "sliced.onnx"))


def test_the_engines_toss_behind_an_int16_tensor_cuts_the_other_part_or_does_not(tmp_path: Path) -> None:
    graph = sliced_model(tmp_path)
    photos = np.random.default_rng(0).uniform(0, 1, (3, 3, 8, 8)).astype(np.float32)

    class Set(Photos):
        def __init__(self) -> None:
            self.images = photos

    candidate = Candidate(overrides=(("a", DataType.INT16),))
    types = dict(graph.assign(candidate)) | dict.fromkeys(("left", "right", "join", "output:t4"), DataType.UINT8)
    for parts in (False, True):
        simulator = Simulator(graph, Set(), Set(), options=Options(parts=parts))
        steps = {step.unit: step for step in simulator.plan(candidate, types).steps}
        read_as = steps["left"].sources[0][1]
        assert read_as is not None
        low, high = simulator.statistics.minmax(graph.unit["right" if parts else "left"].outputs[0])
        if parts:
            assert (read_as.low, read_as.high) == pytest.approx((min(low, 0.0), max(high, 0.0)))
        else:
            assert read_as.low <= low + 1e-6
            assert read_as.high >= high - 1e-6
        (batch,) = simulator.batches(Artifact(candidate, types))
        cut = batch[graph.outputs[0]][:, :2]
        assert cut.min() >= read_as.low - read_as.scale
        assert cut.max() <= read_as.high + read_as.scale


class Photos:
    digest = "d"

    def __init__(self) -> None:
        self.images = np.random.default_rng(0).uniform(0, 1, (3, 2, 4, 4)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int):  # type: ignore[no-untyped-def]
        yield from np.array_split(self.images, range(size, len(self.images), size))


def test_the_table_names_every_quantizer_in_the_engines_words(tmp_path: Path) -> None:
    graph = concat_model(tmp_path)
    simulator = Simulator(graph, Photos(), Photos())
    candidate = Candidate(overrides=(("c", DataType.INT16), ("output:z", DataType.INT16)))
    entries = simulator.table(Artifact(candidate, graph.assign(candidate)), ids={"at": "at_7"})
    assert {"@x:out0", "@at_7:out0", "@at_7:weight", "@y:out0", "@z:out0", "@attach_z/out0:out0"} <= set(entries)
    assert entries["@at_7:out0"]["qtype"] == "u8"
    assert entries["@z:out0"]["quantizer"] == "dynamic_fixed_point"
    loaded = yaml.safe_load(table.render(entries, {"z": "dynamic_fixed_point-i16"}))
    assert loaded["version"] == 2
    assert loaded["quantize_parameters"] == entries
    assert loaded["customized_quantize_layers"] == {"z": "dynamic_fixed_point-i16"}


@pytest.mark.parametrize("algorithm", ["moving_average", "kl_divergence"])
def test_other_algorithms_run_and_change_the_scales(tmp_path: Path, algorithm: str) -> None:
    graph, photos = concat_model(tmp_path), Photos()
    simulator = Simulator(graph, photos, photos, cache=tmp_path / "cache")
    plain, other = Candidate(), Candidate(algorithm=algorithm)  # type: ignore[arg-type]
    scales = [simulator.plan(c, graph.assign(c)).steps[0].targets[0][1] for c in (plain, other)]
    assert simulator.outputs(other, photos.images)["z"].shape == (3, 2, 4, 4)
    assert (scales[0] != scales[1]) == (algorithm == "moving_average")
