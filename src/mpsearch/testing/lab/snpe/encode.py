"""Encodings of a quantized DLC of the lab, from the simulator's quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from mpsearch.candidate import DataType
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph
from mpsearch.quant.plan import Plan, maker_of
from mpsearch.quant.qparams import QParams
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.lab.snpe.dlc import Dlc
from mpsearch.testing.lab.snpe.overrides import Override
from mpsearch.testing.lab.snpe.realise import Flags

_RESTRICTED = 0x7F7F
"""The last step of 16-bit weights under ``--restrict_quantization_steps``."""


def everything(
    made: Dlc, graph: ModelGraph, simulator: Simulator, laid: Plan, overrides: Mapping[str, Override], flags: Flags
) -> None:
    """Fill in ``encoding`` of every fixed-point tensor, in place."""
    planned: dict[str, QParams | None] = {graph.inputs[0]: laid.input}
    for step in laid.steps:
        planned.update(dict(step.inner))
        planned.update(dict(step.targets))
    planned.update(dict(laid.delivered))
    constants = {t.name: numpy_helper.to_array(t) for t in onnxio.load(graph.path).graph.initializer}
    for name, tensor in made.tensors.items():
        if "Fxp_" not in tensor["type"]:
            continue
        bits = tensor["bits"]
        source = tensor["onnx"]
        if tensor["kind"] == "STATIC":
            values = constants.get(source, np.zeros(1, np.float32))
            tensor["encoding"] = _constant(values, tensor, _RESTRICTED if flags.restricted else 0)
        else:
            params = planned.get(source) if name == source else None
            if params is None or params.levels != 1 << bits:
                kind = DataType.A8W8 if bits == 8 else DataType.A16W8
                low, high = simulator.statistics.minmax(source)
                params = laid.arithmetic.activation(kind, low, high, name=source, maker=maker_of(graph, source))
            assert params is not None  # integers have a quantizer
            tensor["encoding"] = encoding(params.scale, -params.code_zero, bits)
    given(made, overrides)
    for tensor in made.tensors.values():
        if tensor.get("role") == "weight" and tensor["type"].endswith("Fxp_16"):
            largest = float(constants.get(tensor["onnx"], np.zeros(1)).max(initial=0.0))
            tensor["encoding"]["top"] = round(largest / tensor["encoding"]["scale"])


def given(made: Dlc, overrides: Mapping[str, Override]) -> None:
    """Encodings that an override holds itself."""
    for name, override in overrides.items():
        tensor = made.tensors.get(name)
        if tensor is not None and override.scale and "Fxp_" in tensor["type"]:
            tensor["encoding"] = encoding(override.scale[0], override.offset[0], override.bits, len(override.scale))


def encoding(scale: float, offset: int, bits: int, channels: int = 1, *, signed: bool = False) -> dict[str, Any]:
    """``real = scale * (q + offset)``, of integers ``q`` from 0 on or, ``signed``, to both sides of it."""
    first = offset - (1 << (bits - 1)) if signed else offset
    return {
        "bits": bits, "min": scale * first, "max": scale * (first + (1 << bits) - 1), "scale": scale,
        "offset": offset, "channels": channels,
    }  # fmt: skip


def _constant(values: NDArray[Any], tensor: Mapping[str, Any], restricted: int) -> dict[str, Any]:
    """Of a weight by channel the first channel's, as the listing shows it."""
    bits, half = tensor["bits"], 1 << (tensor["bits"] - 1)
    if tensor["by_channel"]:
        rows = np.moveaxis(values, tensor["axis"], 0)
        return encoding(_largest(rows[0]) / (half - 1), 0, bits, len(rows), signed=True)
    if tensor.get("role") == "bias" and bits == 32:
        return encoding(_largest(values) / (half - 1), 0, bits, signed=True)
    if tensor["symmetric"]:
        return encoding(_largest(values) / (restricted if restricted and bits == 16 else half - 1), -half, bits)
    return _affine(values, bits)


def _largest(values: NDArray[Any]) -> float:
    return float(np.abs(values).max(initial=0.0)) or 1.0


def _affine(values: NDArray[Any], bits: int) -> dict[str, Any]:
    low, high = min(0.0, float(values.min(initial=0.0))), max(1e-4, float(values.max(initial=0.0)))
    scale = (high - low) / ((1 << bits) - 1)
    return encoding(scale, -round(-low / scale), bits)
