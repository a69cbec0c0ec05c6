"""Weights and biases as they were built, against what was asked: what a unit's type does not say. Pure.

4-bit weights, a scale for each channel or row, and the width of the bias are switches of the quantizer; one that it
does not take to heart would have a study compare what it never built.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph, Node, Unit
from mpsearch.toolchain.snpe.dlcinfo import DlcTensor
from mpsearch.toolchain.snpe.encodings import weights_of
from mpsearch.toolchain.snpe.rules import WEIGHTED

_SCALES = {True: "a scale for each channel", False: "one scale"}


def has_weights(unit: Unit, graph: ModelGraph) -> bool:
    """Whether the unit has weights of its own."""
    return unit.kind in WEIGHTED and unit.name in graph.node and bool(graph.node[unit.name].params)


def differences(
    unit: Unit,
    own: DataType,
    graph: ModelGraph,
    candidate: Candidate,
    listed: Callable[[str], DlcTensor | None],
    ranged: Collection[str],
) -> Iterator[str]:
    """What came out otherwise, in words; nothing is said of what the listing does not tell.

    Args:
        own: the unit's type.
        listed: constant of the model -> as the listing has it.
        ranged: constants whose override carries a range: one for the whole tensor.
    """
    if not has_weights(unit, graph):
        return
    node = graph.node[unit.name]
    weights = listed(node.params[0])
    bias = listed(node.params[1]) if len(node.params) > 1 else None
    if own is DataType.FLOAT16:
        if bias is not None and not bias.is_float:
            yield f"a bias in {bias.type} instead of float"
        return
    if weights is not None and not weights.is_float:
        wanted = weights_of(own, candidate)
        if weights.width != wanted and 16 not in (weights.width, wanted):  # 16 bits are part of the type's name
            yield f"{weights.width}-bit weights instead of {wanted}-bit ones"
        several = False if node.params[0] in ranged else _by_channel(node, candidate)
        built = weights.encoding.by_channel if weights.encoding is not None else None
        if _channels(node, graph) > 1 and None not in (several, built) and several != built:
            yield f"{_SCALES[not several]} for the weights instead of {_SCALES[bool(several)]}"
    if bias is not None:
        asked = int(candidate.option("bias_bits"))
        if bias.is_float or bias.width != asked:
            yield f"{'float' if bias.is_float else f'{bias.width}-bit'} bias instead of {asked}-bit"


def _by_channel(node: Node, candidate: Candidate) -> bool | None:
    """Whether the quantizer's flags ask for it; None where that depends on what the converter makes of the node."""
    channel, row = candidate.option("weights") == "per_channel", candidate.option("matmul_weights") == "per_row"
    if node.op_type == "MatMul":  # per channel only where the converter made a FullyConnected of it
        return row if row or not channel else None
    return channel or (row and node.op_type == "Gemm")


def _channels(node: Node, graph: ModelGraph) -> int:
    return node.conv.out_channels if node.conv is not None else graph.tensors[node.outputs[0]].shape[-1]
