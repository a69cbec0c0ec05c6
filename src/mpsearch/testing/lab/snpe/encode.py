"""Encodings of a quantized DLC of the lab, from the simulator's quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph
from mpsearch.quant.plan import Plan, maker_of
from mpsearch.quant.qparams import QParams
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.lab.snpe.dlc import Dlc
from mpsearch.testing.lab.snpe.overrides import Override

_SIGNED_WEIGHTS = 0x7F7F


def everything(
    made: Dlc,
    graph: ModelGraph,
    simulator: Simulator,
    laid: Plan,
    overrides: Mapping[str, Override],
    candidate: Candidate,
    types: Mapping[str, DataType],
) -> None:
    """Fill in ``encoding`` of every fixed-point tensor, in place."""
    planned: dict[str, QParams | None] = {graph.inputs[0]: laid.input}
    for step in laid.steps:
        planned.update(dict(step.inner))
        planned.update(dict(step.targets))
    planned.update(dict(laid.delivered))
    constants = {t.name: t for t in onnxio.load(graph.path).graph.initializer}
    for name, tensor in made.tensors.items():
        if "Fxp_" not in tensor["type"]:
            continue
        bits = int(tensor["type"].rsplit("_", 1)[1])
        source = tensor["onnx"]
        if tensor["kind"] == "STATIC":
            tensor["encoding"] = _constant(constants, source, tensor, bits, candidate)
        else:
            params = planned.get(source) if name == source else None
            if params is None or params.levels != 1 << bits:
                kind = DataType.A8W8 if bits == 8 else DataType.A16W8
                low, high = simulator.statistics.minmax(source)
                params = laid.arithmetic.activation(kind, low, high, name=source, maker=maker_of(graph, source))
            assert params is not None  # integers have a quantizer
            tensor["encoding"] = encoding(params.scale, -params.code_zero, bits)
    given(made, overrides)


def given(made: Dlc, overrides: Mapping[str, Override]) -> None:
    """Encodings that an override holds itself."""
    for name, override in overrides.items():
        tensor = made.tensors.get(name)
        if tensor is not None and override.scale and "Fxp_" in tensor["type"]:
            tensor["encoding"] = encoding(override.scale[0], override.offset[0], override.bits, len(override.scale))


def encoding(scale: float, offset: int, bits: int, channels: int = 1) -> dict[str, Any]:
    """``real = scale * (q + offset)``."""
    return {
        "bits": bits, "min": scale * offset, "max": scale * (offset + (1 << bits) - 1), "scale": scale,
        "offset": offset, "channels": channels,
    }  # fmt: skip


def _constant(
    constants: Mapping[str, Any], name: str, tensor: dict[str, Any], bits: int, candidate: Candidate
) -> dict[str, Any]:
    values = numpy_helper.to_array(constants[name]) if name in constants else np.zeros(1, np.float32)
    largest = float(np.abs(values).max(initial=0.0)) or 1.0
    if tensor["type"].startswith("s") and tensor.get("role") == "bias":
        return encoding(largest / (2 ** (bits - 1) - 1), 0, bits)
    if tensor.get("role") == "weight" and candidate.option("weights") == "per_channel" and bits <= 8:
        return {**encoding(largest / (2 ** (bits - 1) - 1), -(2 ** (bits - 1)), bits, tensor["dims"][-1])}
    if bits == 16 and tensor.get("role") == "weight":
        return encoding(largest / _SIGNED_WEIGHTS, -(1 << 15), bits)
    return _affine(values, bits)


def _affine(values: NDArray[Any], bits: int) -> dict[str, Any]:
    low, high = min(0.0, float(values.min(initial=0.0))), max(1e-4, float(values.max(initial=0.0)))
    scale = (high - low) / ((1 << bits) - 1)
    return encoding(scale, -round(-low / scale), bits)
