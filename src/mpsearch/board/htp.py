"""How long a Hexagon Tensor Processor works for one unit of the graph in one data type.

SyNAP's types are understood too: ``uint8`` and ``int8`` as a8w8 (8-bit activations and weights), ``int16`` as a16w8
(16-bit activations, 8-bit weights); ``float16`` is fp16. What is fused and what is slow comes from the vendor's
guidelines for HTP (channels in blocks of 32, ReLU and HardSwish inside convolutions but not Sigmoid, data movers the
same in a16 and fp16) and its cycle counts of one graph (Div 7.2 times Mul); the rates are those of the profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, prod

from mpsearch.board.parameters import Htp
from mpsearch.board.work import Work
from mpsearch.candidate import DataType
from mpsearch.graph.model import ModelGraph, Node, Unit

ENGINES = ("HMX", "HVX", "DDR", "dispatch")

_FREE = frozenset("Reshape Squeeze Unsqueeze Flatten Identity Dropout".split())
"""A new view of the same bytes."""
_CLAMPS = frozenset(("Relu", "Clip"))
"""Ride on the operation before them: the range of its output."""
_FUSED = frozenset(("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish"))
"""Activations that become part of a convolution."""
_TABLES = frozenset("Sigmoid HardSigmoid HardSwish Tanh Elu Selu Gelu Erf Exp Softplus Sqrt Softmax LogSoftmax".split())


def unit_work(profile: Htp, graph: ModelGraph, unit: Unit, kind: DataType) -> Work:
    """The time of ``unit`` when it computes in ``kind``, conversions at its edges left out."""
    total, previous = Work(), ""
    for node in (graph.node[name] for name in unit.nodes):
        if node.macs:
            total += _product(profile, graph, node, kind)
        elif not (node.op_type in _CLAMPS or (node.op_type in _FUSED and previous == "Conv")):
            total += _vector(profile, graph, node, kind)
        previous = node.op_type
    return total


def conversion_ms(profile: Htp, shape: tuple[int, ...], made: DataType, wanted: DataType) -> float:
    """The ``Convert`` that the compiler inserts where types differ: it reads the one and writes the other."""
    if made.bits == wanted.bits and DataType.FLOAT16 not in (made, wanted):
        return 0.0  # signs are a choice of the whole network, and the width of weights is no tensor's between units
    moved = _bytes(profile, shape, made) + _bytes(profile, shape, wanted)
    return moved / (profile.hvx_gbyte_per_s * 1e6) + profile.dispatch_us / 1e3


def _product(profile: Htp, graph: ModelGraph, node: Node, kind: DataType) -> Work:
    """Convolutions and products. a16w16 is taken for two passes of a16w8 (Qualcomm: peaks of 1/2 and 1/4 of a8w8)."""
    slowdown = {
        0: 1.0, 1: profile.hmx_a16_slowdown, 2: 2 * profile.hmx_a16_slowdown, 3: profile.hmx_fp16_slowdown
    }[kind.rank]  # fmt: skip
    if node.conv is not None and node.conv.depthwise:
        engine, channels = "HVX", _padded(node.conv.out_channels, profile.channel_block)
        macs = prod(node.conv.kernel) * channels * _pixels(profile, node.conv.out_size, kind)
        ms = macs * kind.bits / 8 / (profile.depthwise_gmac_per_s * 1e6)
    else:
        engine = "HMX"
        ms = _padded_macs(profile, graph, node, kind) * slowdown / (profile.hmx_gmac_per_s * 1e6)
    weights_ms = node.weights * (2 if kind.rank > 1 else 1) / (profile.ddr_gbyte_per_s * 1e6)
    # Memory is read while the engine works: only what takes longer than the work is waited for.
    waiting_ms = max(0.0, weights_ms + _spilled_ms(profile, graph, node, kind) - ms)
    return Work({engine: ms, "DDR": waiting_ms, "dispatch": profile.dispatch_us / 1e3})


def _padded_macs(profile: Htp, graph: ModelGraph, node: Node, kind: DataType) -> float:
    """Work on whole blocks. Small groups share blocks: each output channel sees at least one block of inputs."""
    block, conv = profile.channel_block, node.conv
    if conv is None:
        out = graph.tensors[node.outputs[0]].shape[-1]
        rows = graph.tensors[node.outputs[0]].elements // out
        depth = node.macs // (rows * out)
        return float(rows * _padded(out, block) * _padded(depth, block))
    depth = conv.in_channels // conv.group
    taps = node.macs / max(1, prod(conv.out_size) * conv.out_channels * depth)
    return taps * _pixels(profile, conv.out_size, kind) * _padded(conv.out_channels, block) * _padded(depth, block)


def _vector(profile: Htp, graph: ModelGraph, node: Node, kind: DataType) -> Work:
    if node.op_type in _FREE:
        return Work()
    moved = _all_bytes(profile, graph, (*node.inputs, *node.outputs), kind)
    factor = 1.0
    if node.op_type == "Div":
        factor = profile.hvx_divide_factor
    elif node.op_type in _TABLES:
        factor = profile.hvx_activation_factor
    return Work(
        {
            "HVX": moved * factor / (profile.hvx_gbyte_per_s * 1e6),
            "DDR": _spilled_ms(profile, graph, node, kind),
            "dispatch": profile.dispatch_us / 1e3,
        }
    )


def _spilled_ms(profile: Htp, graph: ModelGraph, node: Node, kind: DataType) -> float:
    """What does not fit on the chip together goes to memory and comes back."""
    held = _all_bytes(profile, graph, (*node.inputs, *node.outputs), kind)
    return max(0.0, held - profile.vtcm_bytes) / (profile.ddr_gbyte_per_s * 1e6)


def _all_bytes(profile: Htp, graph: ModelGraph, tensors: Iterable[str], kind: DataType) -> int:
    return sum(_bytes(profile, graph.tensors[name].shape, kind) for name in tensors)


def _bytes(profile: Htp, shape: Sequence[int], kind: DataType) -> int:
    """Size of a tensor as it lies on the chip: images in blocks, the rest as it is."""
    size = kind.bits // 8
    if len(shape) != 4 or shape[2] * shape[3] == 1:
        return prod(shape) * size
    return shape[0] * _padded(shape[1], profile.channel_block) * _pixels(profile, shape[2:], kind) * size


def _pixels(profile: Htp, size: Sequence[int], kind: DataType) -> int:
    if len(size) != 2 or size[0] * size[1] == 1:
        return prod(size)
    columns = max(1, profile.columns_block * 8 // kind.bits)
    return _padded(size[0], profile.rows_block) * _padded(size[1], columns)


def _padded(value: int, block: int) -> int:
    return ceil(value / block) * block
