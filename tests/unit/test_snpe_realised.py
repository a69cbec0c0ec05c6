"""What was built against what was asked: every silent difference is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.snpe.artifact import BuiltDifferently
from mpsearch.toolchain.snpe.dlcinfo import DlcInfo, DlcOp, DlcTensor, Encoding
from mpsearch.toolchain.snpe.encodings import tensor_types
from mpsearch.toolchain.snpe.parameters import differences
from mpsearch.toolchain.snpe.realised import Realised, compare, conversions

A8W8, A16W8, A16W16, FLOAT16 = DataType.A8W8, DataType.A16W8, DataType.A16W16, DataType.FLOAT16
MIXED = Candidate("a8w8", overrides=(("Conv_3", A16W8), ("Conv_9", A16W16)))


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    return read(save(small_detector(), tmp_path_factory.mktemp("model") / "small.onnx"))


def dlc(graph: ModelGraph, candidate: Candidate, *, other: Mapping[str, str] | None = None) -> DlcInfo:
    """The listing of a faithful build; ``other``: tensor -> another type than the faithful one."""
    kinds = tensor_types(graph, candidate)
    spelled = {A8W8: "uFxp_8", A16W8: "uFxp_16", A16W16: "uFxp_16", FLOAT16: "Float_16"}

    def tensor(name: str, kind: str, where: str = "NATIVE") -> DlcTensor:
        return DlcTensor(name, graph.tensors[name].shape, (other or {}).get(name, kind), where)

    ops = []
    for number, node in enumerate(graph.nodes):
        kind = kinds[node.outputs[0]]
        weights = {A16W16: "sFxp_16", FLOAT16: "Float_16"}.get(kind, "sFxp_8")
        statics = [tensor(name, weights, "STATIC") for name in node.params[:1] if node.op_type == "Conv"]
        inputs = [tensor(name, spelled[kinds[name]]) for name in node.inputs]
        outputs = tuple(tensor(name, spelled[kinds[name]]) for name in node.outputs)
        ops.append(DlcOp(number, node.name, node.op_type, (*inputs, *statics), outputs))
    delivered = [t for several in graph.delivered(candidate).values() for t in several]
    ends = tuple(tensor(name, spelled[kinds[name]], "APP_READ") for name in delivered)
    return DlcInfo((DlcTensor("input", (1, 32, 32, 3), "uFxp_8"),), ends, tuple(ops))


def compared(graph: ModelGraph, candidate: Candidate, info: DlcInfo) -> Realised:
    return compare(info, graph, candidate, source="info.txt")


def test_a_faithful_build_has_no_differences(graph: ModelGraph) -> None:
    found = compared(graph, MIXED, dlc(graph, MIXED))
    assert (found.wrong, found.stray, found.unmapped, dict(found.left)) == ((), (), (), {})
    assert dict(found.types) == dict(graph.assign(MIXED))


@pytest.mark.parametrize(
    ("tensor", "built", "words"),
    [
        ("t3", "uFxp_8", "Conv_3: a8w8 instead of a16w8"),
        ("t4", "Float_16", "Conv_3: sFxp_8 weights with 16-bit activations instead of a16w8"),
        ("c2", "sFxp_16", "Conv_3: a16w16 instead of a16w8"),
        ("c6", "sFxp_8", "Conv_9: a16w8 instead of a16w16"),
        ("c0", "sFxp_16", "Conv_0: 16-bit weights with 8-bit activations instead of a8w8"),
        ("t7", "uFxp_16", "Add_7: a16w8 instead of a8w8"),
        ("t16", "Float_32", "output t16: float16 instead of"),
    ],
)
def test_each_tensor_that_came_out_otherwise_is_named(tensor: str, built: str, words: str, graph: ModelGraph) -> None:
    found = compared(graph, MIXED, dlc(graph, MIXED, other={tensor: built}))
    assert any(words in line for line in found.wrong), found.wrong


PLAIN = Encoding(8, -1.0, 1.0, 0.01, -128.0)
BY_CHANNEL, NARROW = replace(PLAIN, by_channel=True), replace(PLAIN, bits=4)


def with_constants(info: DlcInfo, node: str, *constants: DlcTensor) -> DlcInfo:
    """The same with other constants at one node."""
    ops = tuple(
        replace(op, inputs=(*(t for t in op.inputs if t.kind != "STATIC"), *constants)) if op.name == node else op
        for op in info.ops
    )
    return replace(info, ops=ops)


def weight(kind: str, encoding: Encoding | None) -> DlcTensor:
    return DlcTensor("c0", (3, 3, 3, 8), kind, "STATIC", encoding)


@pytest.mark.parametrize(
    ("options", "built", "words"),
    [
        ({"weight_bits": "4"}, weight("sFxp_8", PLAIN), "Conv_0: 8-bit weights instead of 4-bit ones"),
        ({"weight_bits": "4"}, weight("sFxp_8", None), "Conv_0: 8-bit weights instead of 4-bit ones"),
        ({}, weight("sFxp_8", NARROW), "Conv_0: 4-bit weights instead of 8-bit ones"),
        ({}, weight("uFxp_4", None), "Conv_0: 4-bit weights instead of 8-bit ones"),
        (
            {"weights": "per_channel"},
            weight("sFxp_8", PLAIN),
            "Conv_0: one scale for the weights instead of a scale for each channel",
        ),
        ({}, weight("sFxp_8", BY_CHANNEL), "Conv_0: a scale for each channel for the weights instead of one scale"),
        ({"bias_bits": "32"}, DlcTensor("c1", (8,), "uFxp_8", "STATIC"), "Conv_0: 8-bit bias instead of 32-bit"),
        ({}, DlcTensor("c1", (8,), "sFxp_32", "STATIC"), "Conv_0: 32-bit bias instead of 8-bit"),
        ({}, DlcTensor("c1", (8,), "Float_32", "STATIC"), "Conv_0: float bias instead of 8-bit"),
    ],
)
def test_weights_and_biases_that_came_out_otherwise_are_named(
    options: dict[str, str], built: DlcTensor, words: str, graph: ModelGraph
) -> None:
    assert graph.node["Conv_0"].params == ("c0", "c1")
    candidate = Candidate("a8w8", options=tuple(options.items()))
    found = compared(graph, candidate, with_constants(dlc(graph, candidate), "Conv_0", built))
    assert words in found.wrong


@pytest.mark.parametrize(
    ("options", "built"),
    [
        ({"weight_bits": "4"}, weight("sFxp_8", NARROW)),
        ({"weight_bits": "4"}, weight("sFxp_4", None)),
        ({"weights": "per_channel"}, weight("sFxp_8", BY_CHANNEL)),
        ({"weights": "per_channel"}, weight("sFxp_8", None)),  # the listing does not tell
        ({"bias_bits": "32"}, DlcTensor("c1", (8,), "sFxp_32", "STATIC")),
    ],
)
def test_weights_and_biases_as_asked_are_no_difference(
    options: dict[str, str], built: DlcTensor, graph: ModelGraph
) -> None:
    candidate = Candidate("a8w8", options=tuple(options.items()))
    found = compared(graph, candidate, with_constants(dlc(graph, candidate), "Conv_0", built))
    assert not [line for line in found.wrong if line.startswith("Conv_0:")]


def test_a_weight_with_a_range_of_its_own_has_one_scale_under_per_channel_too(graph: ModelGraph) -> None:
    candidate = Candidate("a8w8", options=(("weights", "per_channel"),))
    info = with_constants(dlc(graph, candidate), "Conv_0", weight("sFxp_8", PLAIN))
    assert compared(graph, candidate, info).wrong
    assert not compare(info, graph, candidate, source="info.txt", ranged=("c0",)).wrong


def test_the_bias_of_a_float_convolution_is_float(graph: ModelGraph) -> None:
    candidate = Candidate("a8w8", overrides=(("Conv_0", FLOAT16),))
    parts = (DlcTensor("c0", (3, 3, 3, 8), "Float_16", "STATIC"), DlcTensor("c1", (8,), "sFxp_32", "STATIC"))
    found = compared(graph, candidate, with_constants(dlc(graph, candidate), "Conv_0", *parts))
    assert found.wrong == ("Conv_0: a bias in sFxp_32 instead of float",)


def test_conversions_are_expected_at_borders_only(graph: ModelGraph) -> None:
    info = dlc(graph, MIXED)
    border = conversions(graph, MIXED)
    assert border == ("t2", "t4", "t7", "t8", "t11", "t13")
    converts = [
        DlcOp(90, f"{name}_convert", "Convert", (DlcTensor(name, (1,), "uFxp_8"),), (DlcTensor("c", (1,), "uFxp_16"),))
        for name in (*border, "t14")
    ]
    found = compared(graph, MIXED, replace(info, ops=(*info.ops, *converts)))
    assert found.stray == ("t14",)
    assert found.converts == len(border) + 1


def test_names_that_a_converter_changed_are_still_found(graph: ModelGraph) -> None:
    info = dlc(graph, MIXED)
    renamed = replace(
        info,
        ops=tuple(replace(op, outputs=tuple(replace(t, name=f"_{t.name}") for t in op.outputs)) for op in info.ops),
        outputs=tuple(replace(t, name=f"{t.name}.nchw") for t in info.outputs),
    )
    found = compared(graph, MIXED, renamed)
    assert not found.wrong
    assert found.tensors == (("t16", "t16.nchw"), ("t18", "t18.nchw"))


def test_units_of_which_nothing_is_listed_are_said_and_taken_as_asked(graph: ModelGraph) -> None:
    info = dlc(graph, MIXED)
    ops = tuple(
        replace(op, inputs=tuple(t for t in op.inputs if t.name != "t7"), outputs=())
        if op.name == "Add_7"
        else replace(op, inputs=tuple(t for t in op.inputs if t.name != "t7"))
        for op in info.ops
    )
    found = compared(graph, MIXED, replace(info, ops=ops))
    assert found.unmapped == ("Add_7",)
    assert found.types["Add_7"] is A8W8


def test_other_outputs_than_asked_are_a_failure(graph: ModelGraph, tmp_path: Path) -> None:
    info = dlc(graph, MIXED)
    with pytest.raises(BuiltDifferently, match="output 't18' is not in the DLC, which has t16"):
        compared(graph, MIXED, replace(info, outputs=info.outputs[:1]))
    with pytest.raises(BuiltDifferently, match="not asked for: t18"):
        compared(graph, replace(MIXED, dropped=("t18",)), info)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    """A Gemm and a MatMul."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "matmul.weight"], ["inner"], name="matmul"),
        helper.make_node("Relu", ["inner"], ["held"], name="relu"),
        helper.make_node("Gemm", ["held", "gemm.weight"], ["out"], name="gemm", transB=1),
    ]
    constants = {"matmul.weight": (12, 4), "gemm.weight": (3, 4)}
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "dense",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 2, 2])],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3])],
            [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    return read(save(made, tmp_path_factory.mktemp("model") / "dense.onnx"))


@pytest.mark.parametrize(
    ("options", "gemm", "matmul"),
    [
        ({}, False, False),
        ({"weights": "per_channel"}, True, None),  # a MatMul may have become a FullyConnected, which takes the flag
        ({"matmul_weights": "per_row"}, True, True),
        ({"weights": "per_channel", "matmul_weights": "per_row"}, True, True),
    ],
)
def test_products_have_a_scale_for_each_row_by_the_flags_that_their_operator_takes(
    options: dict[str, str], gemm: bool, matmul: bool | None, dense: ModelGraph
) -> None:
    candidate = Candidate("a8w8", options=tuple(options.items()))
    for unit, asked in (("gemm", gemm), ("matmul", matmul)):
        for built in (True, False):
            tensor = DlcTensor("w", (4, 4), "sFxp_8", "STATIC", replace(PLAIN, by_channel=built))
            found = list(differences(dense.unit[unit], A8W8, dense, candidate, lambda name, own=tensor: own, ()))
            assert bool(found) is (asked is not None and built != asked), (unit, built, found)
