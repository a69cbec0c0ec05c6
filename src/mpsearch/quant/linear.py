"""Convolutions and matrix products with quantized weights.

8-bit convolutions run in integers (onnxruntime's QLinearConv: exact sums, one rounding, half to even), all others in
float32 on dequantized numbers, as Acuity's own simulator does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mpsearch.errors import ModelError
from mpsearch.quant import lookup
from mpsearch.quant.plan import Step
from mpsearch.quant.qparams import Arithmetic, FloatArray, Linear, QParams, QWeights, half_codes

Array = NDArray[Any]
Runner = Callable[[Array], Array]
_OPSET = 21


def fold(
    protos: Mapping[str, onnx.NodeProto], nodes: Sequence[str], constants: Mapping[str, NDArray[np.generic]]
) -> Linear:
    """The linear node at the head of ``nodes``.

    Raises:
        ModelError: the constant is not the second operand.
    """
    node = protos[nodes[0]]
    if len(node.input) < 2 or node.input[1] not in constants:
        raise ModelError(f"node {node.name!r} ({node.op_type}): its weights are not the second input")
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    weights = np.asarray(constants[node.input[1]], np.float32)
    bias = np.asarray(constants[node.input[2]], np.float32) if len(node.input) > 2 and node.input[2] else None
    axis = 0
    if node.op_type == "ConvTranspose":
        axis = 1
    elif node.op_type == "Gemm":
        axis = 0 if attributes.get("transB") else 1
        if bias is not None:
            bias = np.broadcast_to(bias.reshape(-1), (weights.shape[axis],))
    elif node.op_type == "MatMul":
        axis = weights.ndim - 1
    norm = protos[nodes[1]] if len(nodes) > 1 and protos[nodes[1]].op_type == "BatchNormalization" else None
    if norm is not None:
        gamma, beta, mean, variance = (np.asarray(constants[name], np.float32) for name in norm.input[1:5])
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        factor = gamma / np.sqrt(variance + np.float32(epsilon))
        groups = int(attributes.get("group", 1)) if node.op_type == "ConvTranspose" else 1
        shape = [1] * weights.ndim
        shape[axis] = -1
        if groups == 1:
            weights = weights * factor.reshape(shape)
        else:  # [in, out / groups, ...]: each group of input rows has its own outputs
            rows = np.repeat(factor.reshape(groups, -1), weights.shape[0] // groups, axis=0)
            weights = weights * rows.reshape(*rows.shape, *[1] * (weights.ndim - 2))
        bias = (bias if bias is not None else np.float32(0)) * factor + beta - mean * factor
    return Linear(node.name, node.op_type, attributes, weights, bias, axis, norm is not None)


def runner(node: Linear, step: Step, arithmetic: Arithmetic, output: QParams | None) -> Runner:
    """The node as a function from codes of its source to codes of ``output``; to float32 where that is None."""
    source = step.sources[0][1]
    if source is None:
        raise ModelError(f"{node.name}: a quantized unit reads quantized numbers")
    weights = arithmetic.weights(node, step.type)
    if weights is None:
        return _float(node, _half(node.weights), None if node.bias is None else _half(node.bias), source, output)
    spread = _spread(weights, node)
    bias = None if node.bias is None else arithmetic.bias(node, source, spread)
    eight = source.levels == 256 and weights.integers.dtype == np.int8
    if (
        output is not None
        and output.levels == 256
        and node.op_type == "Conv"
        and eight
        and (bias is None or np.abs(bias).max(initial=0) < 2**30)
    ):
        return _integer(node, weights, bias, source, output)
    steps = np.float64(source.scale) * spread.scale.astype(np.float64)
    return _float(node, weights.real(), None if bias is None else (bias * steps).astype(np.float32), source, output)


def _half(values: FloatArray) -> FloatArray:
    """Rounded to float16.

    Raises:
        CandidateError: a value beyond it.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16)
    half_codes(rounded)
    return rounded.astype(np.float32)


def _spread(weights: QWeights, node: Linear) -> QWeights:
    """A grouped ConvTranspose has fewer scales than biases: each is used once a group."""
    if weights.scale.size == 1 or node.bias is None or weights.scale.size == node.bias.size:
        return weights
    scale = np.tile(weights.scale, node.bias.size // weights.scale.size)
    return QWeights(weights.integers, scale, weights.zero_point, weights.axis, weights.params)


def _integer(
    node: Linear, weights: QWeights, bias: NDArray[np.float64] | None, source: QParams, output: QParams
) -> Runner:
    constants = {
        "source_scale": np.float32(source.scale),
        "source_zero": np.uint8(source.code_zero),
        "weights": weights.integers,
        "weight_scale": weights.scale if weights.scale.size > 1 else weights.scale[0],
        "weight_zero": np.full(weights.scale.shape if weights.scale.size > 1 else (), weights.zero_point, np.int8),
        "output_scale": np.float32(output.scale),
        "output_zero": np.uint8(output.code_zero),
    }
    if bias is not None:
        constants["bias"] = bias.astype(np.int32)
    operation = helper.make_node("QLinearConv", ["x", *constants], ["y"], **node.attributes)
    session = _session([operation], constants, TensorProto.UINT8, TensorProto.UINT8)
    return lambda x: _batched(session, x)


def _float(
    node: Linear, weights: FloatArray, bias: FloatArray | None, source: QParams, output: QParams | None
) -> Runner:
    constants: dict[str, Any] = {"weights": weights}
    if bias is not None:
        constants["bias"] = bias
    op_type, inputs, attributes = node.op_type, ["x", *constants], dict(node.attributes)
    if op_type == "MatMul" and bias is not None:  # a BatchNormalization behind it
        raise ModelError(f"{node.name}: a MatMul has no bias")
    operations = [helper.make_node(op_type, inputs, ["real"], **attributes)]
    if output is None:
        code = TensorProto.FLOAT
        operations.append(helper.make_node("Identity", ["real"], ["y"]))
    elif output.is_float:
        code = TensorProto.FLOAT16
        operations.append(helper.make_node("Cast", ["real"], ["y"], to=code))
    else:
        code = TensorProto.UINT8 if output.levels <= 256 else TensorProto.UINT16
        operations.append(helper.make_node("QuantizeLinear", ["real", "output_scale", "output_zero"], ["y"]))
        constants["output_scale"] = np.float32(output.scale)
        constants["output_zero"] = np.asarray(output.code_zero, output.code_type)
    session = _session(operations, constants, TensorProto.FLOAT, code)
    batched = op_type in ("Conv", "ConvTranspose")

    def run(x: Array) -> Array:
        real = lookup.convert(x, source, None)
        made = _batched(session, real) if batched else np.stack([session.run(None, {"x": image})[0] for image in real])
        return half_codes(made) if output is not None and output.is_float else made

    return run


def _batched(session: ort.InferenceSession, x: Array) -> Array:
    """``[images, 1, C, ...]`` through a node that takes batches; other batches one image at a time."""
    if x.shape[1] != 1:
        return np.stack([session.run(None, {"x": image})[0] for image in x])
    y: Array = session.run(None, {"x": x.reshape(len(x), *x.shape[2:])})[0]
    return y.reshape(len(x), 1, *y.shape[1:])


def _session(
    nodes: list[onnx.NodeProto], constants: Mapping[str, Any], source: int, target: int
) -> ort.InferenceSession:
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", source, None)],
        [helper.make_tensor_value_info("y", target, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # Hundreds of sessions live at once: an arena in each would keep gigabytes.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Without VNNI the fast u8 x s8 kernels saturate; this makes onnxruntime choose exact ones there.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
