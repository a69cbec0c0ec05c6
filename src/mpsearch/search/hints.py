"""Which groups will be hard to quantize, from the calibration's entropies (:mod:`mpsearch.quant.entropy`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mpsearch.space.space import SearchSpace


def by_group(space: SearchSpace, entropy: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Group -> the mean of its units' worst entropies, in standard deviations over the groups; groups of which nothing
    is known are left out.

    Args:
        entropy: ``out0`` and ``weight`` -> tensor -> value, as :meth:`mpsearch.quant.simulator.Simulator.entropy`.
    """
    found: dict[str, float] = {}
    for group in space.groups:
        worst = []
        for name in group.units:
            unit = space.graph.unit[name]
            tensors = {tensor for node in unit.nodes for tensor in space.graph.node[node].outputs} | set(unit.outputs)
            known = [values[tensor] for values in entropy.values() for tensor in tensors if tensor in values]
            if known:
                worst.append(max(known))
        if worst:
            found[group.name] = float(np.mean(worst))
    values = np.array(list(found.values()))
    spread = float(values.std()) if len(values) else 0.0
    if spread == 0:
        return dict.fromkeys(found, 0.0)
    return {name: (value - float(values.mean())) / spread for name, value in found.items()}
