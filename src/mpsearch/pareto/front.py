"""The Pareto front of latency and landmark error, and the area that it covers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log10

from mpsearch.record import Measured, Record

Objectives = tuple[float, float]
"""Latency in ms, error in px^2; less is better in both."""

ERROR_FLOOR_PX2 = 1e-6
"""Errors below a thousandth of a pixel count as that: a logarithm needs an end."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluated candidate of a study.

    Attributes:
        number: the Optuna trial that measured it.
        origin: who proposed it: ``"uniform"``, ``"tail"``, ``"seed"`` or ``"sampler"``.
    """

    number: int
    record: Record
    origin: str = "sampler"

    @property
    def measured(self) -> Measured | None:
        return self.record.outcome if isinstance(self.record.outcome, Measured) else None

    @property
    def objectives(self) -> Objectives | None:
        """None for a failed trial."""
        if self.measured is None:
            return None
        return self.measured.timing.median_ms, self.measured.score.objective_px2


def log_error(error_px2: float) -> float:
    """Decimal logarithm of an error in px^2, with its floor."""
    return log10(max(error_px2, ERROR_FLOOR_PX2))


def dominates(a: Objectives, b: Objectives) -> bool:
    """``a`` is nowhere worse than ``b`` and somewhere better."""
    return a[0] <= b[0] and a[1] <= b[1] and a != b


def front(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """The measured trials that no other dominates, fastest first; equal ones all stay, in order of their numbers."""
    measured = [(trial.objectives, trial) for trial in trials if trial.objectives is not None]
    ordered = sorted(measured, key=lambda pair: (pair[0], pair[1].number))
    found: list[Trial] = []
    best: Objectives | None = None
    for objectives, trial in ordered:
        if best is None or objectives[1] < best[1] or objectives == best:
            found.append(trial)
            best = objectives
    return tuple(found)


def hypervolume(points: Sequence[Objectives], reference: Objectives) -> float:
    """Area in ms x log10(px^2) between the points and ``reference`` (latency in ms, error in px^2).

    Points that are not better than the reference in both count nothing. Cut a front at a budget by giving the budget
    as the reference's latency.
    """
    end_ms, worst = reference[0], log_error(reference[1])
    area, level = 0.0, worst
    for latency_ms, error_px2 in sorted(points):
        if latency_ms >= end_ms:
            break
        error = log_error(error_px2)
        if error < level:
            area += (end_ms - latency_ms) * (level - error)
            level = error
    return area
