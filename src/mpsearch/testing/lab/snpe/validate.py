"""What HTP v73 validates when a quantized DLC is loaded. Standard library only.

By Qualcomm's table of operators (QAIRT 2.25) and its notes on 16-bit weights: "16bit Weight must have 16bit Activation
and must be symmetric quantized", in steps from -0x8000 to 0x7F7F and not per channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mpsearch.testing.lab.snpe.dlc import WEIGHTED, Dlc

_LAST_16 = 0x7F7F
_HALF_WEIGHTS = frozenset(("Conv2d", "FullyConnected", "MatMul"))
"""They take signed 8-bit weights beside float16 activations."""
Tensor = Mapping[str, Any]


def refused_by_htp(made: Dlc) -> dict[str, str] | None:
    """The first operator that no back end validates: ``name`` and ``type``; None where all is well."""
    for op in made.ir["ops"]:
        if op["type"] != "Convert" and any(_wrong(op, made.tensors)):
            return {"name": op["name"], "type": op["type"]}
    return None


def _wrong(op: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[bool]:
    """One after the other: is it against this rule?"""
    out = tensors[op["outputs"][0]]
    inputs = [tensors[name] for name in op["inputs"]]
    yield any(tensor["type"] == "Float_32" for tensor in (out, *inputs))
    for tensor in inputs:
        role = tensor.get("role", "") if op["type"] in WEIGHTED else ""
        if role == "weight":
            yield not _weight(tensor, out, op["type"])
        elif role == "bias":
            yield not _bias(tensor, out)
        else:  # operands share their type and width with the result
            yield _width(tensor) != _width(out)
    encoding = out["encoding"]
    if op["onnx"] == "Sigmoid" and out["type"] == "uFxp_16" and encoding:
        yield abs(encoding["scale"] * 65536 - 1) > 1e-3 or encoding["offset"] != 0


def _weight(weight: Tensor, out: Tensor, op: str) -> bool:
    if _is_float(weight):
        return _is_float(out)
    if _is_float(out):
        return op in _HALF_WEIGHTS and weight["type"] == "sFxp_8"
    encoding = weight["encoding"]
    channels = encoding["channels"] if encoding else 1
    if channels > 1 and not (weight["type"].startswith("s") and encoding["offset"] == 0):
        return False
    if _width(weight) != "16":
        return True
    symmetric = bool(encoding) and (weight["type"].startswith("s") or encoding["offset"] == -32768)
    within = bool(encoding) and encoding.get("top", 0) <= _LAST_16
    return _width(out) == "16" and symmetric and within and channels == 1


def _bias(bias: Tensor, out: Tensor) -> bool:
    if _is_float(bias) or _is_float(out):
        return _is_float(bias) and _is_float(out)
    return bias["type"] in ("uFxp_8", "sFxp_32")


def _is_float(tensor: Tensor) -> bool:
    return bool(tensor["type"].startswith("Float"))


def _width(tensor: Tensor) -> str:
    """``8``, ``16``, ``32`` or ``float``."""
    return "float" if _is_float(tensor) else str(tensor["type"].rsplit("_", 1)[1])
