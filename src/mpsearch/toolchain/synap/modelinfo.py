"""``model_info.txt``: what a compiled model takes and gives. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import yaml

from mpsearch.errors import SetupError
from mpsearch.graph.model import ModelGraph

_SECTION = re.compile(r"^Detailed input/output information for subgraph_\d+:\s*$", re.MULTILINE)
_END = re.compile(r"^={20,}\s*$", re.MULTILINE)
_DELEGATE = re.compile(r"^delegate: (\w+)", re.MULTILINE)
_VERSION = re.compile(r"SyNAP toolkit (\S+)")
BYTES = {"uint8": 1, "u8": 1, "int8": 1, "i8": 1, "int16": 2, "i16": 2, "float16": 2, "f16": 2, "bfloat16": 2}
BYTES |= {"float32": 4, "f32": 4, "int32": 4, "i32": 4}
"""Type in a listing -> bytes of an element."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor at the device's border.

    Attributes:
        type: as the listing says it, e.g. ``uint8`` or ``i16``.
        scale, zero_point: ``real = (integer - zero_point) * scale``; None where the tensor is not quantized.
    """

    name: str
    shape: tuple[int, ...]
    layout: str
    type: str
    format: str = ""
    scale: float | None = None
    zero_point: int = 0

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.elements * BYTES.get(self.type, 4)

    def onnx_shape(self) -> tuple[int, ...]:
        """The shape with its channels where ONNX has them."""
        if self.layout == "nhwc" and len(self.shape) == 4:
            n, h, w, c = self.shape
            return n, c, h, w
        return self.shape


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Inputs and outputs, in the device's order.

    Attributes:
        toolkit: its version.
        delegate: ``npu``, ``gpu`` or ``cpu``; empty where the listing does not say, or the model has several parts.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    toolkit: str = ""
    delegate: str = ""


def parse(text: str, source: str = "model_info.txt") -> ModelInfo:
    """Read the listing.

    Raises:
        SetupError: it has another form.
    """
    start = _SECTION.search(text)
    if start is None:
        raise _strange(source, "no line 'Detailed input/output information for subgraph_0:'", text)
    end = _END.search(text, start.end())
    try:
        body = yaml.safe_load(text[start.end() : end.start() if end else len(text)])
        info = ModelInfo(
            tuple(_tensor(entry) for entry in body["inputs"]),
            tuple(_tensor(entry) for entry in body["outputs"]),
            version[1] if (version := _VERSION.search(text)) else "",
            delegates.pop() if len(delegates := set(_DELEGATE.findall(text))) == 1 else "",
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise _strange(source, f"{type(error).__name__}: {error}", text) from error
    if not info.inputs or not info.outputs:
        raise _strange(source, "no inputs or no outputs", text)
    return info


def _strange(source: str, why: str, text: str) -> SetupError:
    return SetupError(
        f"{source}: not as SyNAP toolkit 3.2.0 writes it ({why}, {len(text.splitlines())} lines)",
        hint="Please report the file with the toolkit's version.",
    )


def _tensor(entry: Mapping[str, Any]) -> TensorInfo:
    quantization = entry.get("quantization") or {}
    scale = quantization.get("scale")
    if scale is None and (fl := quantization.get("fractional_length")) is not None:
        scale = 2.0 ** -int(fl)
    return TensorInfo(
        str(entry["name"]),
        tuple(int(size) for size in entry["shape"]),
        str(entry.get("layout") or ""),
        str(entry["type"]),
        str(entry.get("format") or ""),
        None if scale is None else float(scale),
        int(quantization.get("zero_point") or 0),
    )


def misdelivered(info: ModelInfo, graph: ModelGraph, tensors: Sequence[str]) -> tuple[str, ...]:
    """How the built outputs differ from the tensors that were asked for, in this order; empty: not at all.

    Names carry the node's name in SyNAP's engine and the tensor's in others; one that is neither proves nothing, and
    then order and shape must do.
    """
    if len(info.outputs) != len(tensors):
        return (f"{len(info.outputs)} outputs were built, {len(tensors)} asked for",)
    meant = [_meant(out.name, graph, tensors) for out in info.outputs]
    reasons = []
    for index, (out, tensor) in enumerate(zip(info.outputs, tensors, strict=True)):
        shape = graph.tensors[tensor].shape
        if meant[index] is not None and meant[index] != tensor:
            reasons.append(f"output {index} is {meant[index]}, not {tensor}")
        elif shape not in (out.onnx_shape(), out.shape):
            reasons.append(f"output {index} ({out.name}) has shape {list(out.shape)}, {tensor} has {list(shape)}")
    return tuple(reasons)


def _meant(name: str, graph: ModelGraph, tensors: Sequence[str]) -> str | None:
    """The delivered tensor that a built output's name points to, where it is one only."""
    plain = _plain(name.removeprefix("attach_"))
    found = []
    for tensor in tensors:
        node = graph.node[graph.producer[tensor]]
        out = node.outputs.index(tensor)
        names = {_plain(f"{node.op_type}_{node.name}/out{out}"), _plain(f"{tensor}/out{out}"), _plain(f"{tensor}/out0")}
        if plain in names:
            found.append(tensor)
    return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
    """Engines rewrite ``/`` and ``:``, and some drop a leading one."""
    return re.sub(r"[/:.]", "_", name.lstrip("/"))
