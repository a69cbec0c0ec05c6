"""Where numbers are quantized: a candidate's types and the ranges become steps, one per live unit.

Every unit's output has a quantizer, so have the graph's input and each graph output; which tensors inside a unit have
one is the vendor's rule (:class:`mpsearch.quant.qparams.Arithmetic`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mpsearch.candidate import BASES, Candidate, DataType, Scheme
from mpsearch.graph.model import ModelGraph, Role, Unit, output_unit
from mpsearch.graph.units import is_transparent
from mpsearch.quant.qparams import Arithmetic, QParams
from mpsearch.quant.ranges import Range, crosses
from mpsearch.quant.schemes import Acuity
from mpsearch.quant.snpe import Snpe

LINEAR = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))


@dataclass(frozen=True, slots=True)
class Step:
    """One unit's work.

    Attributes:
        sources: ``(tensor, quantizer the unit reads it in)``; None is float32.
        inner: ``(tensor, quantizer)`` of what stays inside the unit, the linear node's own tensor first.
        targets: ``(tensor, quantizer)`` of what it makes.
    """

    unit: str
    type: DataType
    sources: tuple[tuple[str, QParams | None], ...]
    inner: tuple[tuple[str, QParams], ...]
    targets: tuple[tuple[str, QParams | None], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in execution order, and what the device delivers: ``(tensor, quantizer of the output)``."""

    candidate: Candidate
    arithmetic: Arithmetic
    input: QParams | None
    steps: tuple[Step, ...]
    delivered: tuple[tuple[str, QParams | None], ...]


def arithmetic_of(candidate: Candidate) -> Arithmetic:
    """The vendor's quantizers, by the candidate's base and options.

    Raises:
        CandidateError: options that exclude each other.
    """
    base = BASES[candidate.base]
    return Snpe.of(candidate) if base.scheme is Scheme.ENCODINGS else Acuity(base)


def before_activation(graph: ModelGraph, unit: Unit) -> str | None:
    """The tensor between a linear node (with its BatchNormalization) and the activation behind it, if there is one."""
    nodes = [graph.node[name] for name in unit.nodes]
    if not nodes or nodes[0].op_type not in LINEAR:
        return None
    linear = 2 if len(nodes) > 1 and nodes[1].op_type == "BatchNormalization" else 1
    return nodes[linear - 1].outputs[0] if len(nodes) > linear else None


def make(
    graph: ModelGraph,
    candidate: Candidate,
    types: Mapping[str, DataType],
    ranges: Mapping[str, Range],
    *,
    through: Mapping[str, Range] | None = None,
) -> Plan:
    """Lay out ``candidate``.

    Args:
        types: live unit -> type.
        ranges: tensor -> range, as :func:`mpsearch.quant.ranges.share` gives them.
        through: tensor -> range of the conversion that its Slices of a narrower type share, where that is another.
    """
    arithmetic = arithmetic_of(candidate)

    def params(kind: DataType, tensor: str) -> QParams | None:
        return arithmetic.activation(kind, *ranges[tensor], name=tensor, maker=maker_of(graph, tensor))

    stored = {tensor: params(candidate.base_type, tensor) for tensor in graph.inputs}
    steps = []
    for unit in graph.units:
        if unit.role is Role.OUTPUT or unit.name not in types:
            continue
        kind = types[unit.name]
        targets = tuple((tensor, params(kind, tensor)) for tensor in unit.outputs if tensor in ranges)
        if unit.role is Role.TRANSPARENT:
            alike = len({found for _, found in targets}) == 1  # parts of a Split may have ranges of their own
            sources = tuple((tensor, targets[0][1] if alike else stored[tensor]) for tensor in unit.inputs)
            shared = (through or {}).get(unit.inputs[0])
            if shared is not None and crosses(graph, types, graph.node[unit.nodes[0]]):
                tensor = unit.inputs[0]
                sources = ((tensor, arithmetic.activation(kind, *shared, name=tensor, maker="")),)
        else:
            sources = tuple((tensor, _read(stored[tensor], params(kind, tensor))) for tensor in unit.inputs)
        inner = [(tensor, params(kind, tensor)) for tensor in arithmetic.inside(*_inside(graph, unit))]
        kept = tuple((tensor, found) for tensor, found in inner if found is not None)
        steps.append(Step(unit.name, kind, sources, kept, targets))
        stored.update(targets)
    delivered = []
    for output, tensors in graph.delivered(candidate).items():
        kind = types[output_unit(output)]
        delivered += [(tensor, _read(stored[tensor], params(kind, tensor))) for tensor in tensors]
    return Plan(candidate, arithmetic, stored[graph.inputs[0]], tuple(steps), tuple(dict.fromkeys(delivered)))


def maker_of(graph: ModelGraph, tensor: str) -> str:
    """The operator that computed the values of ``tensor``, through all that only moves them; "" for the input."""
    name = graph.producer.get(tensor)
    while name is not None:
        node = graph.node[name]
        if not is_transparent(node) or node.op_type == "Concat" or not node.inputs:
            return node.op_type
        name = graph.producer.get(node.inputs[0])
    return ""


def _inside(graph: ModelGraph, unit: Unit) -> tuple[tuple[str, ...], str]:
    """The tensors from a linear node's own to the one before the unit's last, and the last operator."""
    pre, nodes = before_activation(graph, unit), [graph.node[name] for name in unit.nodes]
    if pre is None:
        return (), ""
    made = [tensor for node in nodes for tensor in node.outputs]
    return tuple(t for t in made[made.index(pre) :] if t not in unit.outputs), nodes[-1].op_type


def _read(stored: QParams | None, wanted: QParams | None) -> QParams | None:
    """A tensor that is stored in the wanted type is read as it is; else it is converted at the border."""
    if stored is None or wanted is None or stored.type != wanted.type:
        return wanted
    return stored
