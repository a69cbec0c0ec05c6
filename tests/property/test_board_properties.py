"""What must hold of the cost model whatever the graph: it prices work, and conversions, and nothing below zero."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.board import cost, profile
from mpsearch.board.parameters import Htp, Profile, VeriSilicon
from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import Conv, ModelGraph, Node, Role, Tensor
from mpsearch.graph.units import build_units

PROFILES = [profile.load(name) for name in profile.names()]
SYNAP = [found for found in PROFILES if isinstance(found, VeriSilicon)]
HTP = [found for found in PROFILES if isinstance(found, Htp)]
TYPES = (DataType.UINT8, DataType.INT16, DataType.FLOAT16)


def make_chain(layers: list[tuple[int, int, int, str]], *, channels: int = 3, size: int = 64) -> ModelGraph:
    """Convolutions one after another: (out channels, or 0 for depthwise; kernel; stride; activation)."""
    tensors = {"in": Tensor("in", (1, channels, size, size))}
    nodes: list[Node] = []

    def put(op: str, inputs: tuple[str, ...], shape: tuple[int, ...], conv: Conv | None = None, macs: int = 0) -> str:
        name = f"{op}_{len(nodes)}"
        tensors[name] = Tensor(name, shape)
        weights = macs // prod(shape[2:]) if macs else 0
        nodes.append(Node(name, op, inputs, (), (name,), {}, macs, weights, conv))
        return name

    x = "in"
    for wanted, kernel, stride, act in layers:
        _, into, height, width = tensors[x].shape
        out, group = (wanted, 1) if wanted else (into, into)
        sizes = (-(-height // stride), -(-width // stride))
        conv = Conv((kernel, kernel), (stride, stride), group, into, out, sizes)
        x = put("Conv", (x,), (1, out, *sizes), conv, kernel**2 * (into // group) * out * prod(sizes))
        if act == "Silu":
            x = put("Mul", (x, put("Sigmoid", (x,), tensors[x].shape)), tensors[x].shape)
        elif act:
            x = put(act, (x,), tensors[x].shape)
    return ModelGraph(
        Path("chain.onnx"), "chain", 13, tuple(nodes), tensors, build_units(nodes, (x,)), ("in",), (x,), {}
    )


LAYER = st.tuples(
    st.sampled_from((0, 1, 8, 22, 23, 48, 130)),
    st.sampled_from((1, 3, 5)),
    st.sampled_from((1, 2)),
    st.sampled_from(("", "Relu", "Clip", "LeakyRelu", "Silu")),
)
CHAINS = st.builds(
    make_chain,
    st.lists(LAYER, min_size=1, max_size=6),
    channels=st.sampled_from((1, 3, 16)),
    size=st.sampled_from((16, 64, 320)),
)
BOARDS = st.sampled_from(PROFILES)
SYNAP_BOARDS = st.sampled_from(SYNAP)
HTP_BOARDS = st.sampled_from(HTP)


def typed(graph: ModelGraph, base: str, kinds: list[DataType]) -> Candidate:
    names = [unit.name for unit in graph.units if unit.role is not Role.TRANSPARENT]
    return Candidate(base, overrides=tuple(zip(names, kinds, strict=False)))


def price(board: Profile, graph: ModelGraph, candidate: Candidate) -> cost.Cost:
    return cost.estimate(board, graph, candidate, graph.assign(candidate))


@given(BOARDS, CHAINS, st.lists(st.sampled_from(TYPES), max_size=7))
def test_a_total_is_its_parts_and_also_its_units_edges_and_fixed_cost(
    board: Profile, graph: ModelGraph, kinds: list[DataType]
) -> None:
    found = price(board, graph, typed(graph, "uint8", kinds))
    assert found.total_ms > 0
    assert all(ms >= 0 for ms in (*found.parts_ms.values(), *found.unit_ms.values()))
    assert all(ms > 0 for unit, ms in found.unit_ms.items() if not unit.startswith("output:"))
    assert sum(found.parts_ms.values()) == pytest.approx(found.total_ms)
    pieces = sum(found.unit_ms.values()) + sum(found.edge_ms.values()) + board.fixed_ms
    assert pieces == pytest.approx(found.total_ms)


@given(
    BOARDS,
    st.sampled_from(("uint8", "int16", "float16")),
    st.sampled_from((0, 8, 48)),
    st.sampled_from((1, 3)),
    st.sampled_from(("out", "kernel", "size")),
)
def test_more_work_is_never_cheaper(board: Profile, base: str, out: int, kernel: int, what: str) -> None:
    less = make_chain([(out, kernel, 1, "Silu")], channels=16)
    # (A depthwise convolution, out 0, stays one: making it dense is another operation, not more of it.)
    more = make_chain(
        [(out + (22 if what == "out" and out else 0), kernel + (2 if what == "kernel" else 0), 1, "Silu")],
        channels=16,
        size=96 if what == "size" else 64,
    )
    candidate = Candidate(base)
    assert price(board, more, candidate).total_ms >= price(board, less, candidate).total_ms


@given(BOARDS, CHAINS, st.data())
def test_widening_a_unit_to_int16_never_makes_it_faster(board: Profile, graph: ModelGraph, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(graph.compute_units)).name
    model = cost.CostModel(board, graph)
    narrow, wide = model.work(unit, DataType.UINT8), model.work(unit, DataType.INT16)
    assert wide.total_ms >= narrow.total_ms * (1 - 1e-12)
    if isinstance(board, VeriSilicon):  # an HTP waits for the same 8-bit weights in both
        assert wide.total_ms > narrow.total_ms
    assert all(wide[engine] >= narrow[engine] for engine in ("NN", "TP", "HMX", "HVX"))


@given(BOARDS, CHAINS)
def test_uniform_types_order_as_their_width_does(board: Profile, graph: ModelGraph) -> None:
    uint8, int8, int16 = (price(board, graph, Candidate(base)).total_ms for base in ("uint8", "int8-pc", "int16"))
    assert uint8 == int8
    assert int16 > uint8 or (isinstance(board, Htp) and int16 == pytest.approx(uint8))


@given(SYNAP_BOARDS, st.integers(1, 10**7))
def test_leaving_16_bits_is_never_free_and_dearer_than_entering(board: Profile, elements: int) -> None:
    edge = cost.Edge("a", "b", "t", (1, elements))
    model = cost.CostModel(board, make_chain([(8, 1, 1, "")]))
    for kind in TYPES:
        assert model.conversion_ms(edge, kind, kind) == 0
    leaving = model.conversion_ms(edge, DataType.INT16, DataType.UINT8)
    entering = model.conversion_ms(edge, DataType.UINT8, DataType.INT16)
    assert leaving > entering > 0
    assert model.conversion_ms(edge, DataType.FLOAT16, DataType.UINT8) == leaving


@given(BOARDS, st.lists(LAYER, min_size=3, max_size=5))
def test_an_int16_island_pays_at_its_exit_and_a_tail_does_not(
    board: Profile, layers: list[tuple[int, int, int, str]]
) -> None:
    graph = make_chain(layers)
    units = graph.compute_units
    middle = price(board, graph, Candidate(overrides=((units[1].name, DataType.INT16),)))
    exits = {edge for edge in middle.edge_ms if edge.producer == units[1].name}
    assert {edge.consumer for edge in exits} == {units[2].name}
    assert middle.parts_ms["conversions"] > 0
    tail = Candidate(overrides=tuple((u.name, DataType.INT16) for u in graph.units[1:]))
    assert [edge.consumer for edge in price(board, graph, tail).edge_ms] == [units[1].name]


FASTER = {
    VeriSilicon: ("nn_clock_ghz", "tp_gcycles_per_s", "ddr_gbyte_per_s", "shader_gmac_per_s", "sram_bytes"),
    Htp: ("hmx_gmac_per_s", "hvx_gbyte_per_s", "depthwise_gmac_per_s", "ddr_gbyte_per_s", "vtcm_bytes"),
}


@given(BOARDS, CHAINS, st.data(), st.sampled_from(("uint8", "int16", "float16")))
def test_a_better_board_is_never_slower(board: Profile, graph: ModelGraph, data: st.DataObject, base: str) -> None:
    field = data.draw(st.sampled_from(FASTER[type(board)]))
    better = board.model_copy(update={field: getattr(board, field) * 2})
    assert price(better, graph, Candidate(base)).total_ms <= price(board, graph, Candidate(base)).total_ms


@given(HTP_BOARDS, st.sampled_from((1, 4, 16, 31, 32)), st.sampled_from((1, 2, 8)))
def test_an_htp_pads_channels_to_blocks(board: Htp, channels: int, size: int) -> None:
    def ms(count: int) -> float:
        return price(board, make_chain([(count, 3, 1, "")], channels=32, size=8 * size), Candidate()).parts_ms["HMX"]

    assert ms(channels) == ms(32)
    assert ms(33) == pytest.approx(2 * ms(32))


@given(HTP_BOARDS, st.tuples(*[st.integers(1, 64)] * 4))
def test_every_boundary_of_an_htp_costs_a_conversion_both_ways(board: Htp, shape: tuple[int, ...]) -> None:
    edge, model = cost.Edge("a", "b", "t", shape), cost.CostModel(board, make_chain([(8, 1, 1, "")]))
    for made in TYPES:
        for wanted in TYPES:
            there, back = model.conversion_ms(edge, made, wanted), model.conversion_ms(edge, wanted, made)
            assert there == pytest.approx(back)
            assert (there > board.dispatch_us / 1e3) == (made is not wanted)


def eltwise(op_type: str) -> ModelGraph:
    nodes = [Node("n", op_type, ("in",), ("c",), ("out",))]
    tensors = {name: Tensor(name, (1, 32, 64, 64)) for name in ("in", "out")}
    return ModelGraph(
        Path("one.onnx"), op_type, 13, tuple(nodes), tensors, build_units(nodes, ("out",)), ("in",), ("out",), {}
    )


@given(HTP_BOARDS)
def test_dividing_is_much_dearer_than_multiplying_on_an_htp(board: Htp) -> None:
    divide, multiply = (price(board, eltwise(op), Candidate()).parts_ms["HVX"] for op in ("Div", "Mul"))
    assert divide == pytest.approx(board.hvx_divide_factor * multiply)


@given(BOARDS, CHAINS, st.lists(st.sampled_from(TYPES), max_size=7))
def test_what_was_estimated_before_does_not_change_an_estimate(
    board: Profile, graph: ModelGraph, kinds: list[DataType]
) -> None:
    candidate = typed(graph, "int8-asym", [kind for kind in kinds if kind is not DataType.UINT8])
    types = graph.assign(candidate)
    first = cost.estimate(board, graph, candidate, types)
    cost.estimate(board, graph, Candidate("int16"), graph.assign(Candidate("int16")))
    assert cost.estimate(board, graph, candidate, types) == first
    assert cost.CostModel(board, graph).estimate(candidate, types) == first
