"""What was built against what was asked: every silent difference is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.snpe.artifact import BuiltDifferently
from mpsearch.toolchain.snpe.dlcinfo import DlcInfo, DlcOp, DlcTensor
from mpsearch.toolchain.snpe.encodings import tensor_types
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
