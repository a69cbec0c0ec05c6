"""What a board is timed on and by: real inputs, a reference against drift, temperatures, layers, baselines."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from lab_world import IO, MIXED, World, needs
from onnx import TensorProto, helper

from mpsearch.board.cost import CostModel
from mpsearch.board.profile import load
from mpsearch.candidate import Candidate, DataType
from mpsearch.device import opening, profiling, unittimes
from mpsearch.device.baselines import time_baselines
from mpsearch.device.unittimes import UnitTimes
from mpsearch.errors import ConfigError, TransientError
from mpsearch.testing.models import save, small_detector

pytestmark = pytest.mark.usefixtures("faults")
OFTEN = {"warm_up": 1, "least": 5, "most": 9}


def test_a_photograph_is_timed_beside_the_tools_random_bytes(world: World) -> None:
    artifact = world.toolchain().build(Candidate("uint8"))
    plain = world.board().time(artifact)
    assert plain.conditions["input"] == "random"
    assert "photograph" not in plain.conditions
    both = world.board(timing={**OFTEN, "input": "both"}).time(artifact)
    assert both.conditions["input"] == "random"
    ms, share = both.conditions["photograph"].split(" ms, ")
    assert float(ms) == pytest.approx(both.median_ms, rel=0.2)
    assert share.endswith(" of random")
    real = world.board(timing={**OFTEN, "input": "photograph"}).time(artifact)
    assert real.conditions["input"] == "photograph"


def test_a_model_for_camera_frames_is_timed_on_random_bytes_and_says_so(world: World) -> None:
    artifact = world.toolchain().build(Candidate("uint8", preprocess="nv12:64x32"))
    timing = world.board(timing={**OFTEN, "input": "photograph"}).time(artifact)
    assert timing.conditions["input"] == "random: the model takes frames of a camera"


def test_a_board_that_became_slower_is_noticed_and_its_times_corrected(world: World) -> None:
    board = world.board(timing={**OFTEN, "reference_s": 0.001})
    artifact = world.toolchain().build(Candidate("int16"))
    before = board.time(artifact)
    assert "as at the start" in before.conditions["reference"]
    world.lab.faults.set(slow_npu=-1)
    after = board.time(artifact)
    assert after.correction == pytest.approx(1 / 1.5, rel=0.1)
    assert after.median_ms == pytest.approx(before.median_ms, rel=0.1)
    assert "of the start: times multiplied by 0.6" in after.conditions["reference"]
    board.close()


def test_without_a_reference_a_timing_says_that_nothing_was_watched(world: World) -> None:
    board = world.board(timing={**OFTEN, "reference_s": None})
    timing = board.time(world.toolchain().build(Candidate("uint8")))
    assert timing.conditions["reference"] == "not watched"
    assert timing.correction == 1.0


def test_the_temperature_is_recorded_where_the_board_has_a_sensor(world: World) -> None:
    needs("ssh")
    board = world.board("ssh")
    world.lab.has_temperature(61.5)
    timing = board.time(world.toolchain().build(Candidate("uint8")))
    assert timing.conditions["temperature_c"] == "61.5 to 61.5"
    board.close()


def test_a_profile_has_a_row_for_every_unit_with_weights_and_a_sample_for_every_run(
    world: World, tmp_path: Path
) -> None:
    path, graph = world.lab.board_file("local"), world.graph
    layers = opening.profile_units(path, graph, world.photos, IO, Candidate("uint8"), cache=tmp_path, runs=3)
    weighted = [u.name for u in graph.units if u.macs and u.kind != "eltwise"]
    assert [layer.unit for layer in layers if layer.unit] == weighted
    assert {len(layer.samples_us) for layer in layers} == {3}
    rows = profiling.rows(layers)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert set(rows[0]) >= {"layer", "name", "unit", "time_ms", "samples_ms", "cycles"}
    known = unittimes.load(unittimes.file(tmp_path, graph, "lab-local"))
    assert set(known.unit_ms) == set(weighted)
    assert sum(known.unit_ms.values()) + known.rest_ms == pytest.approx(sum(layer.time_us for layer in layers) / 1000)


def test_what_a_board_said_of_the_units_corrects_what_the_search_expects(world: World, tmp_path: Path) -> None:
    graph = world.graph
    model = CostModel(load("vs680"), graph)
    slow, plain, *_ = (u.name for u in graph.units if u.macs)
    said = {slow: 3 * model.work(slow, DataType.UINT8).total_ms, plain: model.work(plain, DataType.UINT8).total_ms}
    said |= {"": 0.0}
    times = UnitTimes(graph.digest, "mine", Candidate("uint8"), said, 0.0)
    assert unittimes.prior(tmp_path, graph, "mine", model) is model
    unittimes.save(times, unittimes.file(tmp_path, graph, "mine"))
    prior = unittimes.prior(tmp_path, graph, "mine", model)
    for kind in (DataType.UINT8, DataType.INT16):
        assert prior.work(slow, kind).total_ms == pytest.approx(3 * model.work(slow, kind).total_ms)
        assert prior.work(plain, kind).total_ms == pytest.approx(model.work(plain, kind).total_ms)
    assert prior.base_ms(Candidate()) == pytest.approx(2 * model.base_ms(Candidate()))  # the middle of 1 and 3
    assert unittimes.prior(tmp_path, graph, "another board", model) is model
    unittimes.file(tmp_path, graph, "mine").write_text("{}")
    with pytest.raises(ConfigError, match="no times of units"):
        unittimes.prior(tmp_path, graph, "mine", model)


def test_runs_with_other_layers_are_not_mixed() -> None:
    first = (profiling.Layer(0, 1, 5, 1, 1, "NN", "Convolution", samples_us=(5,)),)
    other = (profiling.Layer(0, 1, 7, 1, 1, "NN", "Pooling", samples_us=(7,)),)
    (merged,) = profiling.merge([first, (profiling.Layer(0, 3, 9, 1, 1, "NN", "Convolution", samples_us=(9,)),)])
    assert (merged.time_us, merged.samples_us, merged.cycles) == (7, (5, 9), 1)
    with pytest.raises(TransientError, match="different layers"):
        profiling.merge([first, other])


def quantized_onnx(path: Path) -> Path:
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [1, 3, 8, 8])], [value("y", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor("s", TensorProto.FLOAT, [], [0.1]), helper.make_tensor("z", TensorProto.UINT8, [], [0])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), str(path))
    return path


def tflite(path: Path, kind: int) -> Path:
    """A TensorFlow Lite file with one input and one output of a type (3: uint8, 0: float32), and no operators."""
    made = flatbuffers.Builder(512)

    def vector(values: list[int], *, tables: bool = False) -> int:
        made.StartVector(4, len(values), 4)
        for value in reversed(values):
            made.PrependUOffsetTRelative(value) if tables else made.PrependInt32(value)
        return made.EndVector()

    def tensor(name: str, shape: list[int]) -> int:
        text, sizes = made.CreateString(name), vector(shape)
        made.StartObject(4)
        made.PrependUOffsetTRelativeSlot(0, sizes, 0)
        made.PrependInt8Slot(1, kind, 0)
        made.PrependUOffsetTRelativeSlot(3, text, 0)
        return made.EndObject()

    tensors = vector([tensor("image", [1, 8, 8, 3]), tensor("faces", [1, 16])], tables=True)
    inputs, outputs = vector([0]), vector([1])
    made.StartObject(5)
    for slot, offset in enumerate((tensors, inputs, outputs)):
        made.PrependUOffsetTRelativeSlot(slot, offset, 0)
    graphs = vector([made.EndObject()], tables=True)
    made.StartObject(8)
    made.PrependUint32Slot(0, 3, 0)
    made.PrependUOffsetTRelativeSlot(2, graphs, 0)
    made.Finish(made.EndObject(), file_identifier=b"TFL3")
    path.write_bytes(bytes(made.Output()))
    return path


def test_models_that_are_quantized_already_are_converted_and_timed_as_they_are(world: World, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    models = [
        tflite(tmp_path / "quantized face.tflite", 3),
        tflite(tmp_path / "float.tflite", 0),
        quantized_onnx(tmp_path / "qdq.onnx"),
        tmp_path / "notes.txt",
    ]
    found = list(time_baselines(world.lab.board_file("local"), models, cache=tmp_path / "cache"))
    assert [item.model for item in found] == models
    good, slow, qdq, wrong = found
    for item in (good, slow, qdq):
        assert item.timing is not None
        assert item.timing.source == "board"
        assert item.size_bytes > 0
    assert good.note == qdq.note == ""
    assert "float16" in slow.note
    assert wrong.timing is None
    assert "unknown network format: .txt" in wrong.note
    with pytest.raises(ConfigError, match="no such file"):
        list(time_baselines(world.lab.board_file("local"), [tmp_path / "absent.onnx"], cache=tmp_path))


def test_a_float_network_given_as_a_baseline_says_what_becomes_of_it(world: World, tmp_path: Path) -> None:
    model = save(small_detector(seed=3), tmp_path / "float.onnx")
    (found,) = time_baselines(world.lab.board_file("local"), [model], cache=tmp_path)
    assert found.timing is not None
    assert "float16" in found.note
    assert found.timing.median_ms > world.board().time(world.toolchain().build(MIXED)).median_ms
    assert np.isfinite(found.build_s)


def test_a_slow_board_is_waited_for(world: World) -> None:
    artifact = world.toolchain().build(Candidate("uint8"))
    board = world.board()
    world.lab.faults.set(slow=1)
    assert board.time(artifact).median_ms > 0
