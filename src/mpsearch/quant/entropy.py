"""The engine's ``quantization_entropy.txt``: how unevenly a tensor's magnitude is spread over its values.

What Acuity calls entropy is the Gini coefficient of the absolute values: 0 when all are equally large, 1 when a single
one carries everything; the higher, the worse a uniform grid fits. So it depends on neither scheme nor type. Measured
against acuitylite 6.33.0: the weights of up to 1152 values agree to 1e-7, larger tensors to about 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.quant.statistics import Histograms


def gini(values: NDArray[Any]) -> float:
    """Gini coefficient of ``|values|``; 0 for an all-zero tensor."""
    return weighted_gini(np.abs(values.reshape(-1)).astype(np.float64), np.ones(values.size))


def weighted_gini(magnitudes: NDArray[np.float64], weights: NDArray[Any]) -> float:
    """1 - twice the area under the Lorenz curve of ``magnitudes`` (>= 0) that occur ``weights`` times each."""
    order = np.argsort(magnitudes, kind="stable")
    share = weights[order].astype(np.float64)
    mass = np.cumsum(magnitudes[order] * share)
    if len(mass) == 0 or mass[-1] <= 0:
        return 0.0
    curve = mass / mass[-1]
    before = np.concatenate([[0.0], curve[:-1]])
    return float(1.0 - (share / share.sum() * (curve + before)).sum())


def activations(found: Histograms) -> dict[str, float]:
    """Tensor -> entropy over all calibration photographs."""
    entropies = {}
    for name, counts in found.counts.items():
        low, high = found.ranges[name]
        centres = low + (np.arange(len(counts)) + 0.5) * ((high - low) / len(counts))
        entropies[name] = weighted_gini(np.abs(centres), counts)
    return entropies


def render(activation: Mapping[str, float], weight: Mapping[str, float]) -> str:
    """The file: ``@<layer>:out0, <value>`` then ``@<layer>:weight, <value>``, ascending within each group.

    Args:
        activation, weight: layer id -> value.
    """
    lines = []
    for port, values in (("out0", activation), ("weight", weight)):
        lines += [f"@{name}:{port}, {value}" for name, value in sorted(values.items(), key=lambda item: item[::-1])]
    return "\n".join(lines) + "\n"


def parse(text: str) -> dict[tuple[str, str], float]:
    """The inverse of :func:`render`, with the toolkit's listing head or without: ``(layer id, port)`` -> value.

    Raises:
        ValueError: no entropy line in the text.
    """
    found: dict[tuple[str, str], float] = {}
    for line in text.splitlines():
        key, comma, value = line.rpartition(", ")
        name, colon, port = key.rpartition(":")
        if line.startswith("@") and comma and colon:
            found[name[1:], port] = float(value)
    if not found:
        raise ValueError("no line like '@layer:out0, 0.4' in the entropy file")
    return found
