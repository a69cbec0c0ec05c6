"""How far two judges of the same candidates agree, and which candidates to show them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from scipy.stats import spearmanr

from mpsearch.errors import ConfigError
from mpsearch.pareto.front import Trial, front

NOISE = 1.05
"""Two engine errors nearer than this say nothing about an order: its own repeats differ by about 2 %."""


def choose(trials: Sequence[Trial], *, sample: int, most: int | None, seed: int) -> list[tuple[Trial, bool]]:
    """The front (spread over it where ``most`` is fewer) and ``sample`` others, spread over the errors; with whether it
    is of the front.

    Raises:
        ConfigError: nothing was measured.
    """
    best = list(front(trials))
    if not best:
        raise ConfigError("the study has no measured trial yet", hint="mpsearch run STUDY")
    on_front = {trial.number for trial in best}
    others = [trial for trial in trials if trial.objectives is not None and trial.number not in on_front]
    others.sort(key=lambda trial: trial.objectives[1] if trial.objectives else math.inf)
    draw = random.Random(seed)
    slices = [others[len(others) * i // sample : len(others) * (i + 1) // sample] for i in range(sample)]
    drawn = [draw.choice(part) for part in slices if part]
    return [(trial, True) for trial in _spread(best, most)] + [(trial, False) for trial in drawn]


def _spread(trials: list[Trial], most: int | None) -> list[Trial]:
    if most is None or len(trials) <= most:
        return trials
    if most == 1:
        return [trials[len(trials) // 2]]
    return [trials[round(i * (len(trials) - 1) / (most - 1))] for i in range(most)]


def summary(pairs: Sequence[tuple[float, float]]) -> dict[str, float | int | None]:
    """Of ``(engine, study)`` errors: rank correlations and ratios; None where there are too few.

    Kendall's tau counts only pairs that the engine tells apart (:data:`NOISE`), and is agreeing minus disagreeing ones.
    """
    ratios = sorted(abs(math.log10(ours / theirs)) for theirs, ours in pairs if theirs > 0 and ours > 0)
    signs = [
        (a > c) - (a < c) == (b > d) - (b < d)
        for i, (a, b) in enumerate(pairs)
        for c, d in pairs[:i]
        if max(a, c) > NOISE * min(a, c)
    ]
    engine, study = [a for a, _ in pairs], [b for _, b in pairs]
    rank = spearmanr(engine, study) if len({*engine}) > 1 and len({*study}) > 1 else None
    middle = len(ratios) // 2
    return {
        "candidates": len(pairs),
        "spearman": round(float(rank.statistic), 4) if rank is not None else None,
        "kendall_tau": round(2 * sum(signs) / len(signs) - 1, 4) if signs else None,
        "median_log10_ratio": round((ratios[middle] + ratios[~middle]) / 2, 4) if ratios else None,
        "worst_log10_ratio": round(ratios[-1], 4) if ratios else None,
    }
