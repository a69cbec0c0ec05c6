"""Which type every tensor of a DLC gets: the quantizer's flags, the overrides, and SNPE's rules; ``Convert`` between.

The rules: as soon as output, weights or bias of a convolution-like operator are float, all of it is; an operator
computes in the type of its output, and what it reads in another type is converted first. Weights of 4 bits lie in
8-bit numbers: only their encoding says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpsearch.candidate import DataType
from mpsearch.testing.lab.snpe.dlc import WEIGHTED, Dlc
from mpsearch.testing.lab.snpe.overrides import Override

_BY_CHANNEL = {"Conv": "channel", "ConvTranspose": "channel", "Gemm": "channel or row", "MatMul": "row"}


@dataclass(frozen=True, slots=True)
class Flags:
    """The quantizer's.

    Attributes:
        symmetric: parameters.
        restricted: weights of 16 bits keep to -0x8000 to 0x7F7F, where they are symmetric.
    """

    act: int = 8
    weights: int = 8
    bias: int = 8
    per_channel: bool = False
    per_row: bool = False
    symmetric: bool = False
    restricted: bool = False


def assign(made: Dlc, flags: Flags, overrides: Mapping[str, Override]) -> None:
    """Set the type of every tensor of a float DLC, in place; ``Convert`` operators are put in."""
    tensors = made.tensors
    for name, tensor in tensors.items():
        if not tensor["type"].startswith("Float"):
            continue
        override = overrides.get(name)
        if override is not None and override.kind == "float":
            tensor["type"] = f"Float_{override.bits}"
            continue
        bits = {"weight": flags.weights, "bias": flags.bias}.get(tensor.get("role", ""), flags.act)
        tensor["bits"] = bits if override is None else override.bits
        if tensor["kind"] == "STATIC":
            tensor["by_channel"] = _by_channel(tensor, flags, override)
            tensor["symmetric"] = flags.symmetric and bool(tensor["role"])
            if override is not None and override.symmetric is not None:
                tensor["symmetric"] = override.symmetric
        tensor["type"] = _fixed(tensor, override)
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
                    out = tensors[op["outputs"][0]]
                    tensors[name] |= {"type": out["type"], "bits": out.get("bits", 0)}
    made.ir["ops"] = _converted(made)


def _by_channel(tensor: Mapping[str, Any], flags: Flags, override: Override | None) -> bool:
    """Whether a weight has a scale for each output channel; with a range of its own it has that one."""
    if tensor.get("role") != "weight" or (override is not None and override.scale):
        return False
    wanted = _BY_CHANNEL.get(tensor["reader"], "")
    return (flags.per_channel and "channel" in wanted) or (flags.per_row and "row" in wanted)


def _fixed(tensor: Mapping[str, Any], override: Override | None) -> str:
    signed = tensor.get("role") == "bias" and tensor["bits"] == 32
    if tensor["kind"] == "STATIC":
        signed |= tensor["by_channel"] or (override is not None and bool(override.symmetric))
    return f"{'s' if signed else 'u'}Fxp_{max(8, tensor['bits'])}"


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
                tensors[label]["bits"] = int(wanted.rsplit("_", 1)[1])
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
