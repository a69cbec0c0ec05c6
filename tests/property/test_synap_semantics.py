"""What we write in a metafile means, by the toolkit's rules, what was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.candidate import BASES, Algorithm, Candidate, DataType
from mpsearch.graph.cuts import cut_points
from mpsearch.graph.model import Conv, ModelGraph, Node, Role, Tensor, output_unit
from mpsearch.graph.units import build_units
from mpsearch.toolchain.synap import rules
from mpsearch.toolchain.synap.layers import read_ids, read_map
from mpsearch.toolchain.synap.metafile import MetafileIO, render
from mpsearch.toolchain.synap.net import LayerNet, build
from mpsearch.toolchain.synap.parse import parse
from mpsearch.toolchain.synap.semantics import MapError, base_and_ground, interpret
from mpsearch.toolchain.synap.yamltext import dump

IO = MetafileIO(scale=255)
SHAPE = (1, 8, 4, 4)


@st.composite
def graphs(draw: st.DrawFn) -> ModelGraph:
    """Small nets of convolutions with and without activations, additions, concatenations and pools."""
    nodes: list[Node] = []
    tensors = ["image"]

    def add(op: str, *inputs: str) -> str:
        name = f"{op}_{len(nodes)}"
        conv = Conv((1, 1), (1, 1), 1, 8, 8, (4, 4)) if op == "Conv" else None
        nodes.append(Node(name, op, inputs, (), (f"t{len(nodes)}",), conv=conv))
        return nodes[-1].outputs[0]

    for _ in range(draw(st.integers(1, 9))):
        source = draw(st.sampled_from(tensors[-3:]))
        match draw(st.sampled_from(["conv", "silu", "silu", "relu", "add", "concat", "pool"])):
            case "conv":
                tensors.append(add("Conv", source))
            case "silu":
                x = add("Conv", source)
                tensors.append(add("Mul", x, add("Sigmoid", x)))
            case "relu":
                tensors.append(add("Relu", add("Conv", source)))
            case "pool":
                tensors.append(add("MaxPool", source))
            case op:
                tensors.append(add(op.title(), source, draw(st.sampled_from(tensors))))
    read = {tensor for node in nodes for tensor in node.inputs}
    outputs = tuple(tensor for node in nodes for tensor in node.outputs if tensor not in read)
    shapes = {name: Tensor(name, SHAPE) for name in ["image", *(t for node in nodes for t in node.outputs)]}
    return ModelGraph(
        Path("net.onnx"), "0", 13, tuple(nodes), shapes, build_units(nodes, outputs), ("image",), outputs,
        cut_points(nodes, outputs),
    )  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> tuple[ModelGraph, Candidate]:
    """A graph and a legal candidate on it, its overrides on units that are live."""
    graph = draw(graphs())
    base = draw(st.sampled_from(list(BASES)))
    dropped = draw(st.lists(st.sampled_from(graph.outputs), max_size=len(graph.outputs) - 1, unique=True))
    where = Candidate(base, draw(st.sampled_from(Algorithm)), dropped=tuple(dropped))
    if base == "float16":
        return graph, replace(where, algorithm=Algorithm.STANDARD)
    kinds = [DataType.INT16, DataType.FLOAT16]
    if base == "int16":
        kinds.append(draw(st.sampled_from([DataType.UINT8, DataType.INT8])))
    choosing = [unit.name for unit in graph.live(where) if unit.role is not Role.TRANSPARENT]
    overrides = draw(st.dictionaries(st.sampled_from(choosing), st.sampled_from(kinds)))
    candidate = replace(where, overrides=tuple(overrides.items()))
    if rules.illegal(graph, candidate):  # int16 convolutions over per-channel int8
        candidate = replace(candidate, base="int8-dfp")
    return graph, candidate


def data_type(text: str) -> dict[str, DataType]:
    found = yaml.safe_load(text)["quantization"]["data_type"]
    return {key: DataType(kind) for key, kind in (found if isinstance(found, dict) else {"*": found}).items()}


def unit_types(net: LayerNet, kinds: tuple[DataType, ...]) -> dict[str, set[DataType]]:
    found: dict[str, set[DataType]] = {}
    for layer, kind in zip(net.layers, kinds, strict=True):
        if layer.unit is not None:
            found.setdefault(layer.unit, set()).add(kind)
    return found


@given(cases())
@settings(max_examples=300, deadline=None)
def test_the_text_means_the_candidate_without_what_it_reports_as_unresolved(
    case: tuple[ModelGraph, Candidate],
) -> None:
    graph, candidate = case
    made = render(graph, candidate, IO, target="VS640", model_path="net.onnx")
    lost = {(item.unit, item.type) for item in made.unresolved}
    assert set(candidate.overrides) - lost == set(made.candidate.overrides)
    if candidate.base == "float16":
        assert "quantization" not in yaml.safe_load(made.text)
        return
    wanted = graph.assign(made.candidate)
    for edges in (False, True):
        net = build(graph, candidate, edges=edges)
        for unit, kinds in unit_types(net, interpret(data_type(made.text), net)).items():
            assert kinds == {wanted[unit]}


@given(cases())
@settings(max_examples=200, deadline=None)
def test_a_metafile_of_ours_reads_back_as_its_candidate(case: tuple[ModelGraph, Candidate]) -> None:
    graph, candidate = case
    made = render(graph, candidate, IO, target="VS640", model_path="net.onnx")
    if not made.unresolved:
        back = parse(made.text, graph)
        assert back.candidate == candidate
        assert made.text == render(graph, back.candidate, IO, target="VS640", model_path="net.onnx").text


@given(cases())
@settings(max_examples=200, deadline=None)
def test_with_a_layer_map_nothing_is_left_unresolved(case: tuple[ModelGraph, Candidate]) -> None:
    graph, candidate = case
    ids = {}
    for unit in graph.units:
        ids.update(dict.fromkeys(unit.nodes[1:], f"layer of {unit.name}"))
    ids.update({output_unit(output): f"attach {output}" for output in graph.outputs})
    made = render(graph, candidate, IO, target="VS640", model_path="net.onnx", layer_ids=ids)
    assert made.unresolved == ()
    assert parse(made.text, graph, layer_ids=ids).candidate == candidate


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_a_tail_is_the_same_set_in_layers_and_in_the_graph(graph: ModelGraph) -> None:
    net = build(graph, Candidate())
    for unit in graph.units:
        if len(unit.nodes) == 1:
            after = net.after[net.index[unit.name]]
            layers = {layer.unit for i, layer in enumerate(net.layers) if after >> i & 1 and layer.unit}
            assert layers == graph.units_after(unit.name, Candidate())


def replay(types: dict[str, DataType], net: LayerNet) -> list[DataType]:
    """The toolkit's steps, one layer at a time; KeyError and LookupError where it fails."""
    narrow = [kind for kind in types.values() if kind in (DataType.UINT8, DataType.INT8)]
    base = narrow[0] if narrow else types.get("*", DataType.UINT8)
    table: dict[int, DataType] = {}
    if types.get("*", base) != base:
        table = dict.fromkeys(range(len(net.layers)), types["*"])
    for key, kind in types.items():
        if key == "*":
            continue
        lids = [0] if key == "INPUTS" else [net.index[key.removesuffix("...")]]
        if key.endswith("..."):
            start, lids = lids[0], []
            for index, layer in enumerate(net.layers):
                if start in layer.parents or set(lids) & set(layer.parents):
                    lids.append(index)
        for lid in lids:
            if kind == base:
                del table[lid]
            else:
                table[lid] = kind
    if not table and any(kind != base for kind in types.values()):
        raise LookupError("No layers to requantize")
    return [table.get(index, base) for index in range(len(net.layers))]


@given(graphs(), st.data())
@settings(max_examples=300, deadline=None)
def test_any_map_gives_what_the_toolkits_own_steps_give(graph: ModelGraph, data: st.DataObject) -> None:
    net = build(graph, Candidate())
    names = [layer.key for layer in net.layers if layer.key]
    keys = ["*", "INPUTS", "nowhere", *names, *(f"{name}..." for name in names)]
    kinds = st.sampled_from([DataType.UINT8, DataType.UINT8, DataType.INT16, DataType.FLOAT16])
    types = data.draw(st.dictionaries(st.sampled_from(keys), kinds, min_size=1))
    if base_and_ground(types)[0] is DataType.FLOAT16:
        return
    try:
        expected = tuple(replay(types, net))
    except LookupError:
        with pytest.raises(MapError):
            interpret(types, net)
    else:
        assert interpret(types, net) == expected


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.text(), st.booleans(), st.integers(), st.floats(-1e9, 1e9))))
def test_yaml_text_reads_back_as_the_value(value: dict[str, str | bool | int | float]) -> None:
    assert (yaml.safe_load(dump(value)) or {}) == value


@given(cases())
@settings(max_examples=60, deadline=None)
def test_layer_ids_of_a_probe_are_found_again(case: tuple[ModelGraph, Candidate]) -> None:
    graph, candidate = case
    net = build(graph, candidate, edges=False)
    expected, lines = {}, []
    delivered = graph.delivered(candidate)
    live = {n.name for n in graph.nodes_behind(t for ts in delivered.values() for t in ts)}
    for unit in graph.units:
        for nodes in (unit.nodes[:1], unit.nodes[1:]):
            if nodes and nodes[0] in live:
                layer = "_".join(f"{graph.node[n].op_type}_{n}_{len(lines) + i}" for i, n in enumerate(nodes))
                expected.update(dict.fromkeys(nodes, layer))
                lines += [f"  '@{layer}:out0':", f"  '@{layer}_acuity_mark_perm_{len(lines)}:out0':"]
    for tensor in (t for ts in delivered.values() for t in ts):
        node = graph.node[graph.producer[tensor]]
        expected[output_unit(tensor)] = f"attach_{node.op_type}_{node.name}/out0_{len(lines)}"
        lines.append(f"@{expected[output_unit(tensor)]}:out0, 0.5")
    found = read_map("\n".join(lines), graph, candidate)
    assert found.ids == expected
    assert found.missing == () and found.unused == () and not found.ambiguous  # noqa: PT018
    assert len(read_ids("\n".join(lines))) == len(lines)
    assert len(set(expected.values())) == len(net.layers) - 1
