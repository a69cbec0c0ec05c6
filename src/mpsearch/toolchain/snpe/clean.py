"""The ONNX file that every trial is converted from: what reaches an output, with all constants computed.

With overrides SNPE's converter does not run its own simplifier, so trials with and without would be compiled from
different graphs. This one needs no simplifier, and every name that a candidate knows stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph


def clean(graph: ModelGraph) -> onnx.ModelProto:
    """``graph`` as a model without Constant, Shape and unused nodes."""
    model = onnxio.load_for(graph)
    protos = {node.name: node for node in model.graph.node}
    values = constants(graph, model)
    infos = {value.name: value for value in (*model.graph.input, *model.graph.output)}
    made = helper.make_graph(
        [protos[node.name] for node in graph.nodes],
        model.graph.name or "model",
        [infos[name] for name in graph.inputs],
        [infos[name] for name in graph.outputs],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    whole = helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
    return onnx.shape_inference.infer_shapes(whole)


def constants(graph: ModelGraph, model: onnx.ModelProto | None = None) -> dict[str, NDArray[np.generic]]:
    """Every constant that a node of ``graph`` reads, computed where the file computes it."""
    model = model or onnxio.load_for(graph)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    wanted = dict.fromkeys(name for node in graph.nodes for name in node.params)
    found = {name: numpy_helper.to_array(stored[name]) for name in wanted if name in stored}
    if computed := [name for name in wanted if name not in stored]:
        part = onnxio.extract(onnx.shape_inference.infer_shapes(model), graph.inputs, computed)
        size = graph.tensors[graph.inputs[0]]
        session = onnxio.session(part, threads=1)
        feed = {size.name: np.zeros(size.shape, np.float32)} if session.get_inputs() else {}
        found.update(zip(computed, session.run(computed, feed), strict=True))
    return {name: found[name] for name in wanted}


def largest(values: Mapping[str, NDArray[np.generic]]) -> dict[str, float]:
    """Float constant -> its largest absolute value."""
    return {
        name: float(np.abs(value).max()) for name, value in values.items() if value.dtype == np.float32 and value.size
    }
