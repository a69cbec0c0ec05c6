"""From what a computer says of a candidate to what its board would: learnt from candidates of which both are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, log
from statistics import median, stdev

from mpsearch.pareto.front import ERROR_FLOOR
from mpsearch.record import Measured, Record

LEAST_PAIRS = 5
MARGIN = 1.02
"""A forecast is more favourable than every pair at least by this factor: timings are repeated until they are known to
2 %, and the vendor's engine repeats an error to 2 % (``docs/metric.md``)."""
Pair = tuple[float, float]
"""What this computer said, and what the board said; both positive."""


def errors(records: Iterable[Record], rung: str) -> list[Pair]:
    """Of every candidate that this rung and the board have scored."""
    return [
        (max(record.rungs[rung].error, ERROR_FLOOR), max(record.outcome.score.objective, ERROR_FLOOR))
        for record in records
        if isinstance(record.outcome, Measured) and rung in record.rungs
    ]


def typical(pairs: Iterable[Pair]) -> float:
    """What to multiply this computer's values by: the median over the pairs, 1 without any."""
    return exp(median([log(board / here) for here, board in pairs] or [0.0]))


def lowest(here: float, pairs: Sequence[Pair]) -> float:
    """The lowest value that the board may give where this computer says ``here``: 0, which is any, while there are
    fewer than :data:`LEAST_PAIRS` pairs.

    The board was never lower against this computer than in the most favourable pair; the forecast goes below that by
    the scatter of all pairs (one standard deviation of their log ratios), and at least by :data:`MARGIN`. With n
    pairs of the same kind, the next one is more favourable than all of them in one case of n + 1; that it is so by more
    than the scatter besides is rarer by far.
    """
    if len(pairs) < LEAST_PAIRS:
        return 0.0
    logs = [log(said / board) for said, board in pairs]
    return here / exp(max(logs) + max(stdev(logs), log(MARGIN)))
