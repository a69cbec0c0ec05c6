"""A candidate's types as the entries of ``--quantization_overrides``. Pure.

Keys are tensors: what a unit computes, and its constants. Without ranges the quantizer calibrates them; two kinds of
entries carry ranges of their own:

* what a Sigmoid makes in 16 bits, for which HTP takes the scale 1/65536 and no other;
* weights of another width than the quantizer's flag says: symmetric, and for 16 bits with the steps -0x8000 to 0x7F7F
  that HTP asks for. The flag ``--restrict_quantization_steps`` would restrict the 8-bit weights of the same model too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph, Node, Unit
from mpsearch.toolchain.snpe.rules import WEIGHTED

Schema = Literal["0.5.0", "1.0.0"]
_STEPS = {4: 7, 8: 127, 16: 0x7F7F}
"""Positive steps of a symmetric weight."""
_WITH_OPERANDS = frozenset(
    "Conv ConvTranspose Gemm MatMul BatchNormalization PRelu Add Sub Mul Div Pow Min Max Sum".split()
)
"""Operators whose constants are tensors of the DLC; those of Resize, Clip, Pad ... become attributes."""


@dataclass(frozen=True, slots=True)
class Override:
    """One tensor's type. ``scale`` and ``offset`` stay None where the quantizer is to calibrate."""

    bits: int
    is_float: bool = False
    symmetric: bool | None = None
    scale: float | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Overrides:
    """Tensor -> its type, only where the quantizer's flags say something else."""

    activations: Mapping[str, Override]
    params: Mapping[str, Override]

    def __len__(self) -> int:
        return len(self.activations) + len(self.params)


def tensor_types(graph: ModelGraph, candidate: Candidate) -> dict[str, DataType]:
    """Every tensor that runs on the device -> its type.

    A delivered tensor has one type for its unit and for the output: the output's.
    """
    types = graph.assign(candidate)
    found = dict.fromkeys(graph.inputs, candidate.base_type)
    for unit in graph.live(candidate):
        found.update(dict.fromkeys((t for name in unit.nodes for t in graph.node[name].outputs), types[unit.name]))
    for output, tensors in graph.delivered(candidate).items():
        found.update(dict.fromkeys(tensors, types[f"output:{output}"]))
    return found


def overrides(graph: ModelGraph, candidate: Candidate, largest: Mapping[str, float], *, weight_bits: int) -> Overrides:
    """The entries that make the quantizer build ``candidate``.

    Args:
        largest: float constant -> its largest absolute value.
        weight_bits: what the quantizer's flag gives to weights without an entry.
    """
    if candidate.base_type is DataType.FLOAT16:
        return Overrides({}, {})
    tensors = tensor_types(graph, candidate)
    needed = {node.name for node in graph.nodes_behind(_delivered(graph, candidate))}
    activations: dict[str, Override] = {}
    params: dict[str, Override] = {}
    for unit in graph.live(candidate):
        for node in (graph.node[name] for name in unit.nodes if name in needed):
            for tensor in node.outputs:
                if (entry := _activation(node, tensors[tensor], candidate.base_type)) is not None:
                    activations[tensor] = entry
            params.update(_params(unit, node, tensors[node.outputs[0]], candidate, largest, weight_bits))
    return Overrides(activations, params)


def _delivered(graph: ModelGraph, candidate: Candidate) -> list[str]:
    return [tensor for several in graph.delivered(candidate).values() for tensor in several]


def _activation(node: Node, kind: DataType, base: DataType) -> Override | None:
    if kind is DataType.FLOAT16:
        return Override(16, is_float=True)
    if kind.bits == base.bits:
        return None
    if kind.bits == 16 and node.op_type == "Sigmoid":
        return Override(16, scale=1 / 65536, offset=0)
    return Override(kind.bits)


def _params(
    unit: Unit,
    node: Node,
    kind: DataType,
    candidate: Candidate,
    largest: Mapping[str, float],
    weight_bits: int,
) -> dict[str, Override]:
    """Of a convolution: the weight's width. Elsewhere a constant is an operand and has the operator's own width."""
    numbers = [name for name in node.params if name in largest] if node.op_type in _WITH_OPERANDS else []
    if kind is DataType.FLOAT16:
        return {name: Override(16, is_float=True) for name in numbers}
    if node.name == unit.name and unit.kind in WEIGHTED:
        wanted = weights_of(kind, candidate)
        return {name: _weight(wanted, largest[name]) for name in numbers[:1] if wanted != weight_bits}
    if kind.bits == candidate.base_type.bits or unit.kind in WEIGHTED:
        return {}
    return {name: Override(kind.bits) for name in numbers}


def weights_of(kind: DataType, candidate: Candidate) -> int:
    """Bits of a weight: the 8 in ``a8w8`` and ``a16w8`` is the option ``weight_bits``."""
    return 16 if kind is DataType.A16W16 else int(candidate.option("weight_bits"))


def _weight(bits: int, largest: float) -> Override:
    scale = (largest or 1.0) / _STEPS[bits]
    return Override(bits, symmetric=True, scale=scale, offset=-(2 ** (bits - 1)))


def to_json(entries: Overrides, schema: Schema = "0.5.0") -> str:
    """The file's text.

    Form 0.x wants ``is_symmetric`` as a string and takes a missing dtype for int, form 1.0.0 wants a truth value and
    takes a missing dtype for float: so the type always stands there.
    """
    data: dict[str, Any]
    if schema == "0.5.0":
        data = {
            "activation_encodings": {name: [_keyed(e)] for name, e in sorted(entries.activations.items())},
            "param_encodings": {name: [_keyed(e)] for name, e in sorted(entries.params.items())},
        }
    else:
        data = {
            "activation_encodings": [_listed(name, e) for name, e in sorted(entries.activations.items())],
            "param_encodings": [_listed(name, e) for name, e in sorted(entries.params.items())],
        }
    return json.dumps({"version": schema, **data}, indent=2) + "\n"


def _keyed(entry: Override) -> dict[str, Any]:
    data: dict[str, Any] = {"bitwidth": entry.bits, "dtype": "float" if entry.is_float else "int"}
    if entry.symmetric is not None:
        data["is_symmetric"] = str(entry.symmetric)
    if entry.scale is not None and entry.offset is not None:
        data |= {
            "min": entry.scale * entry.offset,
            "max": entry.scale * (entry.offset + 2**entry.bits - 1),
            "scale": entry.scale,
            "offset": entry.offset,
        }
    return data


def _listed(name: str, entry: Override) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": name,
        "enc_type": "PER_TENSOR",
        "dtype": "FLOAT" if entry.is_float else "INT",
        "bw": entry.bits,
    }
    if not entry.is_float:
        data["is_sym"] = bool(entry.symmetric)
    if entry.scale is not None and entry.offset is not None:
        data |= {"scale": [entry.scale], "offset": [entry.offset]}
    return data
