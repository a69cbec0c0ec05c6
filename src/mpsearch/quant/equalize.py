"""Cross-layer equalization: the channels between two convolutions rescaled, so that their weights fit one step better.

Nagel et al. 2019 (arXiv 1906.04721), 4.1: for two linear layers with a positively homogeneous function f between,
f(s x) = s f(x), channel i of the first is divided and of the second multiplied by
s_i = sqrt(r1_i r2_i) / r2_i, with r the channel's largest magnitude in each. The float network stays the same function.
Biases are not absorbed, and Clip is no such function, so what it separates is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from mpsearch.graph.model import ModelGraph, Node
from mpsearch.graph.onnxio import load_for

_HOMOGENEOUS = frozenset(("Relu", "LeakyRelu", "MaxPool"))
_ROUNDS, _SETTLED = 20, 1e-3


def equalized(graph: ModelGraph) -> onnx.ModelProto:
    """The model with equalized weights; the same function up to float32's rounding."""
    model = load_for(graph)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {
        name: numpy_helper.to_array(tensor).astype(np.float32)
        for name, tensor in tensors.items()
        if tensor.data_type == onnx.TensorProto.FLOAT
    }
    pairs = _pairs(graph, weights)
    for _ in range(_ROUNDS):
        moved = [_equalize(weights, first, second) for first, second in pairs]
        if max(moved, default=0.0) < _SETTLED:
            break
    changed = {name for pair in pairs for node in pair for name in node.params}
    for name in changed & set(weights):
        tensors[name].CopyFrom(numpy_helper.from_array(weights[name], name))
    return model


def _pairs(graph: ModelGraph, weights: Mapping[str, NDArray[np.float32]]) -> list[tuple[Node, Node]]:
    """Convolutions of which the second is the only reader of the first, with nothing but homogeneous operators between;
    no constant of theirs serves another node."""
    uses: dict[str, int] = {}
    for node in graph.nodes:
        for name in node.params:
            uses[name] = uses.get(name, 0) + 1

    def own(node: Node) -> bool:
        return node.op_type == "Conv" and all(uses[name] == 1 and name in weights for name in node.params)

    found = []
    for first in graph.nodes:
        if not own(first):
            continue
        tensor = first.outputs[0]
        while tensor not in graph.outputs and len(graph.consumers.get(tensor, ())) == 1:
            second = graph.node[graph.consumers[tensor][0]]
            if own(second) and second.inputs == (tensor,):
                if second.conv is not None and (second.conv.group == 1 or second.conv.depthwise):
                    found.append((first, second))
                break
            if second.op_type not in _HOMOGENEOUS or len(second.outputs) != 1:
                break
            tensor = second.outputs[0]
    return found


def _equalize(weights: dict[str, NDArray[np.float32]], first: Node, second: Node) -> float:
    """Rescale in place; the largest change of a scale."""
    one, two = weights[first.params[0]], weights[second.params[0]]
    depthwise = second.conv is not None and second.conv.depthwise
    r1 = np.abs(one).reshape(len(one), -1).max(axis=1)
    r2 = np.abs(two if depthwise else two.swapaxes(0, 1)).reshape(len(one), -1).max(axis=1)
    usable = (r1 > 0) & (r2 > 0)
    scale = np.where(usable, np.sqrt(r1 / np.where(usable, r2, 1)), 1).astype(np.float32)
    column = scale.reshape(-1, 1, 1, 1) if one.ndim == 4 else scale.reshape(-1, *[1] * (one.ndim - 1))
    weights[first.params[0]] = one / column
    if len(first.params) > 1:
        weights[first.params[1]] = weights[first.params[1]] / scale
    weights[second.params[0]] = two * (column if depthwise else column.swapaxes(0, 1))
    return float(np.abs(scale - 1).max(initial=0.0))
