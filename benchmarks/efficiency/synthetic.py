"""Synthetic families: networks of any size, with as much interaction as asked for.

Error: noise powers of the groups, plus cross terms between neighbours of the size of the geometric mean of theirs (a
layer may amplify or cancel what comes in), under a saturation. Latency: as of recorded worlds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from efficiency.scores import volume
from efficiency.worlds import Hidden, Parts, Truth, World, group_graph, group_space

_STARTS = 24
_FEW_NOISE = 0.15


@dataclass(frozen=True)
class Synthetic(Truth):
    """``power`` [groups, types] px^2, ``cross`` pair of groups -> coefficient."""

    parts: Parts
    hidden: Hidden
    power: np.ndarray
    cross: tuple[tuple[int, int, float], ...]
    saturation: float
    seed: int

    def latency_ms(self, chosen: tuple[int, ...]) -> float:
        p = self.parts
        total = p.fixed_ms + float(p.unit_ms[np.arange(len(chosen)), chosen].sum())
        for (a, b), table in zip(p.edges, p.edge_ms, strict=True):
            total += float(table[0 if a < 0 else chosen[a], chosen[b]])
        return total + self.hidden.extra_ms(p, chosen)

    def error_px2(self, chosen: tuple[int, ...]) -> float:
        own = self.power[np.arange(len(chosen)), chosen]
        total = float(own.sum()) + 1e-4
        for a, b, strength in self.cross:
            total += strength * float(np.sqrt(own[a] * own[b]))
        total = max(total, 0.05 * float(own.sum()) + 1e-4)
        return total / (1 + total / self.saturation)

    def cheap_px2(self, chosen: tuple[int, ...]) -> float | None:
        rng = np.random.default_rng([self.seed, *chosen])
        return self.error_px2(chosen) * float(np.exp(_FEW_NOISE * rng.standard_normal()))

    def best(self, world: World) -> tuple[float, float]:
        """Enumerated where that takes seconds, else by long local searches on the truth: a lower bound."""
        if world.types**world.groups <= 60_000:
            return super().best(world)
        rng = np.random.default_rng([11, self.seed])
        found = []
        low = self.latency_ms((0,) * world.groups)
        for start in range(_STARTS):
            target = low + (world.budget_ms - low) * (1.0 if start % 3 == 0 else rng.random())
            found.append(_descend(world, target, rng))
        points = [p for p in (world.value(c) for c in found) if p is not None]
        within = [e for latency, e in points if latency <= world.budget_ms]
        return volume(world, points), min(within)


def _descend(world: World, target_ms: float, rng: np.random.Generator) -> tuple[int, ...]:
    """Single and double changes until none betters the error within ``target_ms``."""
    current = (0,) * world.groups
    best = world.value(current)
    error = best[1] if best else np.inf
    stuck = 0
    while stuck < 60 * world.groups:
        changed = list(current)
        for group in rng.choice(world.groups, 1 + int(rng.integers(3)), replace=False):
            changed[group] = int(rng.integers(world.types))
        value = world.value(changed)
        stuck += 1
        if value is not None and value[0] <= target_ms and value[1] < error:
            current, error, stuck = tuple(changed), value[1], 0
    return current


def synthetic(
    name: str,
    *,
    groups: int,
    types: int = 3,
    shape: str = "chain",
    interaction: float = 0.5,
    spread: float = 0.25,
    budget_times: float = 1.25,
    seed: int = 0,
    **other: Any,
) -> World:
    """A network drawn by ``seed``.

    Args:
        shape: ``chain``, or ``wide``: many branches that meet again.
        interaction: standard deviation of the cross terms' coefficients.
        spread: of the factors by which the prior is wrong.
    """
    rng = np.random.default_rng([5, seed, groups, types])
    edges = _edges(groups, shape, rng)
    base = rng.lognormal(0, 0.8, groups)
    slow = np.array([1.0, 2.5, 12.0])[:types]
    unit_ms = base[:, None] * slow * np.exp(0.15 * rng.standard_normal((groups, types)))
    edge_ms = np.zeros((len(edges), types, types))
    for i in range(len(edges)):
        size = rng.lognormal(-1.5, 0.8)
        for made in range(types):
            for wanted in range(types):
                if made != wanted:
                    edge_ms[i, made, wanted] = size * (0.1 if made < wanted else 1.0)
    parts = Parts(unit_ms, 0.1 * float(base.sum()), tuple(edges), edge_ms)
    power = rng.lognormal(0, 1.5, groups)[:, None] * np.array([1.0, 1e-3, 1e-5])[:types]
    cross = tuple((a, b, float(interaction * rng.standard_normal())) for a, b in edges if a >= 0)
    hidden = Hidden.draw(parts, spread, rng)
    truth = Synthetic(parts, hidden, power, cross, 20 * float(power.sum()), seed)
    graph = group_graph(groups, edges)
    space = group_space(graph, ("int16", "float16")[: types - 1])
    return World(name, graph, space, parts, truth, budget_times, **other)


def _edges(groups: int, shape: str, rng: np.random.Generator) -> list[tuple[int, int]]:
    if shape == "wide":
        inner = range(1, groups - 1)
        return [(-1, 0), *((0, i) for i in inner), *((i, groups - 1) for i in inner)]
    edges = [(i - 1, i) for i in range(groups)]
    edges += [(i - 3, i) for i in range(4, groups) if rng.random() < 0.25]
    return edges
