"""Small real ONNX models, made on the fly: for tests here and of plug-ins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Grows a model node by node; every method returns the name of the tensor it made.

    Args:
        seed: of the random weights.
    """

    def __init__(self, *, seed: int = 0, opset: int = 13) -> None:
        self._rng = np.random.default_rng(seed)
        self._opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, value: np.ndarray, name: str = "") -> str:
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op_type: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: object) -> str:
        """Append a node; with several outputs, the first one's name is returned and the others end in ``_1``, ..."""
        base = f"t{self._count}"
        made = [base if i == 0 else f"{base}_{i}" for i in range(outputs)]
        label = f"{op_type}_{self._count}" if name is None else name
        self.nodes.append(helper.make_node(op_type, list(inputs), made, name=label, **attributes))
        self._count += 1
        return made[0]

    def conv(
        self,
        x: str,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        group: int = 1,
        name: str | None = None,
    ) -> str:
        """A convolution with bias, He-initialised, same padding."""
        fan_in = inputs // group * kernel * kernel
        weight = self._rng.normal(0, (2 / fan_in) ** 0.5, (outputs, inputs // group, kernel, kernel))
        w = self.constant(weight.astype(np.float32))
        b = self.constant(self._rng.normal(0, 0.1, outputs).astype(np.float32))
        pads = [kernel // 2] * 4
        return self.node(
            "Conv", x, w, b, name=name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=group
        )

    def silu(self, x: str) -> str:
        return self.node("Mul", x, self.node("Sigmoid", x))

    def model(
        self, outputs: Sequence[str], *, shape: Sequence[int | str] = (1, 3, 32, 32), name: str = "input"
    ) -> onnx.ModelProto:
        """The checked model; output shapes are inferred."""
        source = helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
        ends = [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None) for tensor in outputs]
        graph = helper.make_graph(self.nodes, "small", [source], ends, self.constants)
        opset = [helper.make_opsetid("", self._opset)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def small_detector(*, seed: int = 0, size: int = 32) -> onnx.ModelProto:
    """A few convolutions of every kind that matters: SiLU, ReLU, depthwise, Add, Concat, MaxPool, Resize, two heads.

    Head ``near`` ends in Reshape and Transpose, so that there is something to cut.
    """
    b = Builder(seed=seed)
    stem = b.silu(b.conv("input", 3, 8, stride=2))
    left = b.node("Relu", b.conv(stem, 8, 8))
    right = b.node("Relu", b.conv(stem, 8, 8, group=8))
    joined = b.node("Add", left, right)
    pooled = b.node("MaxPool", joined, kernel_shape=[2, 2], strides=[2, 2])
    deep = b.silu(b.conv(pooled, 8, 16, kernel=1))
    scales = b.constant(np.array([1, 1, 2, 2], np.float32))
    up = b.node("Resize", deep, "", scales, mode="nearest")
    neck = b.node("Concat", up, joined, axis=1)
    near = b.conv(neck, 24, 6, kernel=1)
    shape = b.constant(np.array([1, 2, 3, size // 2, size // 2], np.int64))
    near = b.node("Transpose", b.node("Reshape", near, shape), perm=[0, 1, 3, 4, 2])
    far = b.node("Sigmoid", b.conv(deep, 16, 4, kernel=1))
    return b.model([near, far], shape=(1, 3, size, size))


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write ``model`` and return ``path``."""
    onnx.save(model, str(path))
    return path
