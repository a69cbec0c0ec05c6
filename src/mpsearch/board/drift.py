"""A reference timed now and then: has the device become slower or faster since the study began?

A hot device throttles, a shared one has neighbours. The reference's median at the start is the yardstick; a later check
that is clearly off it (its interval does not meet the first one's, and the ratio is beyond the tolerance) gives the
factor by which timings taken about now are to be multiplied to compare with those from the start.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from mpsearch.board import stats
from mpsearch.board.measure import Clock, Plan, Run, Samples, measure


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the reference.

    Attributes:
        at_s: the clock's time.
        ratio: the reference now over at the start.
        drifted: clearly off, not noise.
    """

    at_s: float
    median_ms: float
    interval_ms: tuple[float, float] | None
    ratio: float
    drifted: bool

    @property
    def correction(self) -> float:
        """What a timing taken now is to be multiplied by; 1 unless drifted."""
        return 1 / self.ratio if self.drifted else 1.0

    def __str__(self) -> str:
        if not self.drifted:
            return f"reference {self.median_ms:.3f} ms, as at the start"
        now = f"reference {self.median_ms:.3f} ms, {self.ratio:.3f} of the start"
        return f"{now}: times multiplied by {self.correction:.3f}"


_SAID = re.compile(r"reference (\d+\.\d+) ms(?:.* multiplied by (\d+\.\d+))?")


def reading_ms(said: str) -> float | None:
    """What the reference took by ``str(check)``, corrected as the timings beside it are; None where it says nothing."""
    found = _SAID.match(said)
    return float(found[1]) * float(found[2] or 1) or None if found else None


class DriftWatch:
    """Times the reference at the first check, and again when ``every_s`` have passed.

    Args:
        reference: one inference of a model that stays the same all study long.
        tolerance: drift below this share is left alone.
    """

    def __init__(
        self,
        reference: Run,
        *,
        every_s: float = 60.0,
        tolerance: float = 0.03,
        plan: Plan | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._reference, self._every_s, self._tolerance = reference, every_s, tolerance
        self._plan = plan or Plan(warm_up=3, least=9, most=60, limit_s=5.0)
        self._clock = clock
        self._checks: list[Check] = []
        self._start: Samples | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        """All so far, the first one being the yardstick."""
        return tuple(self._checks)

    def check(self, *, now: bool = False) -> Check:
        """The latest check; a new one where there is none, the last is too old, or ``now`` asks for it."""
        if self._checks and not now and self._clock() - self._checks[-1].at_s < self._every_s:
            return self._checks[-1]
        found = measure(self._reference, self._plan, clock=self._clock)
        if self._start is None:
            self._start = found
        ratio = found.median_ms / self._start.median_ms
        self._checks.append(
            Check(
                self._clock(), found.median_ms, found.interval_ms, ratio,
                drifted=abs(ratio - 1) > self._tolerance and _apart(self._start, found),
            )
        )  # fmt: skip
        return self._checks[-1]


def _apart(a: Samples, b: Samples) -> bool:
    return a.interval_ms is not None and b.interval_ms is not None and not stats.overlap(a.interval_ms, b.interval_ms)
