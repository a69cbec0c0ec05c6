"""Cycles of SNPE's layers become times of units: joined by names that a converter has changed, scaled by a latency."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.board.cost import CostModel
from mpsearch.board.profile import load
from mpsearch.candidate import Candidate
from mpsearch.device.unittimes import ProfiledPrior
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.layers import unitcycles
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.snpe import diagview
from mpsearch.toolchain.snpe.dlcinfo import DlcInfo, DlcOp, DlcTensor

A8W8 = Candidate("a8w8")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    return read(save(small_detector(), tmp_path_factory.mktemp("model") / "small.onnx"))


def tensor(name: str) -> DlcTensor:
    return DlcTensor(re.sub(r"\W", "_", f"/{name}"), (1,), "uFxp_8")


def listed(graph: ModelGraph) -> DlcInfo:
    """As converters leave names: other characters for slashes, and a conversion in front of every operator."""
    ops = []
    for number, node in enumerate(graph.nodes):
        made = tuple(tensor(name) for name in node.outputs)
        ops.append(DlcOp(2 * number, f"{node.name}_convert", "Convert", (), (tensor(f"{node.name}_converted"),)))
        named = number % 2  # by its name, where the converter has put a Transpose behind it; else by what it makes
        made = (tensor("transposed"),) if named else made
        ops.append(DlcOp(2 * number + 1, node.name if named else f"op{number}", node.op_type, (), made))
    return DlcInfo((), ops[-1].outputs, tuple(ops))


def profiled(graph: ModelGraph, cycles: dict[str, float]) -> diagview.Diagview:
    """By nodes; layers have the operators' names."""
    names = {node.name: node.name if number % 2 else f"op{number}" for number, node in enumerate(graph.nodes)}
    layers = [("Input", 50.0), *((names.get(name, name), spent) for name, spent in cycles.items())]
    layers += [(f"{name}_convert", 7.0) for name in cycles]
    found = [
        diagview.LayerTime(i, diagview.clean(f"{name}:OpId_{i} (cycles)"), (spent - 1, spent + 1), "cycles", "DSP")
        for i, (name, spent) in enumerate(layers)
    ]  # fmt: skip
    return diagview.Diagview(tuple(found), {})


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_units_cycles_are_those_of_its_operators_and_conversions_are_nobodys(
    graph: ModelGraph, data: st.DataObject
) -> None:
    cycles = {node.name: data.draw(st.floats(2.0, 1e6)) for node in graph.nodes}
    units, rest = unitcycles.by_unit(profiled(graph, cycles), listed(graph), graph)
    assert set(units) == {graph.unit_of[name] for name in cycles}
    for unit, spent in units.items():
        assert spent == pytest.approx(sum(cycles[name] for name in cycles if graph.unit_of[name] == unit))
    assert rest == pytest.approx(50.0 + 7.0 * len(cycles))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_what_the_search_expects_of_the_profiled_model_is_what_was_measured(graph: ModelGraph, factor: float) -> None:
    model, types = CostModel(load("rvc4"), graph), graph.assign(A8W8)
    expected = model.estimate(A8W8, types)
    first = {graph.unit_of[node.name]: node.name for node in reversed(graph.nodes)}
    cycles = {first[unit]: 1e6 * ms for unit, ms in expected.unit_ms.items() if ms > 0}
    latency_ms = factor * expected.total_ms
    times = unitcycles.unit_times_ms(profiled(graph, cycles), listed(graph), model, A8W8, "b", latency_ms)
    prior = ProfiledPrior(model, graph, times)
    units = sum(prior.work(unit.name, types[unit.name]).total_ms for unit in prior.plan(A8W8).units)
    assert units + prior.base_ms(A8W8) == pytest.approx(latency_ms, rel=0.001)


def test_a_listing_with_other_names_joins_nothing(graph: ModelGraph) -> None:
    cycles = {f"layer{number}": 10.0 for number, _ in enumerate(graph.nodes)}
    model = CostModel(load("rvc4"), graph)
    times = unitcycles.unit_times_ms(profiled(graph, cycles), listed(graph), model, A8W8, "b", 1.0)
    assert times.unit_ms == {}
