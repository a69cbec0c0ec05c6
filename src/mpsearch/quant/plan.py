"""Where numbers are quantized: a candidate's types and the ranges become steps, one per live unit.

What Acuity's tables show: every layer's output has a quantizer, a convolution's output before its activation too (but
not before Relu and Clip, which the compiler fuses into the convolution); SiLU, HardSwish and the like are one layer;
the graph's input and each graph output have their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mpsearch.candidate import BASES, Candidate, DataType
from mpsearch.graph.model import ModelGraph, Role, Unit, output_unit
from mpsearch.quant.ranges import Range
from mpsearch.quant.schemes import QParams, activation_params

LINEAR = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
FUSED = frozenset(("Relu", "Clip"))
"""Activations without a tensor before them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One unit's work.

    Attributes:
        sources: ``(tensor, quantizer the unit reads it in)``; None is float32.
        inner: quantizer between a linear node and its activation; None where there is none or in float.
        targets: ``(tensor, quantizer)`` of what it makes.
    """

    unit: str
    type: DataType
    sources: tuple[tuple[str, QParams | None], ...]
    inner: QParams | None
    targets: tuple[tuple[str, QParams | None], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in execution order, and what the device delivers: ``(tensor, quantizer of the output)``."""

    candidate: Candidate
    input: QParams | None
    steps: tuple[Step, ...]
    delivered: tuple[tuple[str, QParams | None], ...]


def before_activation(graph: ModelGraph, unit: Unit) -> str | None:
    """The tensor between a linear node (with its BatchNormalization) and the activation behind it, if there is one."""
    nodes = [graph.node[name] for name in unit.nodes]
    if not nodes or nodes[0].op_type not in LINEAR:
        return None
    linear = 2 if len(nodes) > 1 and nodes[1].op_type == "BatchNormalization" else 1
    return nodes[linear - 1].outputs[0] if len(nodes) > linear else None


def make(graph: ModelGraph, candidate: Candidate, types: Mapping[str, DataType], ranges: Mapping[str, Range]) -> Plan:
    """Lay out ``candidate``.

    Args:
        types: live unit -> type.
        ranges: tensor -> range, as :func:`mpsearch.quant.ranges.share` gives them.
    """
    base = BASES[candidate.base]

    def params(kind: DataType, tensor: str) -> QParams | None:
        return activation_params(kind, base, *ranges[tensor], name=tensor)

    stored = {tensor: params(base.type, tensor) for tensor in graph.inputs}
    steps = []
    for unit in graph.units:
        if unit.role is Role.OUTPUT or unit.name not in types:
            continue
        kind = types[unit.name]
        targets = tuple((tensor, params(kind, tensor)) for tensor in unit.outputs if tensor in ranges)
        if unit.role is Role.TRANSPARENT:
            sources = tuple((tensor, targets[0][1]) for tensor in unit.inputs)
        else:
            sources = tuple((tensor, _read(stored[tensor], params(kind, tensor))) for tensor in unit.inputs)
        pre = before_activation(graph, unit)
        inner = None
        if pre is not None:
            fused = graph.node[unit.nodes[-1]].op_type in FUSED
            inner = targets[0][1] if fused else params(kind, pre)
        steps.append(Step(unit.name, kind, sources, inner, targets))
        stored.update(targets)
    delivered = []
    for output, tensors in graph.delivered(candidate).items():
        kind = types[output_unit(output)]
        delivered += [(tensor, _read(stored[tensor], params(kind, tensor))) for tensor in tensors]
    return Plan(candidate, stored[graph.inputs[0]], tuple(steps), tuple(dict.fromkeys(delivered)))


def _read(stored: QParams | None, wanted: QParams | None) -> QParams | None:
    """A tensor that is stored in the wanted type is read as it is; else it is converted at the border."""
    if stored is None or wanted is None or stored.type != wanted.type:
        return wanted
    return stored
