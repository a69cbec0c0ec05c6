"""Activations as functions of arrays, so that they can be tabulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpsearch.graph.model import Node
from mpsearch.quant.qparams import FloatArray, QParams, dequantize, quantize

Function = Callable[[FloatArray], FloatArray]
Constants = Mapping[str, NDArray[np.generic]]

_UNARY: Mapping[str, Function] = {
    "Relu": lambda x: np.maximum(x, np.float32(0)),
    "Sigmoid": lambda x: _sigmoid(x),
    "Tanh": np.tanh,
    "HardSwish": lambda x: x * np.clip(x / np.float32(6) + np.float32(0.5), 0, 1),
    "Exp": np.exp,
    "Sqrt": np.sqrt,
    "Abs": np.abs,
    "Neg": np.negative,
    "Identity": lambda x: x,
}
BINARY: Mapping[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


def function_of(
    nodes: Sequence[Node],
    source: str,
    target: str,
    constants: Constants,
    operands: Mapping[str, Sequence[str]],
    inner: Mapping[str, QParams],
) -> Function | None:
    """The function that ``nodes`` (in order) make of tensor ``source``, or None if it is not one of scalars alone.

    Every array constant must be a single number: then the function works on any shape, and so on a table.

    Args:
        operands: node -> all its inputs in ONNX order, constants among them.
        inner: tensors between that are quantized on the way.
    """
    if not nodes:
        return lambda x: x
    steps: list[tuple[str, Callable[[Mapping[str, FloatArray]], FloatArray]]] = []
    known = {source}
    for node in nodes:
        step = _step(node, constants, operands)
        if step is None or not set(node.inputs) <= known or len(node.outputs) != 1:
            return None
        steps.append((node.outputs[0], step))
        known.add(node.outputs[0])
    if target not in known:
        return None

    def run(x: FloatArray) -> FloatArray:
        values = {source: np.asarray(x, np.float32)}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for name, step in steps:
                values[name] = np.asarray(step(values), np.float32)
                if name in inner and name != target:
                    values[name] = dequantize(quantize(values[name], inner[name]), inner[name])
        return values[target]

    return run


def _step(
    node: Node, constants: Constants, operands: Mapping[str, Sequence[str]]
) -> Callable[[Mapping[str, FloatArray]], FloatArray] | None:
    scalars = [_scalar(constants, name) for name in node.params]
    if None in scalars:
        return None
    first = node.inputs[0]
    if node.op_type in _UNARY and not scalars:
        unary = _UNARY[node.op_type]
        return lambda values: unary(values[first])
    if node.op_type == "Clip":
        low, high = _limits(node, scalars)
        return lambda values: np.clip(values[first], low, high)
    if node.op_type == "LeakyRelu":
        alpha = np.float32(node.attributes.get("alpha", 0.01))  # type: ignore[arg-type]
        return lambda values: np.where(values[first] < 0, values[first] * alpha, values[first])
    if node.op_type == "PRelu" and scalars:
        slope = np.float32(scalars[0] or 0.0)
        return lambda values: np.where(values[first] < 0, values[first] * slope, values[first])
    if node.op_type == "HardSigmoid":
        alpha = np.float32(node.attributes.get("alpha", 0.2))  # type: ignore[arg-type]
        beta = np.float32(node.attributes.get("beta", 0.5))  # type: ignore[arg-type]
        return lambda values: np.clip(values[first] * alpha + beta, 0, 1)
    if node.op_type in BINARY:
        left, right = operands[node.name]
        operator = BINARY[node.op_type]
        fixed = {name: np.asarray(_scalar(constants, name), np.float32) for name in node.params}
        return lambda values: operator(_pick(values, fixed, left), _pick(values, fixed, right))
    return None


def _pick(values: Mapping[str, FloatArray], fixed: Mapping[str, FloatArray], name: str) -> FloatArray:
    return fixed[name] if name in fixed else values[name]


def _limits(node: Node, scalars: Sequence[float | None]) -> tuple[np.float32, np.float32]:
    limits = [node.attributes.get("min"), node.attributes.get("max")]
    for index, value in enumerate(scalars[:2]):
        limits[index] = value
    low = -np.inf if limits[0] is None else float(limits[0])  # type: ignore[arg-type]
    high = np.inf if limits[1] is None else float(limits[1])  # type: ignore[arg-type]
    return np.float32(low), np.float32(high)


def _scalar(constants: Constants, name: str) -> float | None:
    value = constants.get(name)
    return None if value is None or value.size != 1 else float(value.reshape(-1)[0])


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(np.float32(1) / (np.float32(1) + np.exp(-x)), np.float32)
