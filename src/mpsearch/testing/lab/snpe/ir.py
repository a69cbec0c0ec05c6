"""An ONNX network as SNPE's operators and tensors: names kept, channels moved to the end where the converter does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from mpsearch.graph.model import ModelGraph, Node

_TYPES = {
    "Conv": "Conv2d", "ConvTranspose": "TransposeConv2d", "Gemm": "FullyConnected", "MatMul": "MatMul",
    "MaxPool": "Pool", "AveragePool": "Pool", "GlobalAveragePool": "Pool", "GlobalMaxPool": "Pool",
    "BatchNormalization": "Batchnorm", "Concat": "Concat", "Reshape": "Reshape", "Flatten": "Reshape",
    "Squeeze": "Reshape", "Unsqueeze": "Reshape", "Transpose": "Transpose", "Resize": "Resize", "Slice": "StridedSlice",
    "Split": "Split", "Softmax": "Softmax", "PRelu": "Prelu",
    **dict.fromkeys("Add Sub Mul Div Pow Min Max".split(), "Eltwise_Binary"),
    **dict.fromkeys("Relu Sigmoid Tanh Elu HardSwish HardSigmoid Clip LeakyRelu Gelu Softplus".split(),
                    "ElementWiseNeuron"),
}  # fmt: skip
_KEEP_ORDER = frozenset("Reshape Transpose Flatten Squeeze Unsqueeze Gemm MatMul".split())
"""Their outputs stay as the network has them."""
_CONSTANTS = frozenset("Conv ConvTranspose Gemm MatMul BatchNormalization Add Sub Mul Div Pow PRelu".split())
"""Operators whose constants are tensors; other constants are attributes."""


def build(
    graph: ModelGraph, outputs: Sequence[str], *, spatial_last: bool, float_bits: int, fold: bool
) -> dict[str, Any]:
    """The ``ir`` of a float :class:`~mpsearch.testing.lab.snpe.dlc.Dlc`.

    Args:
        outputs: tensors of the network.
        spatial_last: images keep the network's own order, as ``qairt-converter`` leaves them.
        fold: BatchNormalization becomes part of the convolution before it.
    """
    return _Importer(graph, outputs, spatial_last, f"Float_{float_bits}", fold).run()


class _Importer:
    def __init__(self, graph: ModelGraph, outputs: Sequence[str], spatial_last: bool, kind: str, fold: bool) -> None:
        self._graph, self._outputs, self._kind, self._fold = graph, tuple(outputs), kind, fold
        self._moves = not spatial_last
        self._tensors: dict[str, dict[str, Any]] = {}
        self._ops: list[dict[str, Any]] = []
        self._last: dict[str, bool] = {}

    def run(self) -> dict[str, Any]:
        for name in self._graph.inputs:
            self._last[name] = self._moves and len(self._graph.tensors[name].shape) == 4
            self._tensor(name, "APP_WRITE")
        nodes = self._graph.nodes_behind(self._outputs)
        for node in nodes:
            self._node(node, nodes)
        kinds = {op["type"] for op in self._ops}
        return {
            "graph": "",
            "inputs": list(self._graph.inputs),
            "outputs": list(self._outputs),
            "ops": self._ops,
            "tensors": self._tensors,
            "kinds": sorted(kinds),
        }

    def _node(self, node: Node, nodes: Iterable[Node]) -> None:
        if node.op_type == "BatchNormalization" and self._fold and self._folded(node, nodes):
            return
        for name in node.outputs:
            sources = (self._last.get(tensor, False) for tensor in node.inputs)
            moved = node.op_type not in _KEEP_ORDER and any(sources)
            self._last[name] = moved and len(self._graph.tensors[name].shape) == 4
            self._tensor(name, "APP_READ" if name in self._outputs else "NATIVE")
        constants = node.params if node.op_type in _CONSTANTS else ()
        for index, name in enumerate(constants):
            self._constant(node, name, index)
        self._ops.append(
            {
                "name": node.name,
                "type": self._type(node),
                "inputs": [*node.inputs, *(name for name in constants if name in self._tensors)],
                "outputs": list(node.outputs),
                "params": self._params(node),
                "unit": self._graph.unit_of[node.name],
                "onnx": node.op_type,
            }
        )

    def _folded(self, node: Node, nodes: Iterable[Node]) -> bool:
        """Whether it vanished into the operator before; that one then makes its output."""
        before = next((op for op in self._ops if op["outputs"] == [node.inputs[0]]), None)
        readers = [n for n in nodes if node.inputs[0] in n.inputs]
        if before is None or before["type"] not in ("Conv2d", "DepthWiseConv2d", "TransposeConv2d") or len(readers) > 1:
            return False
        if node.inputs[0] in self._outputs:
            return False
        self._last[node.outputs[0]] = self._last[node.inputs[0]]
        del self._tensors[node.inputs[0]]
        self._tensor(node.outputs[0], "APP_READ" if node.outputs[0] in self._outputs else "NATIVE")
        before["outputs"] = [node.outputs[0]]
        return True

    def _tensor(self, name: str, kind: str) -> None:
        shape = list(self._graph.tensors[name].shape)
        dims = [shape[0], *shape[2:], shape[1]] if self._last[name] else shape
        self._tensors[name] = {
            "dims": dims, "type": self._kind, "kind": kind, "encoding": None, "onnx": name, "last": self._last[name],
        }  # fmt: skip

    def _constant(self, node: Node, name: str, index: int) -> None:
        found = self._graph.tensors.get(name)
        if found is None or found.dtype != "float32":
            return
        dims = list(found.shape)
        if len(dims) == 4 and index == 0 and node.op_type in ("Conv", "ConvTranspose"):
            dims = [*dims[2:], dims[1], dims[0]] if node.op_type == "Conv" else [*dims[2:], *dims[:2]]
        role = ""
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            role = "bias" if index or len(dims) == 1 else "weight"
        self._tensors[name] = {
            "dims": dims, "type": self._kind, "kind": "STATIC", "encoding": None, "onnx": name, "last": False,
            "role": role, "reader": node.op_type, "axis": _axis(node),
        }  # fmt: skip

    def _type(self, node: Node) -> str:
        if node.conv is not None and node.conv.depthwise:
            return "DepthWiseConv2d"
        return _TYPES.get(node.op_type, node.op_type)

    def _params(self, node: Node) -> list[str]:
        lines = []
        if node.conv is not None:
            lines += ["dilation: [1, 1]", f"group: {node.conv.group}", "pad_amount: [[0, 0], [0, 0]]"]
            lines += [f"stride: {list(node.conv.stride)}"]
        lines += ["packageName: qti.aisw"]
        count = sum(prod(self._tensors[name]["dims"]) for name in node.params if name in self._tensors)
        if count:
            lines += [f"param count: {_short(count)} ({100 * count / max(1, self._total_params()):.3g}%)"]
        if node.macs:
            lines += [f"MACs per inference: {_short(node.macs)} ({100 * node.macs / max(1, self._graph.macs):.3g}%)"]
        return lines

    def _total_params(self) -> int:
        return sum(node.weights for node in self._graph.nodes)


def _axis(node: Node) -> int:
    """Of a weight's output channels in the network's own order."""
    if node.op_type == "Gemm":
        return 0 if node.attributes.get("transB") else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, -1)


def _short(number: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number // size}{letter}"
    return str(number)
