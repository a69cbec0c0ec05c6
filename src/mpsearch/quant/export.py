"""A candidate's encodings in the words of SNPE's 0.x override files: what its tools print and read."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpsearch.candidate import Candidate, Scheme
from mpsearch.errors import ConfigError
from mpsearch.quant.qparams import Linear, QParams, QWeights
from mpsearch.quant.simulator import Simulator
from mpsearch.quant.snpe import Snpe

Encoding = dict[str, Any]
VERSION = "0.5.0"
_FLOAT: Encoding = {"bitwidth": 16, "dtype": "float"}


def encodings(simulator: Simulator, candidate: Candidate) -> dict[str, Any]:
    """``{"version": ..., "activation_encodings": {tensor: [encoding]}, "param_encodings": {initializer: [encoding,
    one a channel where per-channel]}, "output_encodings": {tensor: [encoding]}}``.

    An encoding is ``{"bitwidth", "dtype": "int", "min", "max", "scale", "offset", "is_symmetric": "True"|"False"}``
    with real = scale * (q + offset), or ``{"bitwidth": 16, "dtype": "float"}``. ``activation_encodings`` has the
    network's input and every tensor as the operator stores it that makes it; ``output_encodings`` what the network
    delivers, another encoding where a Convert stands before the output. A bias that the model has not (a
    BatchNormalization was folded) is called ``<node>.bias``.

    Raises:
        ConfigError: the candidate is not SNPE's.
        CandidateError: options that exclude each other.
        DataError: calibration photographs that are missing or not finite.
    """
    if candidate.scheme is not Scheme.ENCODINGS:
        raise ConfigError(f"base {candidate.base} has no encodings", hint="Take a8w8, a16w8 or a16w16.")
    graph = simulator.graph
    laid = simulator.plan(candidate, graph.assign(candidate))
    arithmetic = Snpe.of(candidate)
    activations = {graph.inputs[0]: [_activation(laid.input)]}
    parameters: dict[str, list[Encoding]] = {}
    for step in laid.steps:
        found = [*step.inner, *step.targets]
        activations.update({tensor: [_activation(params)] for tensor, params in found})
        node, source = simulator.linear(candidate, step.unit), step.sources[0][1] if step.sources else None
        if node is None or source is None:
            continue
        weight, bias = _names(graph.node[node.name].params, node)
        weights = arithmetic.weights(node, step.type)
        parameters[weight] = [_FLOAT] if weights is None else _weights(weights, arithmetic.weight_bits)
        if node.bias is not None:
            parameters[bias] = [_FLOAT] if weights is None else _bias(arithmetic, node, source, weights)
    delivered = {tensor: [_activation(params)] for tensor, params in laid.delivered}
    return {
        "version": VERSION,
        "activation_encodings": activations,
        "param_encodings": parameters,
        "output_encodings": delivered,
    }


def _activation(params: QParams | None) -> Encoding:
    if params is None or params.is_float:
        return dict(_FLOAT)
    return _encoding(params)


def _encoding(params: QParams) -> Encoding:
    bits = (params.levels - 1).bit_length()
    return _entry(bits, params.scale, params.qmin - params.zero_point, params.levels - 1, params.qmin < 0)


def _weights(weights: QWeights, bits: int) -> list[Encoding]:
    if weights.params is not None:
        return [_encoding(weights.params)]
    return [_entry(bits, float(scale), -(1 << (bits - 1)), (1 << bits) - 1, True) for scale in weights.scale]


def _bias(arithmetic: Snpe, node: Linear, source: QParams, weights: QWeights) -> list[Encoding]:
    assert node.bias is not None
    if arithmetic.bias_bits == 8:
        return [_encoding(arithmetic.bias_params(node.bias))]
    scales = np.float64(source.scale) * weights.scale.astype(np.float64)
    return [_entry(32, float(scale), -(1 << 31), (1 << 32) - 1, True) for scale in scales]


def _entry(bits: int, scale: float, offset: int, steps: int, symmetric: bool) -> Encoding:
    return {
        "bitwidth": bits,
        "dtype": "int",
        "min": scale * offset,
        "max": scale * (offset + steps),
        "scale": scale,
        "offset": offset,
        "is_symmetric": str(symmetric),
    }


def _names(params: tuple[str, ...], node: Linear) -> tuple[str, str]:
    return params[0], params[1] if len(params) > 1 else f"{node.name}.bias"
