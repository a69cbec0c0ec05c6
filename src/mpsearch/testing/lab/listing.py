"""The files that the toolkit leaves beside the model: forms of SyNAP toolkit 3.2.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from mpsearch.quant.qparams import QParams
from mpsearch.testing.lab.engine import EngineLayer

VERSION = "3.2.0"
_LINE = "=" * 100
_SHORT = {"uint8": "u8", "int8": "i8", "int16": "i16"}


def quantized_as(params: QParams) -> dict[str, Any]:
    """One tensor in the quantize table."""
    entry: dict[str, Any] = {
        "qtype": _SHORT[params.type],
        "quantizer": str(params.scheme),
        "rounding": "rtne",
        "max_value": params.high,
        "min_value": params.low,
    }
    return entry | (
        {"fl": params.fl} if params.fl is not None else {"scale": params.scale, "zero_point": params.zero_point}
    )


def quantization_info(
    made: Sequence[EngineLayer],
    outputs: Mapping[str, QParams | None],
    weights: Mapping[str, Mapping[str, Any]],
    moved: Mapping[str, str],
) -> str:
    """``quantization_info.yaml``; last layers first, then weights.

    Args:
        outputs, weights: by layer id; None: left in float.
        moved: id -> type that is not the base.
    """
    table: dict[str, Any] = {}
    for layer in reversed(made):
        if (params := outputs[layer.lid]) is not None:
            table[f"@{layer.lid}:out0"] = quantized_as(params)
    for layer in reversed(made):
        for part, entry in weights.get(layer.lid, {}).items():
            table[f"@{layer.lid}:{part}"] = entry
    words = {"int16": "dynamic_fixed_point-i16", "float16": "float32"}
    body = {
        "version": 2,
        "quantize_parameters": table,
        "customized_quantize_layers": {lid: words.get(kind, kind) for lid, kind in moved.items()},
    }
    return _head() + yaml.safe_dump(body, sort_keys=False)


def weight_entry(array: np.ndarray[Any, Any], kind: str, per_channel: bool) -> dict[str, Any]:
    """``:weight`` in the quantize table; only its types are exact."""
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    entry: dict[str, Any] = {"qtype": _SHORT[kind], "rounding": "rtne", "max_value": high, "min_value": low}
    return entry | {"quantizer": "perchannel_symmetric_affine" if per_channel else "asymmetric_affine"}


def entropy(rows: Mapping[str, float]) -> str:
    """``quantization_entropy.txt``, ascending."""
    lines = [f"@{name}, {value!r}" for name, value in sorted(rows.items(), key=lambda row: row[1])]
    return _head() + "".join(f"{line}\n" for line in lines)


def model_info(inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]], delegate: str = "npu") -> str:
    """``model_info.txt``, with the short dump that the toolkit ends it with when it cannot read its own binary."""
    body = f"secure: false\ndelegate: {delegate}\ninputs:\n" + "".join(map(_tensor, inputs))
    body += "outputs:\n" + "".join(map(_tensor, outputs))
    return (
        f"Model converted with SyNAP toolkit {VERSION}\n\ndelegate: {delegate}\nsubgraphs: 1\n\n\n{_LINE}\n"
        f"Detailed input/output information for subgraph_0:\n\n{body}\n\n{_LINE}\n"
        "Detailed graph information for subgraph_0:\n\nVerisilicon NBInfo version 1.2.13, version=0x0001020d\n"
        "fail to read NBG header\nfailed to initialize nbg parser\n"
    )


def _tensor(entry: Mapping[str, Any]) -> str:
    lines = []
    for key, value in entry.items():
        if isinstance(value, dict):
            text = "{" + ", ".join(f"{k}: {v}" for k, v in value.items()) + "}"
        elif isinstance(value, list | tuple):
            text = f"[{', '.join(map(str, value))}]"
        elif key == "format":
            text = value or "''"
            if len(text) > 40:  # long values are folded at a space
                text = text.replace(" anchors", "\n        anchors")
        else:
            text = str(value)
        lines.append(f"{key}: {text}")
    return "  - " + "\n    ".join(lines) + "\n"


def _head() -> str:
    return f"Model converted with SyNAP toolkit {VERSION}\n{_LINE}\nDetailed graph information for subgraph_0:\n"
