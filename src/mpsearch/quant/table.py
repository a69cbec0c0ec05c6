"""The engine's quantization table (``quantization_info.yaml``): every tensor's quantizer, in its words.

Layer ids: the engine numbers its layers and names a fused SiLU by two tensors, which only a probe conversion can tell.
Without a map, layers are named by the ONNX tensor they make, without its leading slash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from mpsearch.candidate import Base, DataType, Scheme
from mpsearch.graph.model import ModelGraph
from mpsearch.quant.plan import Plan, before_activation
from mpsearch.quant.qparams import Linear, QParams, QWeights
from mpsearch.quant.schemes import quantize_weights

Entry = dict[str, Any]
_QTYPES = {DataType.UINT8: "u8", DataType.INT8: "i8", DataType.INT16: "i16"}
_BIAS_LIMIT = {"i32": 2.0**31, "i64": 2.0**63}


def build(
    graph: ModelGraph, laid: Plan, base: Base, linears: Mapping[str, Linear], ids: Mapping[str, str] | None = None
) -> dict[str, Entry]:
    """``@<layer id>:<port>`` -> entry, activations first, then weights and biases.

    Args:
        linears: unit -> its linear node, as :meth:`mpsearch.quant.operators.Operators.linear` gives it.
        ids: tensor -> layer id.
    """

    def key(tensor: str, port: str = "out0") -> str:
        return f"@{(ids or {}).get(tensor, tensor.lstrip('/'))}:{port}"

    found: dict[str, Entry] = {}
    weights: dict[str, Entry] = {}
    for output, params in laid.delivered:
        if params is not None:
            found[f"@attach_{output.lstrip('/')}/out0:out0"] = activation(params)
    if laid.input is not None:
        found[key(graph.inputs[0])] = activation(laid.input)
    for step in laid.steps:
        unit = graph.unit[step.unit]
        pre = before_activation(graph, unit)
        inner = dict(step.inner).get(pre, step.targets[0][1]) if pre is not None else None
        if pre is not None and inner is not None:
            found[key(pre)] = activation(inner)
        for tensor, params in step.targets:
            if params is not None:
                found[key(tensor)] = activation(params)
        node, source = linears.get(step.unit), step.sources[0][1] if step.sources else None
        if node is not None and source is not None and step.type is not DataType.FLOAT16:
            quantized = quantize_weights(node.weights, step.type, base, axis=node.axis, name=node.name)
            tensor = pre or step.targets[0][0]
            weights[key(tensor, "weight")] = _weight(quantized, node)
            if node.bias is not None:
                weights[key(tensor, "bias")] = _bias(quantized, source)
    return {**found, **weights}


def render(entries: Mapping[str, Entry], customized: Mapping[str, str] | None = None) -> str:
    """The table as YAML.

    Args:
        customized: layer id -> ``dynamic_fixed_point-i16`` or ``float32``.
    """
    document = {
        "version": 2,
        "quantize_parameters": dict(entries),
        "customized_quantize_layers": dict(customized or {}),
    }
    return yaml.dump(document, sort_keys=False, width=1 << 16, Dumper=yaml.SafeDumper)


def activation(params: QParams) -> Entry:
    """One tensor's entry."""
    entry: Entry = {
        "qtype": _QTYPES[params.type],
        "quantizer": str(params.scheme),
        "rounding": "rtne",
        "max_value": params.high,
        "min_value": params.low,
    }
    if params.fl is not None:
        return entry | {"fl": params.fl}
    return entry | {"scale": params.scale, "zero_point": params.zero_point}


def _weight(weights: QWeights, node: Linear) -> Entry:
    if weights.params is not None:
        low, high = float(node.weights.min()), float(node.weights.max())
        return activation(weights.params) | {"max_value": high, "min_value": low}
    return {
        "qtype": "i8",
        "quantizer": str(Scheme.PER_CHANNEL),
        "rounding": "rtne",
        "scale": [float(scale) for scale in weights.scale],
        "channel_dim": -1,
    }


def _bias(weights: QWeights, source: QParams) -> Entry:
    if weights.params is not None and weights.params.fl is not None and source.fl is not None:
        kind = "i64" if source.type is DataType.INT16 else "i32"
        fl = weights.params.fl + source.fl
        limit = _BIAS_LIMIT[kind] * 2.0**-fl
        numbers = {"max_value": limit, "min_value": -limit, "fl": fl}
        return {"qtype": kind, "quantizer": str(source.scheme), "rounding": "rtne"} | numbers
    scales = [float(np.float32(np.float64(source.scale) * float(scale))) for scale in weights.scale]
    if weights.params is None:
        return {
            "qtype": "i32",
            "quantizer": str(Scheme.PER_CHANNEL),
            "rounding": "rtne",
            "scale": scales,
            "channel_dim": 0,
        }
    limit = _BIAS_LIMIT["i32"] * scales[0]
    return {
        "qtype": "i32",
        "quantizer": str(weights.params.scheme),
        "rounding": "rtne",
        "max_value": limit,
        "min_value": -limit,
        "scale": scales[0],
        "zero_point": 0,
    }
