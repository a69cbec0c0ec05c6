"""How sure a median is, without assuming a distribution.

The interval of the median is the one of order statistics: ``[x(j), x(n+1-j)]`` covers the true median with probability
``1 - 2 P(B <= j - 1)``, B binomial with n trials and probability 1/2 (David and Nagaraja, Order Statistics, 3rd ed.,
7.1). It needs independent samples; timings of one process are nearly so after the warm-up, and drift is watched apart
(:mod:`mpsearch.board.drift`).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from scipy.stats import binom

from mpsearch.errors import ConfigError
from mpsearch.record import Timing

LEVEL = 0.95


def median_interval(samples: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """An interval that holds the true median with probability of at least ``level``.

    None where there are too few samples for that (five or fewer, at 95 %).
    """
    count = len(samples)
    # The largest j with P(B <= j - 1) <= (1 - level) / 2; ppf gives the first value at or above the tail.
    rank = int(binom.ppf((1 - level) / 2, count, 0.5)) if count else 0
    if rank and binom.cdf(rank - 1, count, 0.5) > (1 - level) / 2:
        rank -= 1
    if rank < 1:
        return None
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[count - rank]


def relative_width(samples: Sequence[float], level: float = LEVEL) -> float:
    """Width of the median's interval over the median; infinite where there is no interval."""
    interval = median_interval(samples, level)
    return float("inf") if interval is None else (interval[1] - interval[0]) / median(samples)


def overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two intervals share a point."""
    return a[0] <= b[1] and b[0] <= a[1]


def reading_ms(timing: Timing, at: str = "median") -> float:
    """What a budget is compared with: ``median``, or a percentile such as ``p95`` or ``p99.9``.

    Raises:
        ConfigError: neither.
    """
    if at == "median":
        return timing.median_ms
    try:
        share = float(at.removeprefix("p")) / 100 if at.startswith("p") else 0.0
        return timing.percentile_ms(share)
    except ValueError as error:
        raise ConfigError(f"a budget is on the median or a percentile such as p95, not on {at!r}") from error
