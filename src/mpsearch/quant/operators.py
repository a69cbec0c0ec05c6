"""One step of a plan as a function of arrays: integer convolutions, tables, moves, and float for the rest.

Arrays are ``[images, *shape of the tensor]``: codes (uint8, uint16) where the tensor is quantized, float32 where not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mpsearch.errors import ModelError
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph, Node, Role
from mpsearch.quant import elementwise, linear, lookup, moves
from mpsearch.quant.plan import LINEAR, Step, before_activation
from mpsearch.quant.qparams import Arithmetic, FloatArray, Linear, QParams

Array = NDArray[Any]
Operator = Callable[[Sequence[Array]], list[Array]]
_CUTTING = frozenset(("Relu", "Clip"))
"""Activations that commute with the quantizer behind them, so that the convolution may use it at once."""
_SESSION_BYTES, _MOVE_BYTES, _FLOAT_BYTES = 112 << 10, 1 << 10, 4
"""A session without weights, measured with onnxruntime 1.32; a closure."""


class Operators:
    """Makes operators for the units of one model; holds its constants."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._model = onnx.shape_inference.infer_shapes(onnxio.load_for(graph), data_prop=True)
        self._protos = {node.name: node for node in self._model.graph.node}
        self._operands = {node.name: list(node.input) for node in self._model.graph.node}
        self._constants = _constants(self._model, {node.name for node in graph.nodes})

    def make(self, step: Step, arithmetic: Arithmetic) -> Operator:
        """The operator of ``step``; reusable for every step that equals it."""
        unit = self._graph.unit[step.unit]
        nodes = [self._graph.node[name] for name in unit.nodes]
        if unit.role is Role.TRANSPARENT and nodes[0].op_type != "Pad":
            return self._moved(step, self._move(nodes[0]))
        folded = None if step.targets[0][1] is None else self.linear(step.unit)
        if folded is not None:
            return self._linear(step, arithmetic, nodes, folded)
        return self._elementwise(step, nodes) or self._float(step, arithmetic, nodes)

    def size_bytes(self, step: Step) -> int:
        """What the operator of ``step`` takes, roughly: a session's own part, its weights twice, its table."""
        unit = self._graph.unit[step.unit]
        if unit.role is Role.TRANSPARENT:
            return _MOVE_BYTES
        source = step.inner[0][1] if step.inner else step.targets[0][1]
        table = 0 if source is None else source.levels * source.code_type.itemsize
        return _SESSION_BYTES + unit.weights * 2 * _FLOAT_BYTES + table

    def linear(self, unit: str) -> Linear | None:
        """The convolution or matrix product with constant weights at the head of ``unit``, if there is one."""
        names = self._graph.unit[unit].nodes
        if not names or self._graph.node[names[0]].op_type not in LINEAR or not self._graph.node[names[0]].params:
            return None
        return linear.fold(self._protos, names, self._constants)

    def _moved(self, step: Step, move: Operator) -> Operator:
        """Each part into its own quantizer, where it is not the one that is read."""
        read = step.sources[0][1]
        if all(params == read for _, params in step.targets):
            return move
        return lambda arrays: [
            lookup.convert(part, read, params) for part, (_, params) in zip(move(arrays), step.targets, strict=True)
        ]

    def _move(self, node: Node) -> Operator:
        move = moves.move_of(self._graph, node, self._constants)
        if move is not None:
            return move
        run = self._session([node], node.inputs, node.outputs)

        def through_float(arrays: Sequence[Array]) -> list[Array]:
            # Moving commutes with coding; onnxruntime's kernels know float32 best, and it holds every code exactly.
            moved = run([array.astype(np.float32, copy=False) for array in arrays])
            return [out.astype(arrays[0].dtype, copy=False) for out in moved]

        return through_float

    def _linear(self, step: Step, arithmetic: Arithmetic, nodes: Sequence[Node], folded: Linear) -> Operator:
        target, pre = step.targets[0][1], before_activation(self._graph, self._graph.unit[step.unit])
        assert target is not None
        inside = dict(step.inner)
        behind = nodes[(2 if folded.has_norm else 1) :]
        inner = None if pre is None else inside.get(pre)
        if inner is None and all(node.op_type in _CUTTING for node in behind):
            inner = target
        run = linear.runner(folded, step, arithmetic, inner)
        if pre is None or not behind:
            return lambda arrays: [run(arrays[0])]
        function = elementwise.function_of(behind, pre, step.targets[0][0], self._constants, self._operands, inside)
        if function is not None and inner is not None:
            table = lookup.mapping(function, inner, target)
            if table is None:
                return lambda arrays: [run(arrays[0])]
            return lambda arrays: [lookup.look_up(run(arrays[0]), table)]
        activation = self._session(behind, [pre], [step.targets[0][0]])

        def with_activation(arrays: Sequence[Array]) -> list[Array]:
            real = lookup.convert(run(arrays[0]), inner, None)
            return [lookup.convert(activation([real])[0], None, target)]

        return with_activation

    def _elementwise(self, step: Step, nodes: Sequence[Node]) -> Operator | None:
        if len(step.sources) != 1 or len(step.targets) != 1:
            return None
        (source, read), (out, target) = step.sources[0], step.targets[0]
        if read is None or target is None:
            return None
        function = elementwise.function_of(nodes, source, out, self._constants, self._operands, {})
        if function is None:
            return None
        table = lookup.mapping(function, read, target)
        return (lambda arrays: [arrays[0]]) if table is None else (lambda arrays: [lookup.look_up(arrays[0], table)])

    def _float(self, step: Step, arithmetic: Arithmetic, nodes: Sequence[Node]) -> Operator:
        """Dequantize, compute in float32, quantize: what the engine's simulator does for every layer."""
        names, targets = [name for name, _ in step.sources], [name for name, _ in step.targets]
        held = {
            name: arithmetic.operand(np.asarray(value, np.float32), step.type)
            for node in nodes
            if node.op_type in elementwise.BINARY
            for name in node.params
            if (value := self._constants[name]).dtype == np.float32
        }
        run = self._session(nodes, names, targets, held)

        def compute(arrays: Sequence[Array]) -> list[Array]:
            real = [lookup.convert(array, read, None) for array, (_, read) in zip(arrays, step.sources, strict=True)]
            return [lookup.convert(out, None, params) for out, (_, params) in zip(run(real), step.targets, strict=True)]

        return compute

    def _session(
        self,
        nodes: Sequence[Node],
        inputs: Sequence[str],
        outputs: Sequence[str],
        held: Mapping[str, FloatArray] | None = None,
    ) -> Operator:
        """The nodes in onnxruntime, image by image (their shapes are those of one image).

        Args:
            held: constants that are not what the model says.
        """
        known = {**self._constants, **(held or {})}
        constants = [
            numpy_helper.from_array(np.ascontiguousarray(known[name]), name)
            for name in dict.fromkeys(p for node in nodes for p in node.params)
        ]
        graph = helper.make_graph(
            [self._protos[node.name] for node in nodes],
            "unit",
            [self._info(name) for name in inputs],
            [self._info(name) for name in outputs],
            constants,
        )
        model = helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        session = onnxio.session(model, threads=1)

        def run(arrays: Sequence[Array]) -> list[Array]:
            rows = [
                session.run(list(outputs), dict(zip(inputs, image, strict=True))) for image in zip(*arrays, strict=True)
            ]
            return [np.stack([row[index] for row in rows]) for index in range(len(outputs))]

        return run

    def _info(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, self._graph.tensors[name].shape)


def _constants(model: onnx.ModelProto, live: set[str]) -> Mapping[str, NDArray[np.generic]]:
    """Initializers, Constant nodes, and what the nodes outside ``live`` compute from constants and shapes."""
    found: dict[str, NDArray[np.generic]] = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    }
    aside = [n for n in model.graph.node if n.name not in live and all(o not in found for o in n.output)]
    wanted = {name for node in model.graph.node if node.name in live for name in node.input}
    outputs = [o for n in aside for o in n.output if o in wanted]
    for node in aside:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    missing = [name for name in outputs if name not in found]
    if missing:
        part = onnx.ModelProto()
        part.CopyFrom(model)
        infos = {v.name: v for v in (*model.graph.value_info, *model.graph.output)}
        if any(name not in infos for name in missing):
            raise ModelError(
                f"constant {missing[0]!r} has no known shape", hint="Simplify the model with onnxsim first."
            )
        del part.graph.output[:]
        part.graph.output.extend(infos[name] for name in missing)
        zeros = {
            value.name: np.zeros([d.dim_value for d in value.type.tensor_type.shape.dim], np.float32)
            for value in model.graph.input
            if value.name not in found
        }
        found.update(zip(missing, onnxio.session(part, threads=1).run(missing, zeros), strict=True))
    return found


__all__ = ["Array", "FloatArray", "Operator", "Operators", "QParams"]
