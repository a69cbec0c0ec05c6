"""Graphs written down layer by layer, the way a paper does; no weights, no ONNX."""

from __future__ import annotations

from math import prod
from pathlib import Path

from mpsearch.graph.model import Conv, ModelGraph, Node, Tensor
from mpsearch.graph.units import build_units


class Net:
    """Grows a graph; every method takes and returns names of tensors. Batch norm is folded into the convolutions."""

    def __init__(self, name: str, channels: int, height: int, width: int) -> None:
        self.name = name
        self.tensors = {"input": Tensor("input", (1, channels, height, width))}
        self.nodes: list[Node] = []

    def shape(self, x: str) -> tuple[int, ...]:
        return self.tensors[x].shape

    def conv(
        self, x: str, out: int, kernel: int | tuple[int, int], stride: int = 1, act: str = "Relu",
        *, depthwise: bool = False, valid: bool = False, groups: int = 1,
    ) -> str:  # fmt: skip
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        _, channels, *size = self.shape(x)
        sizes = tuple(
            (n - k) // stride + 1 if valid else -(-n // stride) for n, k in zip(size, (height, width), strict=True)
        )
        group = channels if depthwise else groups
        weights = out * (channels // group) * height * width
        conv = Conv((height, width), (stride, stride), group, channels, out, sizes)
        y = self.node("Conv", (x,), (1, out, *sizes), weights * prod(sizes), weights, conv)
        return self.activate(y, act)

    def activate(self, x: str, act: str) -> str:
        """``Silu`` is ``x * Sigmoid(x)``; an empty name is none."""
        if act == "Silu":
            return self.node("Mul", (x, self.node("Sigmoid", (x,))))
        return self.node(act, (x,)) if act else x

    def pool(
        self, x: str, kernel: int, stride: int, op_type: str = "MaxPool", *, valid: bool = False, ceil: bool = False
    ) -> str:
        _, channels, *size = self.shape(x)
        sizes = tuple(
            (-(-(n - kernel) // stride) if ceil else (n - kernel) // stride) + 1 if valid else -(-n // stride)
            for n in size
        )
        return self.node(op_type, (x,), (1, channels, *sizes))

    def add(self, *xs: str) -> str:
        return self.node("Add", xs)

    def concat(self, *xs: str) -> str:
        shape = self.shape(xs[0])
        return self.node("Concat", xs, (1, sum(self.shape(x)[1] for x in xs), *shape[2:]))

    def half(self, x: str) -> str:
        _, channels, *size = self.shape(x)
        return self.node("Slice", (x,), (1, channels // 2, *size))

    def double(self, x: str) -> str:
        _, channels, *size = self.shape(x)
        return self.node("Resize", (x,), (1, channels, *(2 * n for n in size)))

    def squeeze_excite(self, x: str, channels: int, act: str = "Relu", gate: str = "HardSigmoid") -> str:
        """arXiv 1709.01507: ``x`` times a gate made of its mean."""
        y = self.node("GlobalAveragePool", (x,), (1, self.shape(x)[1], 1, 1))
        y = self.conv(self.conv(y, channels, 1, 1, act), self.shape(x)[1], 1, 1, gate)
        return self.node("Mul", (x, y))

    def linear(self, x: str, out: int, act: str = "") -> str:
        into = self.shape(x)[1]
        return self.activate(self.node("Gemm", (x,), (1, out), into * out, into * out), act)

    def classify(self, x: str, classes: int = 1001, *, softmax: bool = True) -> str:
        x = self.node("GlobalAveragePool", (x,), (1, self.shape(x)[1], 1, 1))
        x = self.linear(x, classes)
        return self.node("Softmax", (x,)) if softmax else x

    def graph(self, *outputs: str) -> ModelGraph:
        units = build_units(self.nodes, outputs)
        return ModelGraph(
            Path(f"{self.name}.onnx"), self.name, 13, tuple(self.nodes), self.tensors, units, ("input",), outputs, {}
        )

    def node(
        self, op_type: str, inputs: tuple[str, ...], shape: tuple[int, ...] = (),
        macs: int = 0, weights: int = 0, conv: Conv | None = None,
    ) -> str:  # fmt: skip
        """Any node; without a shape, that of its first input."""
        name = f"{op_type}_{len(self.nodes)}"
        self.tensors[name] = Tensor(name, shape or self.shape(inputs[0]))
        params = ("weight",) if weights else ()
        self.nodes.append(Node(name, op_type, inputs, params, (name,), {}, macs, weights, conv))
        return name
