"""A candidate as an ONNX model in QDQ form: QuantizeLinear and DequantizeLinear around what computes in 8 bits.

onnxruntime replaces ``DequantizeLinear -> Conv -> QuantizeLinear`` by one integer kernel, and so on; what it has no
integer kernel for runs in float32 between the two. :mod:`mpsearch.toolchain.host.kernels` looks at what it really did.
Activations are written as uint8 also for int8 bases, with the zero point moved by 128: the same numbers, and the form
that x86 has kernels for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mpsearch.candidate import BASES, Base
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.quant import linear
from mpsearch.quant.plan import LINEAR, Plan, Step, before_activation
from mpsearch.quant.qparams import Linear, QParams, QWeights, quantize, quantize_bias
from mpsearch.quant.ranges import Range
from mpsearch.quant.schemes import activation_params, quantize_weights

INTEGER_ACTIVATIONS = frozenset(("Sigmoid", "LeakyRelu", "Mul", "Add"))
"""Activations, and parts of such, that onnxruntime has 8-bit kernels for: only between these a quantizer pays."""
_CONSTANT_OPERANDS = frozenset(("Add", "Mul"))
_MICROSOFT = "com.microsoft"
_INT32_LIMIT = 2**31


class Writer:
    """Writes the models of one float model; loads it once."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._model = onnx.shape_inference.infer_shapes(onnxio.load_for(graph))

    def float_model(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """The float model up to ``outputs``."""
        return onnxio.extract(self._model, self._graph.inputs, outputs)

    def write(self, plan: Plan, own: Callable[[str], Range]) -> onnx.ModelProto:
        """The model of ``plan``; its outputs are the delivered tensors, in float32.

        Args:
            own: a tensor's range by its own statistics, for those inside a unit.
        """
        outputs = tuple(dict.fromkeys(tensor for tensor, _ in plan.delivered))
        part = self.float_model(outputs)
        return _Rewrite(self._graph, part, plan, own).run(outputs)


class _Rewrite:
    def __init__(self, graph: ModelGraph, part: onnx.ModelProto, plan: Plan, own: Callable[[str], Range]) -> None:
        self.graph, self.part, self.plan, self.own = graph, part, plan, own
        self.base: Base = BASES[plan.candidate.base]
        self.protos = {node.name: node for node in part.graph.node}
        self.constants = _constants(part)
        self.nodes: list[onnx.NodeProto] = []
        self.added: dict[str, onnx.TensorProto] = {}
        self.stored: dict[str, QParams | None] = {graph.inputs[0]: None}
        self.converted: dict[tuple[str, QParams], str] = {}
        opset = next(item.version for item in part.opset_import if item.domain in ("", "ai.onnx"))
        # Before opset 13 only onnxruntime's own domain knows quantizers with an axis.
        self.domain = "" if opset >= 13 else _MICROSOFT

    def run(self, outputs: Sequence[str]) -> onnx.ModelProto:
        unit_nodes = {name for unit in self.graph.units for name in unit.nodes}
        self.nodes += [node for node in self.part.graph.node if node.name not in unit_nodes]
        for step in self.plan.steps:
            self._step(step)
        used = {name for node in self.nodes for name in node.input}
        constants = [tensor for tensor in self.part.graph.initializer if tensor.name in used]
        graph = helper.make_graph(
            self.nodes, self.part.graph.name, self.part.graph.input,
            [value for value in self.part.graph.output if value.name in outputs], [*constants, *self.added.values()],
        )  # fmt: skip
        imports = [*self.part.opset_import]
        if self.domain and all(item.domain != self.domain for item in imports):
            imports.append(helper.make_opsetid(self.domain, 1))
        return helper.make_model(_sorted(graph), opset_imports=imports, ir_version=self.part.ir_version)

    def _step(self, step: Step) -> None:
        unit = self.graph.unit[step.unit]
        targets = dict(step.targets)
        reads = {tensor: self._read(tensor, params) for tensor, params in step.sources}
        nodes = [self.protos[name] for name in unit.nodes]
        quantized = any(params is not None for params in targets.values())
        inner: dict[str, QParams | None] = {}
        if quantized and unit.role is Role.COMPUTE:
            inner = self._inner(step, nodes)
            head = self.graph.node[unit.nodes[0]]
            if head.op_type in LINEAR and head.params:
                nodes = self._linear(step, reads, {**inner, **targets})
        for node in nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            inputs = [reads.get(name, name) for name in node.input]
            if quantized and node.op_type in _CONSTANT_OPERANDS:
                inputs = [self._operand(name, step) if name in self.constants else name for name in inputs]
            self._emit(copy, inputs, {**inner, **targets})
        self.stored.update(targets)

    def _inner(self, step: Step, nodes: Sequence[onnx.NodeProto]) -> dict[str, QParams | None]:
        """Quantizers inside a unit: behind its linear node, and between activations that have integer kernels."""
        unit = self.graph.unit[step.unit]
        pre = before_activation(self.graph, unit)
        found: dict[str, QParams | None] = {}
        behind = list(nodes)
        if pre is not None:
            found.update(step.inner)
            behind = behind[[pre in node.output for node in nodes].index(True) + 1 :]
        elif nodes[0].op_type in LINEAR:
            behind = []
        if len(behind) > 1 and all(node.op_type in INTEGER_ACTIVATIONS for node in behind):
            for node in behind[:-1]:
                tensor = node.output[0]
                found[tensor] = activation_params(step.type, self.base, *self.own(tensor), name=tensor)
        return found

    def _linear(
        self, step: Step, reads: Mapping[str, str], quantizers: Mapping[str, QParams | None]
    ) -> list[onnx.NodeProto]:
        """Emit the linear node with its BatchNormalization folded in; the nodes that remain."""
        names = self.graph.unit[step.unit].nodes
        folded = linear.fold(self.protos, names, self.constants)
        source = step.sources[0][1]
        weights = quantize_weights(folded.weights, step.type, self.base, axis=folded.axis, name=folded.name)
        inputs = [reads[step.sources[0][0]], self._weights(folded.name, weights)]
        if folded.bias is not None:
            inputs.append(self._bias(folded, source, weights))
        taken = 2 if folded.has_norm else 1
        out = self.protos[names[taken - 1]].output[0]
        node = helper.make_node(folded.op_type, inputs, [out], name=folded.name, **folded.attributes)
        self._emit(node, inputs, quantizers)
        return [self.protos[name] for name in names[taken:]]

    def _weights(self, name: str, weights: QWeights) -> str:
        many = weights.scale.size > 1
        zero = np.full(weights.scale.shape if many else (), weights.zero_point, weights.integers.dtype)
        return self._dequantized(
            f"{name}/weights", weights.integers, weights.scale if many else weights.scale[0], zero,
            axis=weights.axis if many else None,
        )  # fmt: skip

    def _bias(self, folded: Linear, source: QParams | None, weights: QWeights) -> str:
        assert folded.bias is not None
        name = f"{folded.name}/bias"
        scale = weights.scale
        whole = source is not None and scale.size in (1, folded.bias.size)
        if whole and source is not None:
            integers = quantize_bias(folded.bias, source.scale, weights)
            if np.abs(integers).max(initial=0) < _INT32_LIMIT:
                step = (np.float64(source.scale) * scale.astype(np.float64)).astype(np.float32)
                many = scale.size > 1
                zero = np.zeros(scale.shape if many else (), np.int32)
                return self._dequantized(
                    name, integers.astype(np.int32), step if many else step[0], zero, axis=0 if many else None
                )
        return self._constant(name, np.ascontiguousarray(folded.bias))

    def _operand(self, name: str, step: Step) -> str:
        """A constant of an Add or Mul, quantized like an activation."""
        value = self.constants[name].astype(np.float32)
        low, high = float(value.min(initial=0.0)), float(value.max(initial=0.0))
        params = activation_params(step.type, self.base, low, high, name=name)
        if params is None or not value.size:
            return name
        codes, zero = quantize(value, params), np.uint8(params.code_zero)
        return self._dequantized(f"{name}/{step.unit}", codes, np.float32(params.scale), zero, axis=None)

    def _read(self, tensor: str, params: QParams | None) -> str:
        """The name under which a unit reads ``tensor``: what is stored, or a conversion of float32."""
        if params is None or self.stored[tensor] is not None:
            return tensor
        key = (tensor, params)
        if key not in self.converted:
            self.converted[key] = f"{tensor}/read{len(self.converted)}"
            self._pair(tensor, self.converted[key], params)
        return self.converted[key]

    def _emit(self, node: onnx.NodeProto, inputs: Sequence[str], quantizers: Mapping[str, QParams | None]) -> None:
        """Append ``node``; outputs that have a quantizer pass through it and keep their name behind it."""
        del node.input[:]
        node.input.extend(inputs)
        pairs = []
        for index, name in enumerate(node.output):
            params = quantizers.get(name)
            if params is not None:
                node.output[index] = f"{name}/float"
                pairs.append((f"{name}/float", name, params))
        self.nodes.append(node)
        for source, target, params in pairs:
            self._pair(source, target, params)

    def _pair(self, source: str, target: str, params: QParams) -> None:
        scale = self._constant(f"{target}/scale", np.float32(params.scale))
        zero = self._constant(f"{target}/zero", np.uint8(params.code_zero))
        self.nodes += [
            helper.make_node(
                "QuantizeLinear", [source, scale, zero], [f"{target}/q"], f"{target}/quantize", domain=self.domain
            ),
            helper.make_node(
                "DequantizeLinear", [f"{target}/q", scale, zero], [target], f"{target}/dequantize", domain=self.domain
            ),
        ]

    def _dequantized(self, name: str, codes: NDArray[Any], scale: Any, zero: Any, *, axis: int | None) -> str:
        if name in self.added or f"{name}/codes" in self.added:
            return name
        inputs = [
            self._constant(f"{name}/{part}", v) for part, v in (("codes", codes), ("scale", scale), ("zero", zero))
        ]
        more = {} if axis is None else {"axis": axis}
        self.nodes.append(
            helper.make_node("DequantizeLinear", inputs, [name], f"{name}/dequantize", domain=self.domain, **more)
        )
        return name

    def _constant(self, name: str, value: Any) -> str:
        self.added[name] = numpy_helper.from_array(np.asarray(value), name)
        return name


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    """Initializers and Constant nodes that hold a tensor."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _sorted(graph: onnx.GraphProto) -> onnx.GraphProto:
    """Nodes in an order in which everything is made before it is read."""
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output}
    order: list[int] = []
    done: set[int] = set()
    for start in range(len(graph.node)):
        stack = [start]
        while stack:
            index = stack[-1]
            waiting = [
                producer[name]
                for name in graph.node[index].input
                if name not in known and name in producer and producer[name] not in done
            ]
            if index in done or not waiting:
                stack.pop()
                if index not in done:
                    done.add(index)
                    order.append(index)
            else:
                stack.extend(waiting)
    nodes = [graph.node[index] for index in order]
    result = onnx.GraphProto()
    result.CopyFrom(graph)
    del result.node[:]
    result.node.extend(nodes)
    return result
