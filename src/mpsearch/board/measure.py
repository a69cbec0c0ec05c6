"""How often to run something until its median is known, and which of two is faster. Nothing here knows a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import Literal, Protocol, runtime_checkable

from mpsearch.board import stats
from mpsearch.errors import ConfigError
from mpsearch.evaluate import Artifact, Board

Run = Callable[[], float]
"""Does one inference and says how many milliseconds it took."""
Clock = Callable[[], float]
"""Seconds, for limits."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When to stop.

    Attributes:
        warm_up: runs whose times are dropped.
        width: stop when the 95 % interval of the median is narrower than this share of the median.
        least, most: runs that count.
        limit_s: seconds for all of it, warm-up included; ``least`` runs are made all the same.

    Raises:
        ConfigError: values that cannot be.
    """

    warm_up: int = 5
    width: float = 0.02
    least: int = 15
    most: int = 300
    limit_s: float = 20.0

    def __post_init__(self) -> None:
        if self.warm_up < 0 or not 1 <= self.least <= self.most:
            raise ConfigError(
                f"measuring: warm_up {self.warm_up}, least {self.least}, most {self.most}: need 0 <= warm_up and "
                "1 <= least <= most"
            )
        if not (self.width > 0 and self.limit_s > 0 and isfinite(self.limit_s)):
            raise ConfigError(f"measuring: width {self.width} and limit_s {self.limit_s} must be positive")


@dataclass(frozen=True, slots=True)
class Samples:
    """What was measured.

    Attributes:
        ms: every run that counts, in order.
        warm_up_ms: the dropped ones.
        stopped: ``narrow`` (as sure as asked), ``runs`` or ``time`` (a limit was reached first).
    """

    ms: tuple[float, ...]
    warm_up_ms: tuple[float, ...]
    stopped: Literal["narrow", "runs", "time"]

    @property
    def median_ms(self) -> float:
        return median(self.ms)

    @property
    def interval_ms(self) -> tuple[float, float] | None:
        """95 % interval of the median, None with too few runs."""
        return stats.median_interval(self.ms)


def measure(run: Run, plan: Plan, *, clock: Clock = time.monotonic) -> Samples:
    """Run until the plan is fulfilled."""
    begin = clock()
    warm_up = tuple(run() for _ in range(plan.warm_up))
    samples: list[float] = []
    while True:
        samples.append(run())
        if len(samples) < plan.least:
            continue
        if stats.relative_width(samples) <= plan.width:
            return Samples(tuple(samples), warm_up, "narrow")
        if len(samples) >= plan.most:
            return Samples(tuple(samples), warm_up, "runs")
        if clock() - begin >= plan.limit_s:
            return Samples(tuple(samples), warm_up, "time")


@runtime_checkable
class Lengthens(Protocol):
    """A board that times single runs, and can make more of them each time than its own plan says."""

    def lengthened(self, runs: int) -> Board:
        """The same board with at least ``runs`` runs a timing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which of two is faster.

    Attributes:
        ratio: median of (second / first) over the pairs.
        interval: 95 % interval of that median, None with too few pairs.
        first, second: the times by themselves.
    """

    ratio: float
    interval: tuple[float, float] | None
    first: Samples
    second: Samples

    @property
    def faster(self) -> Literal["first", "second", "neither"]:
        """``neither``: the interval of the ratio holds 1, so these pairs cannot tell."""
        if self.interval is None or self.interval[0] <= 1 <= self.interval[1]:
            return "neither"
        return "first" if self.ratio > 1 else "second"


class Compares(Protocol):
    """A board that can time two artifacts in turns."""

    def compare(self, first: Artifact, second: Artifact) -> Verdict:
        """Which is faster; see :func:`compare`.

        Raises:
            CandidateError: one does not load or run.
            SetupError: the board cannot be used.
        """


def compare(first: Run, second: Run, plan: Plan, *, clock: Clock = time.monotonic) -> Verdict:
    """Time two things in turns (first second, second first, ...), so that drift meets both, and compare pair by pair.

    It stops by the width of the ratio's interval, never by the verdict, so looking often does not make it surer.
    """
    begin = clock()
    warm = [(first(), second()) for _ in range(plan.warm_up)]
    pairs: list[tuple[float, float]] = []
    stopped: Literal["narrow", "runs", "time"] | None = None
    while stopped is None:
        if len(pairs) % 2:
            late = second()
            pairs.append((first(), late))
        else:
            early = first()
            pairs.append((early, second()))
        if len(pairs) < plan.least:
            continue
        if stats.relative_width([b / a for a, b in pairs]) <= plan.width:
            stopped = "narrow"
        elif len(pairs) >= plan.most:
            stopped = "runs"
        elif clock() - begin >= plan.limit_s:
            stopped = "time"
    ratios = [b / a for a, b in pairs]
    sides = [Samples(tuple(p[i] for p in pairs), tuple(w[i] for w in warm), stopped) for i in (0, 1)]
    return Verdict(median(ratios), stats.median_interval(ratios), sides[0], sides[1])
