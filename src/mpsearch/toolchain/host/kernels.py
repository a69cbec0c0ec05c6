"""What onnxruntime made of a quantized model: which units run in integer kernels and which in float32.

A quantizer that no kernel takes up is not refused; it costs two conversions and gains nothing. So this looks at the
optimised graph, which keeps the nodes' names (with ``_token_<n>`` behind them where the layout was changed).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import onnx

from mpsearch.candidate import DataType
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.toolchain.host.runtime import is_integer

_SUFFIX = re.compile(r"(_token_\d+|_nchwc)+$")


def by_unit(graph: ModelGraph, types: Mapping[str, DataType], optimised: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Live compute unit of an 8-bit type -> operations that run for it, those in float32 marked ``float32 <op>``.

    A unit without any became part of another, as a Relu does that the range of its output already cuts off.
    """
    found: dict[str, onnx.NodeProto] = {}
    for node in optimised.graph.node:
        found.setdefault(_SUFFIX.sub("", node.name), node)
    kernels = {}
    for unit in graph.units:
        if unit.role is not Role.COMPUTE or unit.name not in types or types[unit.name].bits != 8:
            continue
        nodes = [found[name] for name in unit.nodes if name in found]
        kernels[unit.name] = tuple(
            str(node.op_type) if is_integer(node) else f"float32 {node.op_type}" for node in nodes
        )
    return kernels


def differences(kernels: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Unit -> what runs in its place, for units with work in float32 although 8 bits were asked for."""
    return {
        unit: " + ".join(operations) + " on 8-bit values"
        for unit, operations in kernels.items()
        if _in_float(operations)
    }


def count(kernels: Mapping[str, tuple[str, ...]]) -> str:
    """``58 of 60 8-bit units in integer kernels``."""
    whole = sum(not _in_float(operations) for operations in kernels.values())
    return f"{whole} of {len(kernels)} 8-bit units in integer kernels"


def _in_float(operations: Iterable[str]) -> bool:
    return any(name.startswith("float32") for name in operations)
