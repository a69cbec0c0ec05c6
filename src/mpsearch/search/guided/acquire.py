"""Which of the pool is worth an evaluation: expected gains over the front, by draws from both posteriors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpsearch.search.guided.arrays import Floats

_DRAWS = 64


@dataclass(frozen=True)
class Beliefs:
    """Means and standard deviations over the pool, latency in ms and natural log error; ``ok`` is the probability
    that a candidate builds and keeps the limits."""

    latency: tuple[Floats, Floats]
    error: tuple[Floats, Floats]
    ok: Floats


def draws(beliefs: Beliefs, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """[draws, pool] of each objective; the same standard normal numbers for all of the pool."""
    z = rng.standard_normal((2, _DRAWS, 1))
    return (
        beliefs.latency[0] + beliefs.latency[1] * z[0],
        beliefs.error[0] + beliefs.error[1] * z[1],
    )


def volume_gain(latency: Floats, error: Floats, front: Floats, reference: tuple[float, float]) -> Floats:
    """[draws, pool] area (ms x log error) that a point adds to ``front`` [m, 2], cut at ``reference``."""
    order = np.argsort(front[:, 0]) if len(front) else np.zeros(0, dtype=np.int64)
    steps = front[order]
    edges = np.concatenate([[-np.inf], np.clip(steps[:, 0], None, reference[0]), [reference[0]]])
    levels = np.concatenate([[reference[1]], np.minimum.accumulate(np.minimum(steps[:, 1], reference[1]))])
    gain = np.zeros(latency.shape)
    for left, right, level in zip(edges[:-1], edges[1:], levels, strict=True):
        width = np.maximum(right - np.maximum(latency, left), 0.0)
        gain += np.where(width > 0, width * np.maximum(level - error, 0.0), 0.0)
    return gain


def budget_gain(latency: Floats, error: Floats, best: float, budget_ms: float) -> Floats:
    """[draws, pool] decrease of the least log error within the budget."""
    gain: Floats = np.where(latency <= budget_ms, np.maximum(best - error, 0.0), 0.0)
    return gain
