"""Where the outputs of a quantized model's layers come from: the simulator, an ONNX file, a folder of dumps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from mpsearch.candidate import Candidate
from mpsearch.errors import ModelError
from mpsearch.graph import onnxio
from mpsearch.layers.names import normalise
from mpsearch.quant.simulator import Simulator

FloatArray = NDArray[np.float32]
Layout = Literal["auto", "nchw", "nhwc"]


@dataclass(frozen=True, slots=True)
class Found:
    """One layer's output.

    Attributes:
        values: float32; flat where the source says no shape, None where it could not be read.
        shaped: whether ``values`` has the shape that the source gave it.
        problem: why there are no values.
    """

    values: FloatArray | None
    shaped: bool = True
    problem: str = ""


class Source(Protocol):
    """A quantized model whose inner outputs can be had."""

    @property
    def name(self) -> str:
        """For people and files."""

    @property
    def layout(self) -> Layout:
        """Of four-dimensional outputs; ``auto`` where it must be found out."""

    def run(self, index: int, image: FloatArray) -> Mapping[str, Found]:
        """The source's name of each layer -> its output for photograph ``index``, which is ``image`` ``[C, H, W]``."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What the simulator computes for a candidate; layers inside a unit exist there only as part of it."""

    simulator: Simulator
    candidate: Candidate
    layout: Layout = "nchw"

    @property
    def name(self) -> str:
        return "simulator"

    def run(self, index: int, image: FloatArray) -> Mapping[str, Found]:
        """See :meth:`Source.run`."""
        return {name: Found(values) for name, values in self.simulator.inner(self.candidate, image[None]).items()}


class QuantizedModel:
    """An ONNX file with QuantizeLinear and DequantizeLinear nodes, run by onnxruntime with every layer as an output.

    An output between two layers keeps them from becoming one integer kernel, so these are the numbers of the model
    as it is written, in float arithmetic; the kernels' own rounding is not in them.

    Args:
        known: the float model's tensors, to tell layers from what the quantizer put between them.
        name: default: the file's.

    Raises:
        ModelError: unreadable, or refused by onnxruntime.
    """

    layout: Layout = "nchw"

    def __init__(self, path: Path, known: Iterable[str], *, name: str = "") -> None:
        self.name = name or path.name
        model = onnx.shape_inference.infer_shapes(onnxio.load(path))
        self._tensors = tuple(_activations(model, frozenset(known)))
        outputs = {value.name for value in model.graph.output}
        model.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in self._tensors
            if name not in outputs
        )
        self._session = onnxio.session(model)

    def run(self, index: int, image: FloatArray) -> Mapping[str, Found]:
        """See :meth:`Source.run`.

        Raises:
            ModelError: the model does not take the image.
        """
        (source,) = [value.name for value in self._session.get_inputs()][:1]
        try:
            made: list[Any] = self._session.run(self._tensors, {source: image[None]})
        except Exception as error:  # onnxruntime raises pybind exceptions of many kinds
            raise ModelError(f"{self.name}: onnxruntime cannot run it on the photographs: {error}") from error
        return {name: Found(values) for name, values in zip(self._tensors, made, strict=True)}


def _activations(model: onnx.ModelProto, known: frozenset[str]) -> list[str]:
    """Float tensors that depend on the input, each layer once: as it is read, quantized and back."""
    constant = {tensor.name for tensor in model.graph.initializer} | {""}
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.value_info, *model.graph.output, *model.graph.input)
    }
    maker: dict[str, onnx.NodeProto] = {}
    names: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type == "Constant" or all(name in constant for name in node.input):
            constant.update(node.output)
            continue
        maker.update(dict.fromkeys(node.output, node))
        for name in node.output:
            # onnx infers no types behind quantizers of onnxruntime's own domain.
            is_float = node.op_type == "DequantizeLinear" or name in known
            if kinds[name] == onnx.TensorProto.FLOAT if name in kinds else is_float:
                names[name] = None
    for name in list(names):
        back = maker[name]
        quantizer = maker.get(back.input[0]) if back.op_type == "DequantizeLinear" else None
        if quantizer is None or quantizer.op_type != "QuantizeLinear":
            continue
        before = quantizer.input[0]
        if name in known or normalise(name) == normalise(before):
            names.pop(before, None)
        else:
            names.pop(name)  # a conversion for one reader only
    return list(names)
