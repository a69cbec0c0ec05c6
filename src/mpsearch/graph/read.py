"""ONNX file -> ModelGraph, or a refusal that names the file, the node and the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from mpsearch.errors import ModelError
from mpsearch.graph import onnxio
from mpsearch.graph.cuts import cut_points
from mpsearch.graph.model import AttributeValue, Conv, ModelGraph, Node, Tensor
from mpsearch.graph.sizes import admitted
from mpsearch.graph.units import build_units

_CONTROL_FLOW = frozenset(("If", "Loop", "Scan", "SequenceMap"))
QUANTIZED = frozenset(
    "QuantizeLinear DequantizeLinear QLinearConv QLinearMatMul ConvInteger MatMulInteger DynamicQuantizeLinear "
    "QLinearAdd QLinearMul QLinearConcat QLinearSigmoid QLinearGlobalAveragePool".split()
)
"""Operators that only a quantized model has."""


def read(path: Path, *, input_shape: Sequence[int] | None = None) -> ModelGraph:
    """Read and check a model.

    Args:
        input_shape: for a model with a dynamic input, e.g. ``(1, 3, 480, 640)``.

    Raises:
        ModelError: missing, empty or broken file; dynamic shapes; several inputs; control flow; quantized already;
            float16 weights; NaN or infinite weights.
    """
    path = Path(path)
    model = onnxio.load(path)
    renamed = onnxio.rename_nodes(onnx.load(str(path), load_external_data=False))
    notes = _rename_notes(renamed)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    graph_input = _single_input(model, path, constants)
    _refuse_operators(model, path)
    _refuse_weights(path, model)
    wanted = _fitting(model, path, graph_input, input_shape)
    if wanted is not None and input_shape is None:
        notes.append(f"the input is dynamic; its fixed Reshapes admit one size only, {'x'.join(map(str, wanted[2:]))}")
    input_shape = wanted
    if input_shape is not None:
        model = onnxio.load(path, input_shape=input_shape)
        graph_input = _single_input(model, path, constants)
    shapes = _shapes(model, path, graph_input)
    nodes = _nodes(model, shapes)
    live = _reachable(nodes, [output.name for output in model.graph.output])
    if len(live) < len(nodes):
        notes.append(f"{len(nodes) - len(live)} node(s) reach no output and are ignored")
    outputs = tuple(output.name for output in model.graph.output)
    return ModelGraph(
        path=path,
        digest=onnxio.digest(model),
        opset=next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0),
        nodes=tuple(live),
        tensors=shapes,
        units=build_units(live, outputs),
        inputs=(graph_input.name,),
        outputs=outputs,
        cut_points=cut_points(live, outputs),
        notes=tuple(notes),
        renamed=frozenset(renamed),
        reshaped=input_shape is not None,
    )


def _rename_notes(renamed: Mapping[str, str]) -> list[str]:
    nameless = sum(not old for old in renamed.values())
    notes = []
    if nameless:
        notes.append(f"{nameless} node(s) had no name and were given one (operator type and position)")
    if len(renamed) > nameless:
        notes.append(f"{len(renamed) - nameless} node(s) shared a name with another and were renamed")
    return notes


def _single_input(model: onnx.ModelProto, path: Path, constants: Mapping[str, Any]) -> onnx.ValueInfoProto:
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(
            f"{path}: the model has {len(inputs)} inputs ({names}); mpsearch searches single-input models",
            hint="Fix the other inputs to constants and export again.",
        )
    return inputs[0]


def _fitting(
    model: onnx.ModelProto, path: Path, graph_input: onnx.ValueInfoProto, asked: Sequence[int] | None
) -> Sequence[int] | None:
    """The input shape to take: the one asked for, or the only one that a dynamic model's fixed Reshapes admit.

    Raises:
        ModelError: another was asked for than they admit.
    """
    dims = graph_input.type.tensor_type.shape.dim
    dynamic = len(dims) == 4 and dims[1].dim_value > 0 and any(dim.dim_value <= 0 for dim in dims[2:])
    sizes = admitted(model) if dynamic else ()
    if asked is None:
        return (1, dims[1].dim_value, *sizes[0]) if len(sizes) == 1 else None
    if sizes and tuple(asked[2:]) not in sizes:
        fits = " or ".join(f"1,{dims[1].dim_value},{height},{width}" for height, width in sizes)
        raise ModelError(
            f"{path}: the size {'x'.join(map(str, asked[2:]))} does not fit the network's fixed Reshapes",
            hint=f"It was exported for one size: {fits}.",
        )
    return asked


def _refuse_operators(model: onnx.ModelProto, path: Path) -> None:
    for node in model.graph.node:
        if node.op_type in _CONTROL_FLOW:
            raise ModelError(
                f"{path}: node {node.name!r} is control flow ({node.op_type})",
                hint="NPU compilers need a static graph: export without loops and branches.",
            )
        if node.op_type in QUANTIZED:
            raise ModelError(
                f"{path}: node {node.name!r} ({node.op_type}) says that the model is quantized already",
                hint="Search the float model that it came from.",
            )


def _refuse_weights(path: Path, model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16):
            raise ModelError(
                f"{path}: weight {tensor.name!r} is {onnx.TensorProto.DataType.Name(tensor.data_type).lower()}",
                hint="Export the model in float32; mpsearch chooses the narrower types itself.",
            )
        if tensor.data_type == onnx.TensorProto.FLOAT and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise ModelError(
                f"{path}: weight {tensor.name!r} holds NaN or infinite values",
                hint="The checkpoint is damaged or training diverged: export from a good one.",
            )


def _shapes(model: onnx.ModelProto, path: Path, graph_input: onnx.ValueInfoProto) -> dict[str, Tensor]:
    """Tensor name -> shape and type, all static."""
    dims = graph_input.type.tensor_type.shape.dim
    if not dims or any(dim.dim_value <= 0 for dim in dims):
        seen = [dim.dim_value or dim.dim_param or "?" for dim in dims]
        example = ",".join(str(d) if isinstance(d, int) else "1" if i == 0 else "480" for i, d in enumerate(seen))
        raise ModelError(
            f"{path}: input {graph_input.name!r} has a dynamic shape {seen}",
            hint=f"Give the size that it was exported for: --input-shape {example or '1,3,480,640'}, for example; "
            "in a study `input: {shape: [1, 3, 480, 640]}`.",
        )
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # InferenceError is not exported by every onnx release
        raise ModelError(f"{path}: shapes cannot be inferred ({error})", hint="Simplify with onnxsim first.") from error
    shapes: dict[str, Tensor] = {}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        if value.type.HasField("tensor_type") and kind.HasField("shape"):
            sizes = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
            shapes[value.name] = Tensor(value.name, sizes, _dtype(kind.elem_type))
    for tensor in model.graph.initializer:
        shapes[tensor.name] = Tensor(tensor.name, tuple(tensor.dims), _dtype(tensor.data_type))
    for node in inferred.graph.node:
        for tensor in node.output:
            known = shapes.get(tensor)
            if tensor and (known is None or any(size < 0 for size in known.shape)):
                raise ModelError(
                    f"{path}: node {node.name!r} ({node.op_type}) makes {tensor!r} of a shape known only at run time",
                    hint="Fix the input with --input-shape, or simplify the model with onnxsim.",
                )
    return shapes


def _dtype(elem_type: int) -> str:
    return (
        str(onnx.TensorProto.DataType.Name(elem_type))
        .lower()
        .replace("float", "float32", 1)
        .replace("float3216", "float16")
    )


def _nodes(model: onnx.ModelProto, shapes: Mapping[str, Tensor]) -> list[Node]:
    """Nodes that depend on the input; what is computed from constants and static shapes alone counts as constant."""
    constant = {tensor.name for tensor in model.graph.initializer} | {""}
    nodes: list[Node] = []
    for proto in model.graph.node:
        if proto.op_type in ("Constant", "Shape", "Size") or all(name in constant for name in proto.input):
            constant.update(proto.output)
            continue
        inputs = tuple(name for name in proto.input if name not in constant)
        params = tuple(name for name in proto.input if name in constant and name)
        attributes = {a.name: _attribute(a) for a in proto.attribute if a.type != onnx.AttributeProto.TENSOR}
        conv = _conv(proto, attributes, shapes)
        outputs = tuple(name for name in proto.output if name)
        weights = sum(shapes[name].elements for name in params if name in shapes)
        has_weights = proto.op_type in (
            "Conv",
            "ConvTranspose",
            "Gemm",
            "MatMul",
            "BatchNormalization",
            "PRelu",
        )
        nodes.append(
            Node(
                proto.name,
                proto.op_type,
                inputs,
                params,
                outputs,
                attributes,
                _macs(proto, conv, shapes),
                weights if has_weights else 0,
                conv,
            )
        )
    return nodes


def _attribute(attribute: onnx.AttributeProto) -> AttributeValue:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, int | float):
        return value
    return tuple(value) if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else str(value)


def _conv(proto: onnx.NodeProto, attributes: Mapping[str, Any], shapes: Mapping[str, Tensor]) -> Conv | None:
    if proto.op_type not in ("Conv", "ConvTranspose"):
        return None
    weight, source, target = (
        shapes[proto.input[1]].shape,
        shapes[proto.input[0]].shape,
        shapes[proto.output[0]].shape,
    )
    kernel = tuple(weight[2:])
    return Conv(
        kernel=kernel,
        stride=tuple(attributes.get("strides", (1,) * len(kernel))),
        group=int(attributes.get("group", 1)),
        in_channels=source[1],
        out_channels=target[1],
        out_size=tuple(target[2:]),
    )


def _macs(proto: onnx.NodeProto, conv: Conv | None, shapes: Mapping[str, Tensor]) -> int:
    """Multiply-accumulates; of a ConvTranspose those of its input pixels."""
    out = shapes[proto.output[0]]
    if conv is not None:
        pixels = prod(shapes[proto.input[0]].shape[2:]) if proto.op_type == "ConvTranspose" else prod(conv.out_size)
        return out.shape[0] * pixels * prod(conv.kernel) * conv.in_channels * conv.out_channels // conv.group
    if proto.op_type in ("Gemm", "MatMul") and shapes[proto.input[0]].shape:
        return out.elements * shapes[proto.input[0]].shape[-1]
    return 0


def _reachable(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    wanted = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if any(tensor in wanted for tensor in node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]
