"""How long each engine of a VeriSilicon NPU works for one unit of the graph in one data type.

Which engine does what, and the ratios between operations, come from the vendor's operator table and performance
model (SyNAP manual, op-support; acuitylite 6.33.0); the rates are those of the profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from mpsearch.board.parameters import VeriSilicon
from mpsearch.board.work import Work
from mpsearch.candidate import DataType
from mpsearch.graph.model import ModelGraph, Node, Unit

_FREE = frozenset(("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout", "Concat"))
"""No data moves: a new view, or branches that write next to each other in place."""
_CONVOLUTIONS = frozenset(("conv", "depthwise", "deconv"))
_LOOKUP = frozenset("Sigmoid HardSigmoid HardSwish Tanh Elu Selu Gelu".split())
_SHADER = frozenset("Mul Div Pow Min Max Sum Mean Exp Erf Softplus Sqrt Softmax LogSoftmax".split())
_ADDITIVE = frozenset(("Add", "Sub"))
ENGINES = ("NN", "TP", "SH", "DDR", "dispatch")


def unit_work(profile: VeriSilicon, graph: ModelGraph, unit: Unit, kind: DataType) -> Work:
    """The time of ``unit`` when it computes in ``kind``, conversions at its edges left out."""
    if not unit.nodes:
        return Work()
    nodes = [graph.node[name] for name in unit.nodes]
    if unit.kind in _CONVOLUTIONS:
        return _convolution(profile, graph, nodes, kind)
    total = Work()
    for node in nodes:
        total += (
            _gemm(profile, graph, node, kind)
            if unit.kind == "gemm" and node.macs
            else _plain(profile, graph, node, kind)
        )
    return total


def narrowing_ms(profile: VeriSilicon, elements: int) -> float:
    """A whole copy of a tensor by the tensor processor (it may read or write 16 bits: same cost per element)."""
    return elements * profile.tp_narrowing_cycles_per_element / (profile.tp_gcycles_per_s * 1e6)


def conversion_ms(profile: VeriSilicon, shape: tuple[int, ...], made: DataType, wanted: DataType) -> float:
    """What an edge costs whose producer makes ``made`` and whose consumer reads ``wanted``.

    8 bit to int16: the producer writes 16 bits at once (438 707 against 436 574 cycles in the vendor's model), so only
    the extra byte per element is charged, at the memory's bandwidth. All others copy the tensor.
    """
    elements = prod(shape)
    if made.bits == 8 and wanted is DataType.INT16:
        return elements / (profile.ddr_gbyte_per_s * 1e6)
    return narrowing_ms(profile, elements)


def _convolution(profile: VeriSilicon, graph: ModelGraph, nodes: Sequence[Node], kind: DataType) -> Work:
    main = nodes[0]
    work = _macs(profile, main, kind)
    tp_ms, operations = 0.0, 1
    source, result = main.inputs[0], nodes[-1].outputs[0]
    source_elements, result_elements = graph.tensors[source].elements, graph.tensors[result].elements
    moved = [source, result]
    if _rearranges(main, kind):
        deconv = main.op_type == "ConvTranspose"
        elements = result_elements if deconv else source_elements
        tp_ms += _tp_ms(profile, elements * profile.tp_reorder_cycles_per_element, kind)
        moved += [result, result] if deconv else [source, source]
        operations += 1
    if _needs_lookup(nodes[1:], kind):
        tp_ms += _tp_ms(profile, result_elements * profile.tp_activation_cycles_per_element, kind)
        moved += [result, result]
        operations += 1
    ddr_ms = _ddr_ms(profile, graph, moved, main.weights, kind)
    return work + Work({"TP": tp_ms, "DDR": ddr_ms, "dispatch": operations * profile.dispatch_us / 1e3})


def _macs(profile: VeriSilicon, node: Node, kind: DataType) -> Work:
    """A convolution's arithmetic. Cores, pixels and input channels are worked on in whole tiles."""
    if kind is DataType.FLOAT16:
        return Work({"SH": node.macs / (profile.shader_gmac_per_s * 1e6)})
    conv = node.conv
    if conv is None:
        raise ValueError(f"{node.name}: a convolution without its geometry")
    pixels = prod(conv.out_size)
    taps = node.macs / max(1, pixels * conv.out_channels * (conv.in_channels // conv.group))
    depth = ceil(conv.in_channels // conv.group / profile.nn_channels_per_cycle)
    tiles = ceil(pixels / profile.nn_pixels_per_core)
    # The 16-bit path has no depthwise mode: the channels take turns on one core.
    alone = conv.depthwise and kind.bits == 16
    rounds = conv.out_channels if alone else ceil(conv.out_channels / profile.nn_cores)
    cycles = taps * depth * tiles * rounds
    if kind.bits == 16:
        cycles *= profile.nn_int16_slowdown
    return Work({"NN": cycles / (profile.nn_clock_ghz * 1e6)})


def _rearranges(node: Node, kind: DataType) -> bool:
    """Whether a convolution's dense side is rearranged by the TP first (RESHUFFLE in the vendor's model).

    Strided ones are, but for 8-bit depthwise ones, which have a mode of their own on the NN cores.
    """
    if node.conv is None or max(node.conv.stride, default=1) == 1 or kind is DataType.FLOAT16:
        return False
    return not (node.conv.depthwise and kind.bits == 8)


def _needs_lookup(followers: Sequence[Node], kind: DataType) -> bool:
    """Whether the activation behind a convolution is a pass of its own.

    ReLU and its leaky forms are part of the convolution; ReLU6 too in 8 bit, but not in int16 (vendor's model).
    """
    operations = {node.op_type for node in followers}
    return bool(operations & _LOOKUP) or ("Clip" in operations and (kind.bits == 16 or len(operations) > 2))


def _gemm(profile: VeriSilicon, graph: ModelGraph, node: Node, kind: DataType) -> Work:
    if kind is DataType.FLOAT16 or not node.weights:
        work = Work({"SH": node.macs / (profile.shader_gmac_per_s * 1e6)})
    else:
        work = Work({"TP": _tp_ms(profile, node.weights * profile.tp_cycles_per_weight, kind)})
    moved = (*node.inputs, *node.outputs)
    # The per-weight cost is the reading of the weights, so they are not charged again.
    return work + Work({"DDR": _ddr_ms(profile, graph, moved, 0, kind), "dispatch": profile.dispatch_us / 1e3})


def _plain(profile: VeriSilicon, graph: ModelGraph, node: Node, kind: DataType) -> Work:
    """Everything without weights: element-wise, pooling, movement."""
    read = sum(graph.tensors[name].elements for name in node.inputs)
    written = sum(graph.tensors[name].elements for name in node.outputs)
    if node.op_type in _FREE:
        return Work()
    nn_ms = tp_ms = sh_ms = 0.0
    if node.op_type == "Transpose":
        cycles = _transpose_cycles(profile, graph, node)
        if not cycles:
            return Work()
        tp_ms = _tp_ms(profile, written * cycles, kind)
    elif node.op_type in _SHADER:
        sh_ms = written / (profile.shader_gelement_per_s * 1e6)
    elif node.op_type in _ADDITIVE and kind.bits == 8:
        tile = profile.nn_cores * profile.nn_pixels_per_core
        nn_ms = max(1, len(node.inputs)) * ceil(written / tile) / (profile.nn_clock_ghz * 1e6)
    elif node.op_type in _ADDITIVE or node.op_type in _LOOKUP or node.op_type.endswith(("Relu", "Clip")):
        tp_ms = _tp_ms(profile, written * profile.tp_activation_cycles_per_element, kind)
    else:
        tp_ms = _tp_ms(profile, max(read, written) * profile.tp_reorder_cycles_per_element, kind)
    ddr_ms = _ddr_ms(profile, graph, (*node.inputs, *node.outputs), 0, kind)
    return Work({"NN": nn_ms, "TP": tp_ms, "SH": sh_ms, "DDR": ddr_ms, "dispatch": profile.dispatch_us / 1e3})


def _transpose_cycles(profile: VeriSilicon, graph: ModelGraph, node: Node) -> float:
    """Cycles per element: none when only axes of length one move, few when whole rows do."""
    shape = graph.tensors[node.inputs[0]].shape
    given = node.attributes.get("perm")
    order = given if isinstance(given, tuple) else tuple(reversed(range(len(shape))))
    real = [int(axis) for axis in order if shape[int(axis)] > 1]
    if real == sorted(real):
        return 0.0
    if real[-1] == max(real):
        return profile.tp_reorder_cycles_per_element
    return profile.tp_transpose_cycles_per_element


def _tp_ms(profile: VeriSilicon, cycles: float, kind: DataType) -> float:
    return cycles * (profile.tp_16bit_slowdown if kind.bits == 16 else 1.0) / (profile.tp_gcycles_per_s * 1e6)


def _ddr_ms(profile: VeriSilicon, graph: ModelGraph, tensors: Sequence[str], weights: int, kind: DataType) -> float:
    """Weights always, tensors when they do not fit on the chip; a tensor counts as often as it is listed."""
    size = kind.bits // 8
    loads = [graph.tensors[name].elements * size for name in tensors]
    moved = weights * size + sum(load for load in loads if load > profile.sram_bytes)
    return moved / (profile.ddr_gbyte_per_s * 1e6)
