"""The reader: units, cuts, and refusals that name file, node and next step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import ModelError
from mpsearch.graph import onnxio
from mpsearch.graph.model import Role, output_unit
from mpsearch.graph.read import read
from mpsearch.testing.models import Builder, save, small_detector


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return save(small_detector(), tmp_path / "small.onnx")


def test_a_convolution_takes_its_activation_along_and_data_movers_choose_nothing(small: Path) -> None:
    graph = read(small)
    stem = graph.unit["Conv_0"]
    assert stem.nodes == ("Conv_0", "Sigmoid_1", "Mul_2")
    assert stem.fused
    assert stem.inputs == ("input",)
    roles = {graph.node[name].op_type: graph.unit[graph.unit_of[name]].role for name in graph.node}
    assert roles["Concat"] is roles["Resize"] is roles["MaxPool"] is roles["Reshape"] is Role.TRANSPARENT
    assert roles["Add"] is Role.COMPUTE
    assert [u.kind for u in graph.units if u.kind == "depthwise"] == ["depthwise"]
    assert [u.name for u in graph.units if u.role is Role.OUTPUT] == [output_unit(o) for o in graph.outputs]


def test_every_node_belongs_to_exactly_one_unit(small: Path) -> None:
    graph = read(small)
    members = [node for unit in graph.units for node in unit.nodes]
    assert sorted(members) == sorted(graph.node)


def test_macs_of_a_convolution_are_counted_by_hand(tmp_path: Path) -> None:
    b = Builder()
    path = save(b.model([b.conv("input", 3, 8, kernel=3, stride=2)], shape=(1, 3, 10, 12)), tmp_path / "m.onnx")
    assert read(path).macs == 5 * 6 * 3 * 3 * 3 * 8


@pytest.mark.parametrize("activation", ["hardswish", "hardsigmoid", "add_clip_div", "prelu"])
def test_activations_as_exporters_write_them_are_fused(tmp_path: Path, activation: str) -> None:
    b = Builder(opset=14)
    x = b.conv("input", 3, 4)
    three, six, zero = (b.constant(np.float32(v)) for v in (3, 6, 0))
    if activation == "hardswish":
        y = b.node("HardSwish", x)
    elif activation == "hardsigmoid":
        y = b.node("Mul", x, b.node("HardSigmoid", x))
    elif activation == "prelu":
        y = b.node("PRelu", x, b.constant(np.full((4, 1, 1), 0.1, np.float32)))
    else:
        y = b.node("Div", b.node("Mul", x, b.node("Clip", b.node("Add", x, three), zero, six)), six)
    graph = read(save(b.model([y]), tmp_path / "m.onnx"))
    assert [unit.kind for unit in graph.compute_units] == ["conv"]
    assert len(graph.units) == 2


def test_a_value_with_another_reader_is_not_fused_away(tmp_path: Path) -> None:
    b = Builder()
    x = b.conv("input", 3, 4)
    y = b.node("Relu", x)
    graph = read(save(b.model([b.node("Add", x, y)]), tmp_path / "m.onnx"))
    assert [unit.kind for unit in graph.compute_units] == ["conv", "activation", "eltwise"]


def test_cuts_peel_trailing_layers_nearest_first(small: Path) -> None:
    graph = read(small)
    near, far = graph.outputs
    conv = graph.node[graph.producer[near]].inputs[0]
    assert graph.cut_points[near] == ((conv,), (graph.node[graph.producer[conv]].inputs[0],))
    assert len(graph.cut_points[far]) == 1


def test_a_tail_is_all_that_lies_behind_a_node_outputs_included(small: Path) -> None:
    graph = read(small)
    concat = next(n.name for n in graph.nodes if n.op_type == "Concat")
    near, _ = graph.outputs
    head = graph.node[graph.consumers[graph.node[concat].outputs[0]][0]].name
    behind = graph.units_after(concat, Candidate())
    assert head in behind
    assert output_unit(near) in behind
    assert concat not in behind


def test_transparent_units_take_the_widest_type_of_their_inputs(small: Path) -> None:
    graph = read(small)
    deep = next(u for u in graph.compute_units if u.weights == 8 * 16 + 16)
    types = graph.assign(Candidate(overrides=((deep.name, DataType.INT16),)))
    kinds = {graph.unit[name].kind: kind for name, kind in types.items() if graph.unit[name].role is Role.TRANSPARENT}
    assert kinds["resize"] == kinds["concat"] == DataType.INT16
    assert kinds["pool"] == DataType.UINT8


def test_the_part_behind_a_cut_completes_to_the_same_outputs(small: Path) -> None:
    graph = read(small)
    deepest = Candidate(cuts=tuple((o, graph.cut_points[o][-1]) for o in graph.outputs))
    image = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    whole = onnxio.FloatModel(graph).run(image)
    tensors = [tensor for names in graph.delivered(deepest).values() for tensor in names]
    device = onnxio.FloatModel(graph, tensors=tensors).run(image)
    completed = onnxio.Tail(graph, deepest).complete(device)
    assert completed.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_allclose(completed[name], value, rtol=1e-5, atol=1e-6)


def test_external_data_counts_in_the_digest_as_if_it_were_inside(tmp_path: Path) -> None:
    model = small_detector()
    inside = read(save(model, tmp_path / "inside.onnx")).digest
    onnx.save(model, str(tmp_path / "outside.onnx"), save_as_external_data=True, location="w.data", size_threshold=0)
    assert read(tmp_path / "outside.onnx").digest == inside
    data = bytearray((tmp_path / "w.data").read_bytes())
    data[5] ^= 1
    (tmp_path / "w.data").write_bytes(data)
    assert read(tmp_path / "outside.onnx").digest != inside


def test_nameless_and_repeated_nodes_are_renamed_and_reported(tmp_path: Path) -> None:
    model = small_detector()
    for node in model.graph.node[:3]:
        node.name = ""
    model.graph.node[4].name = model.graph.node[3].name
    graph = read(save(model, tmp_path / "m.onnx"))
    assert len(graph.node) == len(graph.nodes)
    assert len(graph.notes) == 2
    again = onnxio.load(tmp_path / "m.onnx")
    assert [n.name for n in again.graph.node] == [n.name for n in graph.nodes]


def _dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    b = Builder()  # without a Reshape that would say which size fits
    return b.model([b.conv("input", 3, 4)], shape=(1, 3, "height", 32))


def _quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[0].op_type = "QLinearConv"
    return model


def _loop(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[0].op_type = "Loop"
    return model


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    weight = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float16)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, model.graph.initializer[0].name))
    return model


def _nan(model: onnx.ModelProto) -> onnx.ModelProto:
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight.flat[0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, model.graph.initializer[0].name))
    return model


def _two_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    extra = model.graph.input.add()
    extra.CopyFrom(model.graph.input[0])
    extra.name = "second"
    return model


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_dynamic, "--input-shape 1,3,480,32"),
        (_quantized, "quantized already"),
        (_loop, "control flow"),
        (_half, "float16"),
        (_nan, "NaN"),
        (_two_inputs, "second"),
    ],
)
def test_models_that_cannot_be_searched_are_refused_by_name(tmp_path: Path, spoil: object, says: str) -> None:
    path = save(spoil(small_detector()), tmp_path / "bad.onnx")  # type: ignore[operator]
    with pytest.raises(ModelError) as error:
        read(path)
    assert says in str(error.value)
    assert "bad.onnx" in str(error.value)
    assert error.value.hint


def test_a_dynamic_model_can_be_given_a_shape(tmp_path: Path) -> None:
    b = Builder()
    path = save(b.model([b.conv("input", 3, 4)], shape=(1, 3, "h", "w")), tmp_path / "m.onnx")
    graph = read(path, input_shape=(1, 3, 16, 24))
    assert graph.tensors[graph.outputs[0]].shape == (1, 4, 16, 24)
    assert onnxio.FloatModel(graph).run(np.zeros((1, 3, 16, 24), np.float32))[graph.outputs[0]].shape == (1, 4, 16, 24)


@pytest.mark.parametrize("content", [b"", b"not an onnx file at all", b"version https://git-lfs.github.com/spec/v1\n"])
def test_broken_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        read(path)
    with pytest.raises(ModelError, match="no such file"):
        read(tmp_path / "absent.onnx")


def test_the_walk_throughs_tail_is_found_on_its_own_graph(shared: Path) -> None:
    graph = read(shared / "data/models/yolov5s_face_480x640_untrained.onnx")
    cut = Candidate(cuts=(("output_0", ("349",)), ("output_1", ("369",)), ("output_2", ("389",))))
    tail = graph.units_after("Concat_155", cut)
    asked = Candidate(cuts=cut.cuts, overrides=tuple((name, DataType.INT16) for name in sorted(tail)))
    assert {name for name, kind in graph.assign(asked).items() if kind == DataType.INT16} == set(tail)
    assert len(graph.units) == 100
    assert round(graph.macs / 1e9, 2) == 5.71
