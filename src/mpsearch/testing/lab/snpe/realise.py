"""Which type every tensor of a DLC gets: the quantizer's widths, the overrides, and SNPE's rules; ``Convert`` between.

The rules: as soon as output, weights or bias of a convolution-like operator are float, all of it is; an operator
computes in the type of its output, and what it reads in another type is converted first; a 16-bit Sigmoid has a scale
of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpsearch.candidate import DataType
from mpsearch.testing.lab.snpe.dlc import WEIGHTED, Dlc
from mpsearch.testing.lab.snpe.overrides import Override

_FLOATS = {"float": "Float"}


@dataclass(frozen=True, slots=True)
class Widths:
    """The quantizer's flags."""

    act: int = 8
    weights: int = 8
    bias: int = 8
    float: int = 32


def assign(made: Dlc, widths: Widths, overrides: Mapping[str, Override]) -> None:
    """Set the type of every tensor of a float DLC, in place; ``Convert`` operators are put in."""
    tensors = made.tensors
    for name, tensor in tensors.items():
        if not tensor["type"].startswith("Float"):
            continue
        bits = {"weight": widths.weights, "bias": widths.bias}.get(tensor.get("role", ""), widths.act)
        override = overrides.get(name)
        if override is None:
            tensor["type"] = _fixed(bits, tensor, None)
        else:
            tensor["type"] = (
                f"Float_{override.bits}" if override.kind == "float" else _fixed(override.bits, tensor, override)
            )
    for op in made.ir["ops"]:
        if op["type"] in WEIGHTED:
            mine = [*op["outputs"], *(name for name in op["inputs"] if tensors[name]["kind"] == "STATIC")]
            floats = [tensors[name]["type"] for name in mine if tensors[name]["type"].startswith("Float")]
            if floats:
                for name in mine:
                    tensors[name]["type"] = floats[0]
        else:
            for name in op["inputs"]:
                if tensors[name]["kind"] == "STATIC":  # a constant of an element-wise operator has its type
                    tensors[name]["type"] = tensors[op["outputs"][0]]["type"]
    made.ir["ops"] = _converted(made)


def _fixed(bits: int, tensor: Mapping[str, Any], override: Override | None) -> str:
    signed = tensor.get("role") == "bias" and bits == 32
    if tensor["kind"] == "STATIC" and override is not None and override.symmetric:
        signed = True
    return f"{'s' if signed else 'u'}Fxp_{bits}"


def _converted(made: Dlc) -> list[dict[str, Any]]:
    tensors, ops = made.tensors, []
    there: dict[tuple[str, str], str] = {}
    for op in made.ir["ops"]:
        wanted = tensors[op["outputs"][0]]["type"]
        inputs = []
        for name in op["inputs"]:
            tensor = tensors[name]
            if tensor["kind"] == "STATIC" or tensor["type"] == wanted:
                inputs.append(name)
                continue
            key = (name, wanted)
            if key not in there:
                label = f"{name}_converted_{wanted.lower()}"
                tensors[label] = {**tensor, "type": wanted, "kind": "NATIVE", "encoding": None}
                ops.append(
                    {
                        "name": f"{name}_convert_{len(there)}",
                        "type": "Convert",
                        "inputs": [name],
                        "outputs": [label],
                        "params": ["packageName: qti.aisw"],
                        "unit": "",
                        "onnx": "",
                    }
                )
                there[key] = label
            inputs.append(there[key])
        ops.append({**op, "inputs": inputs})
    return ops


def unit_types(made: Dlc, base: DataType) -> dict[str, DataType]:
    """Unit -> the type that its last operator computes in, as the simulator names types."""
    found: dict[str, DataType] = {}
    weights: dict[str, int] = {}
    for op in made.ir["ops"]:
        if not op["unit"]:
            continue
        unit = op["unit"]
        for name in op["inputs"]:
            tensor = made.tensors[name]
            if tensor.get("role") == "weight":
                weights[unit] = int(tensor["type"].rsplit("_", 1)[1])
        found[unit] = _named(made.tensors[op["outputs"][0]]["type"], weights.get(unit), base)
    return found


def _named(kind: str, weight_bits: int | None, base: DataType) -> DataType:
    if kind.startswith("Float"):
        return DataType.FLOAT16
    if kind.endswith("_8"):
        return DataType.A8W8
    if weight_bits is None:
        return base if base in (DataType.A16W8, DataType.A16W16) else DataType.A16W8
    return DataType.A16W16 if weight_bits == 16 else DataType.A16W8


def refused_by_htp(made: Dlc) -> dict[str, str] | None:
    """The first operator that no back end validates: ``name`` and ``type``; None where all is well.

    A convolution with 16-bit weights and 8-bit activations; 16-bit weights that are not symmetric; a 16-bit Sigmoid
    with another scale than its own; operators of 8-bit operands and float ones mixed.
    """
    tensors = made.tensors
    for op in made.ir["ops"]:
        out = tensors[op["outputs"][0]]
        for name in op["inputs"]:
            weight = tensors[name]
            if (
                weight.get("role") == "weight"
                and weight["type"].endswith("Fxp_16")
                and (out["type"].endswith("Fxp_8") or not _symmetric(weight))
            ):
                return {"name": op["name"], "type": op["type"]}
        encoding = out["encoding"]
        if (
            op["onnx"] == "Sigmoid"
            and out["type"] == "uFxp_16"
            and encoding
            and (abs(encoding["scale"] * 65536 - 1) > 1e-3 or encoding["offset"] != 0)
        ):
            return {"name": op["name"], "type": op["type"]}
    return None


def _symmetric(tensor: Mapping[str, Any]) -> bool:
    encoding = tensor["encoding"]
    return encoding is None or tensor["type"].startswith("s") or encoding["offset"] == -32768
