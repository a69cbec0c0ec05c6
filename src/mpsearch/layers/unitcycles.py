"""SNPE's cycles by layer as times of units, for a search that wants to know what to expect.

A search needs ratios between units and one level for all of them. The cycles say the former: they are joined by the
names in the DLC's listing. The latency that was measured of the same DLC says the latter.
"""

from __future__ import annotations

from collections.abc import Mapping

from mpsearch.board.cost import CostModel
from mpsearch.candidate import Candidate
from mpsearch.device.unittimes import UnitTimes
from mpsearch.graph.model import ModelGraph
from mpsearch.layers.names import join, normalise
from mpsearch.layers.network import layers_of
from mpsearch.toolchain.snpe.diagview import Diagview
from mpsearch.toolchain.snpe.dlcinfo import DlcInfo


def by_unit(found: Diagview, info: DlcInfo, graph: ModelGraph) -> tuple[dict[str, float], float]:
    """Unit -> cycles an inference, and those of layers that are no unit's: conversions, inputs, outputs. What was
    fused into another layer has none of its own."""
    unit_of = _units(info, graph)
    units: dict[str, float] = {}
    rest = 0.0
    for layer in found.layers:
        cycles = sum(layer.samples) / len(layer.samples)
        unit = unit_of.get(normalise(layer.name))
        if unit is None:
            rest += cycles
        else:
            units[unit] = units.get(unit, 0.0) + cycles
    return units, rest


def unit_times_ms(
    found: Diagview, info: DlcInfo, model: CostModel, candidate: Candidate, board: str, latency_ms: float
) -> UnitTimes:
    """Cycles in milliseconds, so that all units together take as much more or less than the cost model says as the
    whole DLC does. Without any unit where no layer could be joined.

    Args:
        latency_ms: measured, of the DLC that was profiled.
    """
    graph = model.graph
    units, rest = by_unit(found, info, graph)
    types = graph.assign(candidate)
    known = {unit: cycles for unit, cycles in units.items() if unit in types and cycles > 0}
    total = sum(known.values())
    level = latency_ms / model.estimate(candidate, types).total_ms
    expected_ms = sum(model.work(unit, types[unit]).total_ms for unit in known) * level
    ms = expected_ms / total if total else 0.0
    return UnitTimes(graph.digest, board, candidate, {u: cycles * ms for u, cycles in known.items()}, rest * ms)


def _units(info: DlcInfo, graph: ModelGraph) -> Mapping[str, str]:
    """Operator of the DLC, by its normalised name -> unit: of the tensor that it makes, else of the node of its name.
    Conversions have none."""
    layers = layers_of(graph)
    ops = [op for op in info.ops if op.type != "Convert" and op.outputs]
    joined = join(layers, {tensor.name: None for op in ops for tensor in op.outputs})
    unit_of = {joined.names[layer.tensor]: layer.unit for layer in layers if layer.tensor in joined.names}
    named = {normalise(node.name): graph.unit_of[node.name] for node in graph.nodes}
    found = {}
    for op in ops:
        name = normalise(op.name)
        unit = next((unit_of[t.name] for t in op.outputs if t.name in unit_of), named.get(name))
        if unit is not None:
            found[name] = unit
    return found
