"""Models that are quantized already, as the stand-ins take them: only what goes in and out is read.

TensorFlow Lite files are flatbuffers (``schema.fbs``, identifier ``TFL3``); of ONNX, files with QDQ or QLinear nodes.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from mpsearch.testing.lab import listing

_TFLITE_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 7: "i16", 9: "i8"}
_ONNX_TYPES = {1: "float16", 2: "uint8", 3: "i8", 5: "i16", 6: "int32"}
"""Floats of an ONNX file become float16 on the NPU."""
_SLOW = {"float16": 100.0, "float32": 100.0}
BYTES_A_MS = 2_000_000
"""A time to show: the lab has no cost model for a file that it cannot look into."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Attributes:
    inputs, outputs: name, shape, layout, format and type, as ``model_info.txt`` says them.
    latency_ms: by the file's size alone.
    """

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    latency_ms: float


def describe(path: Path) -> Opaque | None:
    """None for a float ONNX file, which the stand-in reads as a whole."""
    data = path.read_bytes()
    if data[4:8] == b"TFL3":
        inputs, outputs = _tflite(data)
    elif path.suffix == ".onnx":
        model = onnx.load(str(path))
        if not any(node.op_type in ("QuantizeLinear", "QLinearConv") for node in model.graph.node):
            return None
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [_onnx(value) for value in model.graph.input if value.name not in constants]
        outputs = [_onnx(value) for value in model.graph.output]
    else:
        return None
    slow = _SLOW.get(inputs[0]["type"], 1.0) if path.suffix == ".tflite" else 1.0
    return Opaque(inputs, outputs, slow * (0.5 + len(data) / BYTES_A_MS))


def write(opaque: Opaque, target: str, out: Path) -> None:
    """``model_info.txt`` and ``model.synap``; nothing was quantized, so there is no table."""
    (out / "model_info.txt").write_text(listing.model_info(opaque.inputs, opaque.outputs))
    with zipfile.ZipFile(out / "model.synap", "w") as file:
        file.writestr("bundle.json", json.dumps({"graph": [{"model": "0/model.nb", "meta": "0/model.json"}]}))
        file.writestr("0/model.nb", json.dumps({"opaque": asdict(opaque), "target": target}) + "\n")
        file.writestr("0/model.json", json.dumps({"inputs": opaque.inputs, "outputs": opaque.outputs}))


def _entry(name: str, shape: Sequence[int], kind: str, layout: str) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "layout": layout, "format": "", "type": kind}


def _onnx(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    shape = [dim.dim_value for dim in tensor.shape.dim]
    # A QDQ model takes floats and quantizes them first; the toolkit moves that to the host.
    return _entry(value.name, shape, "uint8" if tensor.elem_type == 1 else _ONNX_TYPES[tensor.elem_type], "nchw")


def _tflite(data: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    (graph, *_) = _tables(data, _field(data, _follow(data, 0), 2))
    tensors = _tables(data, _field(data, graph, 0))

    def listed(index: int) -> list[dict[str, Any]]:
        return [_tensor(data, tensors[number]) for number in _numbers(data, _field(data, graph, index))]

    return listed(1), listed(2)


def _tensor(data: bytes, table: int) -> dict[str, Any]:
    kind = _field(data, table, 1)
    name = _field(data, table, 3)
    start = _follow(data, name) if name else 0
    text = data[start + 4 : start + 4 + _int(data, start)].decode() if name else ""
    shape = _numbers(data, _field(data, table, 0))
    return _entry(text, shape, _TFLITE_TYPES[data[kind] if kind else 0], "nhwc")


def _int(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<i", data, at)[0])


def _follow(data: bytes, at: int) -> int:
    return at + _int(data, at)


def _field(data: bytes, table: int, index: int) -> int:
    """Where a table's field is; 0: it has none."""
    layout = table - _int(data, table)
    (size,) = struct.unpack_from("<H", data, layout)
    if 4 + 2 * index >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, layout + 4 + 2 * index)
    return table + offset if offset else 0


def _numbers(data: bytes, field: int) -> list[int]:
    if not field:
        return []
    start = _follow(data, field)
    return list(struct.unpack_from(f"<{_int(data, start)}i", data, start + 4))


def _tables(data: bytes, field: int) -> list[int]:
    start = _follow(data, field)
    return [_follow(data, start + 4 + 4 * index) for index in range(_int(data, start))]
